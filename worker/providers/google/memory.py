"""How much memory a call to Google takes, at the most: its files, their base64, the answer.

A picture comes inside JSON; reading it takes about three times its size for a moment (measured: 53 MB for one of 20).
"""

from collections.abc import Mapping
from typing import Any

from worker.files.memory_budget import MB
from worker.providers.google.models import ModelKind, kind_of

VIDEO_MB = 64
TEXT_MB = 1
_ANSWER_MB = {"512": 6, "1K": 16, "2K": 48, "4K": 100}  # three times a large PNG of the size
_COPIES_SENT = 3  # the request in base64, and once more on its way (measured: 74 MB for 28)


def call_bytes(endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
    """What a call takes that has files of so many bytes together. Nonsense counts as little: it is refused unsent."""
    sent_bytes = (1 + _COPIES_SENT) * file_bytes
    match kind_of(endpoint):
        case ModelKind.PICTURE:
            return _count(arguments) * picture_bytes(arguments.get("resolution"), file_bytes) + file_bytes
        case ModelKind.TRY_ON:
            return (_ANSWER_MB["1K"] + _count(arguments) * _ANSWER_MB["2K"]) * MB + sent_bytes
        case ModelKind.VIDEO | ModelKind.TEXT:
            return TEXT_MB * MB + sent_bytes


def picture_bytes(resolution: Any, file_bytes: int) -> int:
    """What one POST for a picture takes beside its files. An unset resolution is 1K."""
    answer_mb = _ANSWER_MB.get(str(resolution or "1K"), _ANSWER_MB["4K"])
    return answer_mb * MB + _COPIES_SENT * file_bytes


def _count(arguments: Mapping[str, Any]) -> int:
    count = arguments.get("num_images")
    return max(1, count) if isinstance(count, int) else 1
