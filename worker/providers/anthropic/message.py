"""Builds the request body of a call, and reads the answer. Pure, and without the SDK.

The body has our arguments (`system`, `prompt`, `schema`, `max_tokens`, `stream`) in Anthropic's form, and what may pass
of the caller's `extra` (`config.extra`). Wire facts: platform.claude.com/docs/en/api/messages; `output_config.format`
holds a JSON Schema.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from config.extra import ALLOWED
from worker.errors import BrokenPieceError, ContentRefusedError, RequestRefusedError, SubmitUnknownError
from worker.files.media import Media
from worker.net.answer_json import clean_text, cleaned
from worker.providers.anthropic.errors import NAME
from worker.providers.anthropic.image import fit_image
from worker.providers.base import Call, Reply, RunFailure, Tokens, possible_tokens

MAX_TOKENS = 4096  # default limit of written tokens, thinking tokens included
MAX_BODY_BYTES = 32 * 1024 * 1024
_OURS = frozenset({"system", "prompt", "schema", "max_tokens", "stream"})


class _Block(BaseModel):
    type: str
    text: str = ""


class _Usage(BaseModel):
    input_tokens: int
    output_tokens: int
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _StopDetails(BaseModel):
    category: str | None = None
    explanation: str | None = None


class _Message(BaseModel):
    type: Literal["message"]
    model: str
    content: list[_Block]
    stop_reason: str | None
    stop_details: _StopDetails | None = None
    usage: Any = None


def body_of(call: Call) -> bytes:
    """The body of the POST. Raises `RequestRefusedError` for an invalid call. Blocking if there are pictures."""
    given, rest = dict(call.arguments), {k: v for k, v in call.arguments.items() if k not in _OURS}
    if wrong := rest.keys() - ALLOWED[NAME].keys():  # they would change what is paid for, or what the answer is
        raise _refused(f"{', '.join(sorted(wrong))} cannot be set through extra")
    body: dict[str, Any] = {
        "model": call.endpoint,
        "max_tokens": given.get("max_tokens") or MAX_TOKENS,
        "messages": [{"role": "user", "content": [*_pictures(call.files), _text(str(given.get("prompt") or ""))]}],
    }
    if given.get("stream"):
        body["stream"] = True
    if given.get("system"):
        body["system"] = given["system"]
    if schema := given.get("schema"):
        more = rest.pop("output_config", {})
        if not isinstance(more, Mapping):
            raise _refused("output_config must be an object")
        body["output_config"] = {**more, "format": {"type": "json_schema", "schema": schema}}
    return to_json(body | rest)


def _pictures(files: tuple[Media, ...]) -> list[dict[str, Any]]:
    """A block for each picture, after a block with its number, so that a prompt can refer to "Image 2"."""
    blocks: list[dict[str, Any]] = []
    total = 0
    for number, file in enumerate(files, 1):
        picture = fit_image(file, number, many=len(files))
        data = base64.b64encode(picture.data).decode()
        total += len(data)
        if total > MAX_BODY_BYTES:
            raise _refused(f"the pictures are more than {MAX_BODY_BYTES >> 20} MB together; send fewer or smaller ones")
        source = {"type": "base64", "media_type": picture.content_type, "data": data}
        blocks += [_text(f"Image {number}:"), {"type": "image", "source": source}]
    return blocks


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def answer_of(content: bytes, *, as_json: bool) -> Reply | RunFailure:
    """Read the body of a 200. Raises `SubmitUnknownError` if it is no message: one may have been made and billed."""
    try:
        message = _Message.model_validate(json.loads(content))
    except (ValidationError, ValueError, RecursionError) as error:
        raise SubmitUnknownError(
            "anthropic: the answer cannot be read; the message may have been made", provider=NAME
        ) from error
    if (failure := _failure_of(message)) is not None:
        return failure
    text = "".join(block.text for block in message.content if block.type == "text")
    output = _parsed(text) if as_json else {"text": clean_text(text)}
    if output is None:
        return _broken(message, "the answer is not the JSON that was asked for", "bad_json")
    if not as_json and not text.strip():
        return _broken(message, "the answer is empty", "empty")
    return Reply(output, tokens=_tokens(message.usage), version=message.model)


def _failure_of(message: _Message) -> RunFailure | None:
    """The error of an answer that is refused or cut short, which is a 200, too; None for a complete one."""
    match message.stop_reason:
        case "end_turn" | "stop_sequence":
            return None
        case "refusal":
            details = message.stop_details or _StopDetails()
            why = " ".join((details.explanation or "no reason given").split())[:300]
            text = f"anthropic: refused for its content: {clean_text(why)}"
            refused = ContentRefusedError(text, provider=NAME, status=200, kind=details.category or "refusal")
            return RunFailure(refused, tokens=_tokens(message.usage))
        case "max_tokens" | "model_context_window_exceeded" as kind:
            way_out = "raise max_tokens" if kind == "max_tokens" else "send fewer pictures or a shorter prompt"
            text = f"anthropic: the answer was cut short ({kind}); {way_out}"
            cut = RequestRefusedError(text, provider=NAME, status=200, kind=kind)
            return RunFailure(cut, tokens=_tokens(message.usage))
    return _broken(message, f"stopped by {str(message.stop_reason)[:100]!r}", "stop_reason")


def _broken(message: _Message, what: str, kind: str) -> RunFailure:
    error = BrokenPieceError(f"anthropic: {what}", provider=NAME, status=200, kind=kind)
    return RunFailure(error, tokens=_tokens(message.usage))


def _tokens(given: Any) -> Tokens | None:
    """The billed tokens; None if the answer does not say them in numbers that can be. It is paid for all the same."""
    try:
        usage = _Usage.model_validate(given)
    except ValidationError:
        return None
    cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    return possible_tokens(usage.input_tokens + cached, usage.output_tokens, cached=cached)


def _parsed(text: str) -> Mapping[str, Any] | None:
    try:
        return {"json": cleaned(json.loads(text, parse_constant=_refuse_constant))}
    except (ValueError, RecursionError):
        return None


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON")


def _refused(what: str) -> RequestRefusedError:
    return RequestRefusedError(f"anthropic: {what}; nothing was sent", provider=NAME)
