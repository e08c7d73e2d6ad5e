"""Builds requests to Gemini's models, and reads their answers: text, pictures, refusals. Reading is pure.

A refusal is a 200 with a `finishReason` or `blockReason`, so an answer is good only if it has what was asked for.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from google.genai import types
from pydantic import BaseModel, ConfigDict, ValidationError

from worker.errors import (
    AccountLockedError,
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    RequestRefusedError,
)
from worker.files.media import Media
from worker.providers.base import Tokens, possible_tokens
from worker.providers.google.errors import one_line
from worker.providers.google.large_files import LargeFiles

M = TypeVar("M", bound=BaseModel)
_CONTENT = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
        "JAILBREAK",
        "ESCALATION",
    }
)
_CUT = frozenset({"MAX_TOKENS", "CONTINUATION"})


class Arguments(BaseModel):
    """The arguments of a call. An unknown name is refused, not dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def read_arguments(provider: str, kind: type[M], arguments: Mapping[str, Any]) -> M:
    """Validate the arguments. Raises `RequestRefusedError` that names each wrong field."""
    try:
        return kind.model_validate(dict(arguments))
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise RequestRefusedError(f"{provider}: {'; '.join(lines)}", provider=provider, kind="arguments") from error


def parts_of(files: Sequence[Media], prompt: str, large: LargeFiles) -> list[types.Part]:
    """The files in the order in which the prompt numbers them, then the prompt."""
    pictures = [
        types.Part.from_bytes(data=large.placeholder_for(file.data), mime_type=file.content_type) for file in files
    ]
    return [*pictures, types.Part.from_text(text=prompt)]


def check_answer(response: types.GenerateContentResponse) -> None:
    """Raise `ValueError` for JSON that is not an answer of Google."""
    if not (response.candidates or response.prompt_feedback or response.usage_metadata):
        raise ValueError("an answer without candidates, feedback and usage")


def pictures_of(response: types.GenerateContentResponse, large: LargeFiles) -> list[bytes]:
    """The pictures in the answer, in order, without those of its thoughts."""
    found = [part.inline_data for part in _parts(response) if not part.thought and part.inline_data]
    pictures = [blob.data for blob in found if blob.data and (blob.mime_type or "image/").startswith("image/")]
    return [large.original(data) for data in pictures]


def text_of(response: types.GenerateContentResponse) -> str:
    """The text of the answer, without its thoughts."""
    return "".join(part.text for part in _parts(response) if part.text and not part.thought)


def refusal_of(provider: str, response: types.GenerateContentResponse, missing: str) -> ExternalServiceError:
    """The error of an answer without what was asked for. `missing` is its `kind` if the answer gives no reason."""
    reason = _reason(response)
    candidate = response.candidates[0] if response.candidates else None
    feedback = response.prompt_feedback
    vendor_message = (candidate and candidate.finish_message) or (feedback and feedback.block_reason_message)
    details = one_line(text_of(response) or vendor_message)
    text = f"{provider}: {reason or 'no reason given'}{': ' + details if details else ''}"
    if reason == "PUP_LIMITED_DISABLED":
        return AccountLockedError(text, provider=provider, status=200, kind=reason)
    if reason in _CONTENT or (feedback and feedback.block_reason):
        return ContentRefusedError(text, provider=provider, status=200, kind=reason)
    if reason in _CUT:
        return RequestRefusedError(f"{text} (cut short)", provider=provider, status=200, kind="max_tokens")
    return BrokenPieceError(text, provider=provider, status=200, kind=missing)


def tokens_of(response: types.GenerateContentResponse) -> Tokens | None:
    """The billed tokens; refusals report them, too. None if the answer has no usage data.

    A picture's tokens have their own price. They are in `candidatesTokensDetails` (modality IMAGE); without it nobody
    can tell them from the text's, so an answer with a picture then has no usable usage data.
    """
    usage = response.usage_metadata
    if usage is None or usage.prompt_token_count is None:
        return None
    answered, details = usage.candidates_token_count or 0, usage.candidates_tokens_details
    if not details and answered and _has_picture(response):
        return None
    drew = sum(each.token_count or 0 for each in details or () if each.modality is types.MediaModality.IMAGE)
    wrote = answered - drew + (usage.thoughts_token_count or 0)
    return possible_tokens(usage.prompt_token_count, wrote, drew, usage.cached_content_token_count or 0)


def _has_picture(response: types.GenerateContentResponse) -> bool:
    return any(part.inline_data for part in _parts(response))


def is_whole(response: types.GenerateContentResponse) -> bool:
    """Whether the model finished its answer."""
    return _reason(response) in {"STOP", ""}


def _reason(response: types.GenerateContentResponse) -> str:
    """The finish or block reason. The SDK passes on reasons that are newer than itself."""
    if response.candidates and (reason := response.candidates[0].finish_reason):
        return reason.value
    feedback = response.prompt_feedback
    return feedback.block_reason.value if feedback and feedback.block_reason else ""


def _parts(response: types.GenerateContentResponse) -> list[types.Part]:
    content = response.candidates[0].content if response.candidates else None
    return (content.parts or []) if content else []
