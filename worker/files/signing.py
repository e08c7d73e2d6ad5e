"""The signed file URLs of the gateway: a signature opens one key for a while.

The worker signs, the gateway verifies; both have KILNHAND_SECRET. `worker.gateway.files` serves the files.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from urllib.parse import urlencode

from config.settings import GatewaySettings
from worker.errors import KilnhandError
from worker.jobs.file_keys import checked


class SecretMissingError(KilnhandError):
    """KILNHAND_SECRET is not set. It signs file URLs: set the same 16 or more characters for worker and gateway."""

    code = "secret_missing"


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


def verify_any(secrets: Sequence[str], key: str, expires: str, signature: str, now: float) -> None:
    """The same with each of the secrets that are accepted now."""
    for secret in secrets[:-1]:
        try:
            return verify(secret, key, expires, signature, now)
        except WrongSignatureError:
            continue
    return verify(secrets[-1], key, expires, signature, now)


def _signature(secret: str, key: str, expires: str) -> str:
    digest = hmac.digest(secret.encode(), f"file\n{key}\n{expires}".encode(), "sha256")
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
