"""The most memory that a call to Google needs: for its files, their base64 and the answer.

A picture comes inside JSON. Reading it briefly takes about three times its size (measured: 53 MB for 20 MB).
"""

from collections.abc import Mapping
from typing import Any

from worker.files.memory_budget import MB
from worker.providers.google.models import ModelKind, kind_of

VIDEO_MB = 64
TEXT_MB = 1
_ANSWER_MB = {"512": 6, "1K": 16, "2K": 48, "4K": 100}  # three times a large PNG of the size
_COPIES_SENT = 3  # the request in base64, and a copy while it is sent (measured: 74 MB for 28 MB)


def call_bytes(endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
    """Bytes of memory for a call. Invalid arguments count as small ones: such a call is refused before it is sent."""
    sent_bytes = (1 + _COPIES_SENT) * file_bytes
    match kind_of(endpoint):
        case ModelKind.PICTURE:
            return _count(arguments) * picture_bytes(arguments.get("resolution"), file_bytes) + file_bytes
        case ModelKind.TRY_ON:
            return (_ANSWER_MB["1K"] + _count(arguments) * _ANSWER_MB["2K"]) * MB + sent_bytes
        case ModelKind.VIDEO | ModelKind.TEXT:
            return TEXT_MB * MB + sent_bytes


def picture_bytes(resolution: Any, file_bytes: int) -> int:
    """Bytes of memory for one POST for a picture, without its files. The default resolution is 1K."""
    answer_mb = _ANSWER_MB.get(str(resolution or "1K"), _ANSWER_MB["4K"])
    return answer_mb * MB + _COPIES_SENT * file_bytes


def _count(arguments: Mapping[str, Any]) -> int:
    count = arguments.get("num_images")
    return max(1, count) if isinstance(count, int) else 1
