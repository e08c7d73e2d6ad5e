"""Which calls are meant for Anthropic, and who may make them.

By Anthropic's host name, or by `/anthropic` on the twin's own address. Any key is good, except those that say of
themselves that they are not.
"""

import hashlib

from starlette.datastructures import Headers
from starlette.requests import Request

from twin.anthropic.errors import MESSAGES, Refused

HOST = "api.anthropic.com"
PREFIX = "anthropic"


def read_path(request: Request) -> str | None:
    """Return the path inside Anthropic's API; None when the request is not meant for it."""
    path = str(request.scope["path"]).lstrip("/")
    if request.headers.get("host", "").partition(":")[0] == HOST:
        return path
    prefix, _, rest = path.partition("/")
    return rest if prefix == PREFIX else None


def account_of(headers: Headers) -> str:
    """Return the caller's account, a digest of its key; raise Refused.

    SDKs of 2.x send the key as a Bearer token, others as `x-api-key`. Keys that begin with `bad` are not known (401),
    those that begin with `locked` may not call (403).
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    key = headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
    if not key:
        raise Refused(401, "x-api-key header is required")
    if key.startswith("bad"):
        raise Refused(401, MESSAGES[401])
    if key.startswith("locked"):
        raise Refused(403, MESSAGES[403])
    return hashlib.sha256(key.encode()).hexdigest()[:16]
