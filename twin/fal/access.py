"""Checks the caller's key: every key is valid, except keys that begin with `bad` or `locked`."""

import hashlib

from starlette.datastructures import Headers
from starlette.responses import JSONResponse

LOCKED = "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."
INVALID = "Invalid key credentials were found. Please check your FAL_KEY."


class Denied(Exception):
    """The caller has no access."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail

    @property
    def response(self) -> JSONResponse:
        """fal's answer."""
        return JSONResponse({"detail": self.detail}, self.status)


def account_of(headers: Headers, what: str, *, is_paid: bool) -> str:
    """Return the caller's account, a digest of its key; raise Denied.

    Keys that begin with `bad` are unknown (401). Keys that begin with `locked` belong to a locked account: its paid
    calls are 403, and it can still read its requests.
    """
    scheme, _, key = headers.get("authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() not in ("key", "bearer") or not key:
        message = "Authentication is required to access this application. Use a valid key in the Authorization header."
        raise Denied(401, f'Cannot access application "{what}". {message}')
    if key.startswith("bad"):
        raise Denied(401, INVALID)
    if is_paid and key.startswith("locked"):
        raise Denied(403, LOCKED)
    return hashlib.sha256(key.encode()).hexdigest()[:16]
