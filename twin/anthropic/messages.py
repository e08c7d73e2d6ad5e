"""`POST /v1/messages` on the wire: what was asked, checked, and what the model answers."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from twin.anthropic.access import account_of
from twin.anthropic.errors import Refused, in_form, ordered_error
from twin.anthropic.media import look_at, tokens_of_picture
from twin.anthropic.models import MODELS, ClaudeModel
from twin.anthropic.request import ImageBlock, MessagesRequest, TextBlock, read_request
from twin.anthropic.schema import check_schema
from twin.body import BadBody, Flaw, read_object
from twin.calls import Answer, Order, PaidCall
from twin.caption import Facts, cut_to, facts_of, tokens_of
from twin.desk import Desk, new_id
from twin.fill import BadSchema, fill, spoil
from twin.script import Provider, What

CATEGORY = "language"
NOTABLE = ("user-agent", "anthropic-version", "anthropic-beta", "x-stainless-retry-count", "x-stainless-timeout")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that passed every check."""

    model: ClaudeModel
    body: MessagesRequest
    facts: Facts

    @property
    def tokens_in(self) -> int:
        """What the question counts."""
        pictures = sum(tokens_of_picture(picture) for picture in self.facts.pictures)
        system = self.body.system if isinstance(self.body.system, str) else "".join(b.text for b in self.body.system)
        return max(1, pictures + tokens_of(self.facts.prompt) + tokens_of(system))


async def answer_anthropic(desk: Desk, request: Request, path: str) -> Response:
    """Answer one call to Anthropic; messages are all that is imitated."""
    request_id = new_id("req_")
    try:
        if path != "v1/messages":
            raise Refused(404, "Not Found")
        if request.method != "POST":
            raise Refused(405, "Method Not Allowed")
        account = account_of(request.headers)
        if not request.headers.get("anthropic-version"):
            raise Refused(400, "anthropic-version: header is required")
        body = await read_object(request)
        asked = await _read(desk, body)
    except Refused as refused:
        return refused.response(request_id)
    except BadBody as bad:
        status = 413 if bad.flaw is Flaw.TOO_LONG else 400
        return Refused(status, f"The request body is not valid JSON: {bad}").response(request_id)
    headers = {name: request.headers[name] for name in NOTABLE if name in request.headers}
    order = Order(Provider.ANTHROPIC, asked.body.model, request_id, account, body, headers)

    async def make(call: PaidCall) -> Answer:
        return _answer(asked, call)

    return await desk.serve(request, order, CATEGORY, make, lambda fault: in_form(fault, request_id))


async def _read(desk: Desk, body: dict[str, Any]) -> Asked:
    asked = read_request(body)
    model = MODELS.get(asked.model)
    if model is None:
        raise Refused(404, f"model: {asked.model[:200]}")
    _check_schemas(asked)
    texts: list[str] = []
    pictures: list[tuple[str, ImageBlock]] = []
    for i, message in enumerate(asked.messages):
        blocks = [TextBlock(type="text", text=message.content)] if isinstance(message.content, str) else message.content
        texts += [block.text for block in blocks if isinstance(block, TextBlock)]
        found = [(f"messages.{i}.content.{j}.image", b) for j, b in enumerate(blocks) if isinstance(b, ImageBlock)]
        pictures += found
    seen = await asyncio.gather(*(look_at(desk, block, path) for path, block in pictures))
    return Asked(model, asked, facts_of(seen, texts))


def _check_schemas(asked: MessagesRequest) -> None:
    given = [("output_config.format.schema", asked.schema_of_answer, True)]
    given += [(f"tools.{i}.custom.input_schema", tool.input_schema, tool.strict) for i, tool in enumerate(asked.tools)]
    for path, schema, is_strict in given:
        if schema is None:
            continue
        try:
            fill(schema, facts_of([], []))
        except BadSchema as bad:
            raise Refused(400, f"{path}: JSON schema is invalid. {bad}") from bad
        if is_strict:
            check_schema(schema, path)


def _answer(asked: Asked, call: PaidCall) -> Answer:
    """Return what the model answers, or what the script ordered in its place."""
    if call.fault and call.is_hit_by(What.ERROR):
        return ordered_error(call.fault, call.order.request_id)
    if call.fault and call.is_hit_by(What.BLOCKED):
        category = call.fault.body if isinstance(call.fault.body, str) else "general_harms"
        details = {"type": "refusal", "category": category, "explanation": "The request was declined."}
        return _message(asked, call, [], "refusal", "refusal", stop_details=details)
    if (tool := asked.body.tool) is not None:
        value = _value(tool.input_schema, asked, call)
        block = {"type": "tool_use", "id": new_id("toolu_"), "name": tool.name, "input": value}
        return _message(asked, call, [block], "tool_use")
    return _text(asked, call)


def _text(asked: Asked, call: PaidCall) -> Answer:
    schema = asked.body.schema_of_answer
    value = None if schema is None else _value(schema, asked, call)
    text = asked.facts.caption if schema is None else json.dumps(value, ensure_ascii=False)
    room = tokens_of(text) // 2 if call.is_hit_by(What.MAX_TOKENS) else asked.body.max_tokens
    reason = "max_tokens" if room < tokens_of(text) else "end_turn"
    said = cut_to(text, room) if reason == "max_tokens" else text
    return _message(asked, call, [{"type": "text", "text": said}], reason)


def _value(schema: dict[str, Any], asked: Asked, call: PaidCall) -> Any:
    value = fill(schema, asked.facts)
    return spoil(value) if call.is_hit_by(What.BAD_SCHEMA) else value


def _message(
    asked: Asked, call: PaidCall, content: list[dict[str, Any]], reason: str, error: str | None = None, **more: Any
) -> Answer:
    tokens_out = sum(tokens_of(block.get("text") or json.dumps(block.get("input"))) for block in content)
    tokens_in = asked.tokens_in
    usage = {"input_tokens": tokens_in, "output_tokens": tokens_out, "service_tier": "standard"}
    body = {
        "id": new_id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": asked.model.name,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage | {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
        **more,
    }
    usd = asked.model.usd(tokens_in, tokens_out)
    headers = {"request-id": call.order.request_id}
    return Answer(body, body, 200, error, float(tokens_in + tokens_out), usd, headers=headers)
