"""Checks the caller's token or key: every one is valid, except those that begin with `bad` or `locked`."""

import hashlib

from starlette.requests import Request

from twin.google.address import Service, Target
from twin.google.errors import MESSAGES, TYPE, Refused

TOKEN_TYPE = {"@type": f"{TYPE}ErrorInfo", "reason": "ACCESS_TOKEN_TYPE_UNSUPPORTED", "domain": "googleapis.com"}
KEY_INVALID = {"@type": f"{TYPE}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}
UNREGISTERED = (
    "Method doesn't allow unregistered callers (callers without established identity). "
    "Please use API Key or other form of API consumer identity to call this API."
)


def account_of(request: Request, target: Target) -> str:
    """Return the caller's account, a digest of its token or key; raise Refused.

    A token or key that begins with `bad` is unknown (401, an API key 400); one that begins with `locked` has no
    permission (403).
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = request.headers.get("x-goog-api-key") or request.query_params.get("key", "")
    token = token.strip() if scheme.lower() == "bearer" else ""
    if not token and not key:
        unknown = Refused(403, UNREGISTERED) if target.service is Service.GEMINI else Refused(401, MESSAGES[401])
        raise unknown
    if token.startswith("bad"):
        raise Refused(401, MESSAGES[401], TOKEN_TYPE)
    if not token and key.startswith("bad"):
        raise Refused(400, "API key not valid. Please pass a valid API key.", KEY_INVALID)
    if (token or key).startswith("locked"):
        what = f"projects/{target.project}/locations/{target.location}" if target.project else target.model
        raise Refused(403, f"Permission 'aiplatform.endpoints.predict' denied on resource '{what}'.")
    return hashlib.sha256((token or key).encode()).hexdigest()[:16]
