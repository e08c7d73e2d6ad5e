"""Finds the calls that are for Anthropic, and checks the caller's key.

Callers use Anthropic's host name, or `/anthropic` on the twin's own address. Every key is valid, except keys that begin
with `bad` or `locked`.
"""

import hashlib

from starlette.datastructures import Headers
from starlette.requests import Request

from twin.anthropic.errors import MESSAGES, Refused

HOST = "api.anthropic.com"
PREFIX = "anthropic"
DISABLED = "This organization has been disabled."  # github.com/anthropics/claude-code/issues/9384


def read_path(request: Request) -> str | None:
    """Return the path inside Anthropic's API; None if the request is not for Anthropic."""
    path = str(request.scope["path"]).lstrip("/")
    if request.headers.get("host", "").partition(":")[0] == HOST:
        return path
    prefix, _, rest = path.partition("/")
    return rest if prefix == PREFIX else None


def account_of(headers: Headers) -> str:
    """Return the caller's account, a digest of its key; raise Refused.

    SDKs of 2.x send the key as a Bearer token, others as `x-api-key`. Keys that begin with `bad` are unknown (401),
    keys that begin with `locked` belong to a disabled organization (400).
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    key = headers.get("x-api-key") or (token.strip() if scheme.lower() == "bearer" else "")
    if not key:
        raise Refused(401, "x-api-key header is required")
    if key.startswith("bad"):
        raise Refused(401, MESSAGES[401])
    if key.startswith("locked"):
        raise Refused(400, DISABLED)
    return hashlib.sha256(key.encode()).hexdigest()[:16]
