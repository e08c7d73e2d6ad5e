"""generateContent: a picture, words, or JSON of a schema; and the refusals that come as a 200."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from twin.calls import Answer, PaidCall
from twin.desk import Desk
from twin.google.address import Service
from twin.google.asked import Asked
from twin.google.errors import ordered_error
from twin.google.language import write_words
from twin.google.pictures import paint
from twin.google.usage import Usage
from twin.script import Fault, What

SUPPORT = "The model output could not be generated. Support code: 42876398."
NO_PICTURE = "I am sorry, I can only describe what I would draw."
REASONS = {What.BLOCKED: "PROHIBITED_CONTENT", What.IMAGE_SAFETY: "IMAGE_SAFETY", What.NO_IMAGE: "NO_IMAGE"}


@dataclass(frozen=True, slots=True)
class Reply:
    """What an answer holds beside its counts."""

    part: dict[str, Any]
    usage: Usage
    error_type: str | None = None
    shown: dict[str, Any] | None = None
    """The same with URLs in place of bytes."""
    files: tuple[str, ...] = ()


async def generate(desk: Desk, asked: Asked, call: PaidCall) -> Answer:
    """Return what the model answers, or what the script ordered in its place."""
    if call.fault and call.is_hit_by(What.ERROR):
        return ordered_error(call.fault)
    reply = _refusal(call.fault, Usage.of(asked)) if call.fault else None
    if reply is None:
        has_picture = "IMAGE" in asked.modalities
        reply = await _picture(desk, asked, call) if has_picture else _words(asked, call)
    rest = {
        "usageMetadata": reply.usage.metadata(with_traffic=asked.target.service is Service.VERTEX),
        "modelVersion": asked.model.name,
        "createTime": datetime.fromtimestamp(call.accepted_at, UTC).isoformat().replace("+00:00", "Z"),
        "responseId": call.order.request_id,
    }
    body, shown = reply.part | rest, (reply.shown or reply.part) | rest
    return Answer(body, shown, 200, reply.error_type, reply.usage.units, reply.usage.usd, reply.files)


def _refusal(fault: Fault, usage: Usage) -> Reply | None:
    """Return the answer of a refusal, each of which is a 200; a body of the fault names another reason."""
    given = fault.body if isinstance(fault.body, str) else None
    if fault.what is What.TEXT_ONLY:
        said = given or NO_PICTURE
        return Reply(_candidates([{"text": said}], "STOP"), usage.with_text(said), "text_only")
    if fault.what not in REASONS:
        return None
    reason = given or REASONS[fault.what]
    if fault.what is What.BLOCKED:
        feedback = {"blockReason": reason, "blockReasonMessage": "The prompt could not be submitted."}
        return Reply({"promptFeedback": feedback}, usage, reason)
    return Reply(_candidates([], reason, finishMessage=SUPPORT), usage.thinking(), reason)


def _words(asked: Asked, call: PaidCall) -> Reply:
    words = write_words(asked, is_cut=call.is_hit_by(What.MAX_TOKENS), is_bad=call.is_hit_by(What.BAD_SCHEMA))
    usage = Usage.of(asked).thinking(words.thoughts).with_text(words.text)
    return Reply(_candidates([{"text": words.text}] if words.text else [], words.finish_reason), usage)


async def _picture(desk: Desk, asked: Asked, call: PaidCall) -> Reply:
    usage = Usage.of(asked).thinking()
    if call.is_hit_by(What.MAX_TOKENS):
        return Reply(_candidates([], "MAX_TOKENS"), usage)
    painted = await paint(desk, asked, call)
    signature = {"thoughtSignature": base64.b64encode(call.order.request_id.encode()).decode()}
    said = f"Here is the picture. {asked.facts.caption}" if "TEXT" in asked.modalities else ""
    text = [{"text": said, **signature}] if said else []
    whole = _candidates([*painted.thoughts, *text, {"inlineData": painted.inline, **signature}], "STOP")
    shown = _candidates([*text, {"inlineData": painted.shown}], "STOP")
    return Reply(whole, usage.with_text(said).with_picture(), shown=shown, files=painted.files)


def _candidates(parts: Sequence[dict[str, Any]], reason: str, **more: str) -> dict[str, Any]:
    content: dict[str, Any] = {"role": "model"} | ({"parts": [*parts]} if parts else {})
    return {"candidates": [{"content": content, "finishReason": reason, "index": 0, **more}]}
