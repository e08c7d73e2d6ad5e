"""Answers generateContent: a picture, a text, JSON of a schema, or a refusal with status 200."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from twin.call_service import CallService
from twin.google.address import Service
from twin.google.checked_request import CheckedRequest
from twin.google.errors import scripted_error
from twin.google.language import write_text
from twin.google.pictures import draw_answer
from twin.google.usage import Usage
from twin.paid_calls import Answer, PaidCall
from twin.script import Fault, FaultKind

SUPPORT = "The model output could not be generated. Support code: 42876398."
NO_PICTURE = "I am sorry, I can only describe what I would draw."
DEFAULT_REASONS = {
    FaultKind.BLOCKED: "PROHIBITED_CONTENT",
    FaultKind.IMAGE_SAFETY: "IMAGE_SAFETY",
    FaultKind.NO_IMAGE: "NO_IMAGE",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """The content of an answer and its token usage."""

    part: dict[str, Any]
    usage: Usage
    error_type: str | None = None
    recorded: dict[str, Any] | None = None
    """The part with URLs in place of bytes, for `/_twin/requests`; None if it has no bytes."""
    files: tuple[str, ...] = ()


async def generate(service: CallService, checked: CheckedRequest, call: PaidCall) -> Answer:
    """Return the model's answer, or the one that the script orders instead."""
    if call.fault and call.has_fault(FaultKind.ERROR):
        return scripted_error(call.fault)
    reply = _refusal(call.fault, Usage.of(checked)) if call.fault else None
    if reply is None:
        has_picture = "IMAGE" in checked.modalities
        reply = await _picture_reply(service, checked, call) if has_picture else _text_reply(checked, call)
    rest = {
        "usageMetadata": reply.usage.metadata(with_traffic=checked.target.service is Service.VERTEX),
        "modelVersion": checked.model.name,
        "createTime": datetime.fromtimestamp(call.accepted_at, UTC).isoformat().replace("+00:00", "Z"),
        "responseId": call.details.request_id,
    }
    body, recorded = reply.part | rest, (reply.recorded or reply.part) | rest
    return Answer(body, recorded, 200, reply.error_type, reply.usage.units, reply.usage.usd, reply.files)


def _refusal(fault: Fault, usage: Usage) -> Reply | None:
    """Return the answer of a refusal, always a 200; the body of the fault is the reason. None for other faults."""
    given = fault.body if isinstance(fault.body, str) else None
    if fault.what is FaultKind.TEXT_ONLY:
        text = given or NO_PICTURE
        return Reply(_candidates([{"text": text}], "STOP"), usage.with_text(text), "text_only")
    if fault.what not in DEFAULT_REASONS:
        return None
    reason = given or DEFAULT_REASONS[fault.what]
    if fault.what is FaultKind.BLOCKED:
        feedback = {"blockReason": reason, "blockReasonMessage": "The prompt could not be submitted."}
        return Reply({"promptFeedback": feedback}, usage, reason)
    return Reply(_candidates([], reason, finishMessage=SUPPORT), usage.with_thoughts(), reason)


def _text_reply(checked: CheckedRequest, call: PaidCall) -> Reply:
    answer = write_text(
        checked, is_cut=call.has_fault(FaultKind.MAX_TOKENS), is_bad=call.has_fault(FaultKind.BAD_SCHEMA)
    )
    usage = Usage.of(checked).with_thoughts(answer.thoughts).with_text(answer.text)
    return Reply(_candidates([{"text": answer.text}] if answer.text else [], answer.finish_reason), usage)


async def _picture_reply(service: CallService, checked: CheckedRequest, call: PaidCall) -> Reply:
    usage = Usage.of(checked).with_thoughts()
    if call.has_fault(FaultKind.MAX_TOKENS):
        return Reply(_candidates([], "MAX_TOKENS"), usage)
    drawn = await draw_answer(service, checked, call)
    signature = {"thoughtSignature": base64.b64encode(call.details.request_id.encode()).decode()}
    text = f"Here is the picture. {checked.facts.caption}" if "TEXT" in checked.modalities else ""
    text_parts = [{"text": text, **signature}] if text else []
    whole = _candidates([*drawn.thoughts, *text_parts, {"inlineData": drawn.inline_data, **signature}], "STOP")
    recorded = _candidates([*text_parts, {"inlineData": drawn.recorded}], "STOP")
    return Reply(whole, usage.with_text(text).with_picture(), recorded=recorded, files=drawn.files)


def _candidates(parts: Sequence[dict[str, Any]], reason: str, **more: str) -> dict[str, Any]:
    content: dict[str, Any] = {"role": "model"} | ({"parts": [*parts]} if parts else {})
    return {"candidates": [{"content": content, "finishReason": reason, "index": 0, **more}]}
