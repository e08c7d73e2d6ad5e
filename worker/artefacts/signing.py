"""File URLs of the gateway: which keys there are, and the signature that opens one of them for a while.

The worker signs, the gateway verifies; both know KILNHAND_SECRET. Serving is the idea of `worker.gateway.files`.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from urllib.parse import urlencode

from config.settings import GatewaySettings
from worker.errors import KilnhandError

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_KEY_LENGTH = 512
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class SecretMissingError(KilnhandError):
    """KILNHAND_SECRET is not set. It signs the URLs of a folder store's files: set the same for worker and gateway."""

    code = "secret_missing"


class BadKeyError(KilnhandError, ValueError):
    """This is not the key of a file."""

    code = "bad_key"


class WrongSignatureError(KilnhandError):
    """The URL is not signed by this service, or was changed."""

    code = "wrong_signature"


class ExpiredSignatureError(KilnhandError):
    """The URL has expired; the file is still in the store under its key."""

    code = "expired_signature"


def require_secret(gateway: GatewaySettings) -> str:
    """The secret that signs; `SecretMissingError` names the variable when there is none."""
    if gateway.secret is None:
        raise SecretMissingError
    return gateway.secret.get_secret_value()


def checked(key: str) -> str:
    """The key itself. `BadKeyError` for one that could leave its folder, hide, or mean something else in a URL."""
    if len(key) > _KEY_LENGTH or not _KEY.fullmatch(key):
        raise BadKeyError(f"not the key of a file: {key[:100]!r}")
    return key


def key_of(job_id: str, name: str, n: int, ending: str) -> str:
    """Where a job's file lies: `jobs/{job_id}/{name}-{n}.{ending}`, so that a second fetch replaces the first.

    Celery lets a caller choose the job id; one that is no file name goes by its hash.
    """
    folder = job_id if _NAME.fullmatch(job_id) else hashlib.sha256(job_id.encode()).hexdigest()
    return checked(f"jobs/{folder}/{name}-{n}.{ending}")


def sign(secret: str, key: str, expires_at: float) -> str:
    """The query string that opens `key` until `expires_at` (seconds since the epoch)."""
    expires = str(int(expires_at))
    return urlencode({"expires": expires, "signature": _signature(secret, checked(key), expires)})


def verify(secret: str, key: str, expires: str, signature: str, now: float) -> None:
    """Raise `BadKeyError`, `WrongSignatureError` or `ExpiredSignatureError`, unless the signature opens `key` now."""
    expected = _signature(secret, checked(key), expires)
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise WrongSignatureError
    if now >= int(expires):
        raise ExpiredSignatureError


def _signature(secret: str, key: str, expires: str) -> str:
    digest = hmac.digest(secret.encode(), f"file\n{key}\n{expires}".encode(), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
