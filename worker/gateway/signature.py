"""fal's signature on a webhook: ED25519 over three headers and the body's hash.

Wire: https://fal.ai/docs/documentation/model-apis/inference/webhooks. `worker.gateway.jwks` fetches the keys.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

TOLERANCE_S = 300

_PREFIX = "x-fal-webhook-"
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-fA-F]{128}")  # `bytes.fromhex` alone accepts spaces


@dataclass(frozen=True)
class WebhookSignature:
    """The values of the four signature headers."""

    request_id: str
    user_id: str
    timestamp: str  # seconds since the epoch
    signature: bytes

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "WebhookSignature | None":
        """From the headers; None if one is missing or malformed."""
        request_id, user_id, timestamp, signature = (
            headers.get(_PREFIX + name, "") for name in ("request-id", "user-id", "timestamp", "signature")
        )
        well_formed = request_id and user_id and _TIMESTAMP.fullmatch(timestamp) and _SIGNATURE.fullmatch(signature)
        return cls(request_id, user_id, timestamp, bytes.fromhex(signature)) if well_formed else None

    def is_timely(self, now: float) -> bool:
        """Whether the signing time is within the tolerance around `now`."""
        return abs(now - int(self.timestamp)) <= TOLERANCE_S

    def is_by(self, keys: Iterable[Ed25519PublicKey], body: bytes) -> bool:
        """Whether one of these keys signed this body with these headers."""
        message = self._message(body)
        return any(_is_signed(key, self.signature, message) for key in keys)

    def _message(self, body: bytes) -> bytes:
        lines = (self.request_id, self.user_id, self.timestamp, hashlib.sha256(body).hexdigest())
        return "\n".join(lines).encode("latin-1")  # the bytes of the headers, unchanged


def _is_signed(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
