"""Answers `POST /v1/messages`: checks the request, and makes the model's answer."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from twin.anthropic.access import account_of
from twin.anthropic.errors import Refused, scripted_error, with_error_body
from twin.anthropic.input_pictures import estimate_picture_tokens, read_picture
from twin.anthropic.models import MODELS, ClaudeModel
from twin.anthropic.request import ImageBlock, MessagesRequest, TextBlock, read_request
from twin.anthropic.schema_rules import check_schema
from twin.anthropic.stream import as_stream
from twin.call_service import CallService, new_id
from twin.caption import PromptFacts, collect_facts, estimate_tokens, truncate_to_tokens
from twin.json_body import BadBody, BodyProblem, read_object
from twin.paid_calls import Answer, CallDetails, PaidCall
from twin.schema_filler import BadSchema, fill_schema, make_invalid
from twin.script import FaultKind, Provider

CATEGORY = "language"
RECORDED_HEADERS = (
    "user-agent",
    "anthropic-version",
    "anthropic-beta",
    "x-stainless-retry-count",
    "x-stainless-timeout",
)


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request that passed all checks."""

    model: ClaudeModel
    body: MessagesRequest
    facts: PromptFacts

    @property
    def tokens_in(self) -> int:
        """The tokens of the prompt."""
        pictures = sum(estimate_picture_tokens(picture) for picture in self.facts.pictures)
        system = self.body.system if isinstance(self.body.system, str) else "".join(b.text for b in self.body.system)
        return max(1, pictures + estimate_tokens(self.facts.prompt) + estimate_tokens(system))


async def answer_anthropic(service: CallService, request: Request, path: str) -> Response:
    """Answer one call to Anthropic; only messages are imitated."""
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
        checked = await _check(service, body)
    except Refused as refused:
        return refused.response(request_id)
    except BadBody as bad:
        status = 413 if bad.problem is BodyProblem.TOO_LONG else 400
        return Refused(status, f"The request body is not valid JSON: {bad}").response(request_id)
    headers = {name: request.headers[name] for name in RECORDED_HEADERS if name in request.headers}
    details = CallDetails(Provider.ANTHROPIC, checked.body.model, request_id, account, body, headers)

    async def make(call: PaidCall) -> Answer:
        return _answer(checked, call)

    response = await service.serve(request, details, CATEGORY, make, lambda fault: with_error_body(fault, request_id))
    return as_stream(response) if checked.body.stream and response.status_code == 200 else response


async def _check(service: CallService, body: dict[str, Any]) -> CheckedRequest:
    parsed = read_request(body)
    model = MODELS.get(parsed.model)
    if model is None:
        raise Refused(404, f"model: {parsed.model[:200]}")
    _check_schemas(parsed)
    texts: list[str] = []
    pictures: list[tuple[str, ImageBlock]] = []
    for i, message in enumerate(parsed.messages):
        blocks = [TextBlock(type="text", text=message.content)] if isinstance(message.content, str) else message.content
        texts += [block.text for block in blocks if isinstance(block, TextBlock)]
        found = [(f"messages.{i}.content.{j}.image", b) for j, b in enumerate(blocks) if isinstance(b, ImageBlock)]
        pictures += found
    decoded = await asyncio.gather(*(read_picture(service, block, path) for path, block in pictures))
    return CheckedRequest(model, parsed, collect_facts(decoded, texts))


def _check_schemas(checked: MessagesRequest) -> None:
    given = [("output_config.format.schema", checked.schema_of_answer, True)]
    given += [
        (f"tools.{i}.custom.input_schema", tool.input_schema, tool.strict) for i, tool in enumerate(checked.tools)
    ]
    for path, schema, is_strict in given:
        if schema is None:
            continue
        try:
            fill_schema(schema, collect_facts([], []))
        except BadSchema as bad:
            raise Refused(400, f"{path}: JSON schema is invalid. {bad}") from bad
        if is_strict:
            check_schema(schema, path)


def _answer(checked: CheckedRequest, call: PaidCall) -> Answer:
    """Return the model's answer, or the one that the script orders instead."""
    if call.fault and call.has_fault(FaultKind.ERROR):
        return scripted_error(call.fault, call.details.request_id)
    if call.fault and call.has_fault(FaultKind.BLOCKED):
        category = call.fault.body if isinstance(call.fault.body, str) else "general_harms"
        details = {"type": "refusal", "category": category, "explanation": "The request was declined."}
        return _message(checked, call, [], "refusal", "refusal", stop_details=details)
    if (tool := checked.body.tool) is not None:
        value = _value(tool.input_schema, checked, call)
        block = {"type": "tool_use", "id": new_id("toolu_"), "name": tool.name, "input": value}
        return _message(checked, call, [block], "tool_use")
    return _text(checked, call)


def _text(checked: CheckedRequest, call: PaidCall) -> Answer:
    schema = checked.body.schema_of_answer
    value = None if schema is None else _value(schema, checked, call)
    text = checked.facts.caption if schema is None else json.dumps(value, ensure_ascii=False)
    room = estimate_tokens(text) // 2 if call.has_fault(FaultKind.MAX_TOKENS) else checked.body.max_tokens
    reason = "max_tokens" if room < estimate_tokens(text) else "end_turn"
    answer = truncate_to_tokens(text, room) if reason == "max_tokens" else text
    return _message(checked, call, [{"type": "text", "text": answer}], reason)


def _value(schema: dict[str, Any], checked: CheckedRequest, call: PaidCall) -> Any:
    value = fill_schema(schema, checked.facts)
    return make_invalid(value) if call.has_fault(FaultKind.BAD_SCHEMA) else value


def _message(
    checked: CheckedRequest,
    call: PaidCall,
    content: list[dict[str, Any]],
    reason: str,
    error: str | None = None,
    **more: Any,
) -> Answer:
    tokens_out = sum(estimate_tokens(block.get("text") or json.dumps(block.get("input"))) for block in content)
    tokens_in = checked.tokens_in
    usage = {"input_tokens": tokens_in, "output_tokens": tokens_out, "service_tier": "standard"}
    body = {
        "id": new_id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": checked.model.name,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": usage | {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0},
        **more,
    }
    usd = checked.model.usd(tokens_in, tokens_out)
    headers = {"request-id": call.details.request_id}
    return Answer(body, body, 200, error, float(tokens_in + tokens_out), usd, headers=headers)
