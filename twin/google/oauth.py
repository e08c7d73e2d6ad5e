"""OAuth tokens for service accounts: the JWT grant that google-auth sends to a key file's `token_uri`.

The claims are checked. The signature is not, because the twin does not have the keys of accounts. An account whose
address begins with `bad` is unknown.
"""

import base64
import hashlib
import json
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from twin.call_service import CallService
from twin.fault_responses import apply_fault
from twin.script import Call, Fault, FaultKind, Provider

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME_S = 3_600
SKEW_S = 300


class BadGrant(ValueError):
    """The grant is refused."""


async def answer_token(service: CallService, request: Request) -> Response:
    """Answer one call to the token endpoint."""
    if request.method != "POST":
        return _error("invalid_request", "Only POST requests are allowed", 405)
    form = parse_qs((await request.body()).decode("latin-1"))
    fault = _with_error_body(service.script.take(Call.AUTH, provider=Provider.GOOGLE))
    try:
        claims = _claims(form, service.clock())
    except BadGrant as bad:
        return _error("invalid_grant", str(bad), 400)
    token = _token(str(claims["iss"]))
    body = {"access_token": token, "expires_in": LIFETIME_S - 1, "token_type": "Bearer"}
    return await apply_fault(fault, JSONResponse(body), request)


def _claims(form: dict[str, list[str]], now: float) -> dict[str, Any]:
    if form.get("grant_type") != [JWT_GRANT]:
        raise BadGrant("Bad Request")
    try:
        head, claims, _ = (_decoded(part) for part in form["assertion"][0].split("."))
        times = float(claims["iat"]), float(claims["exp"])
        account = str(claims["iss"])
    except (KeyError, ValueError, TypeError) as error:
        raise BadGrant("Invalid JWT: Failed to parse the assertion.") from error
    if head.get("alg") != "RS256":
        raise BadGrant("Invalid JWT Signature.")
    if times[1] - times[0] > LIFETIME_S + SKEW_S or not times[0] - SKEW_S <= now <= times[1] + SKEW_S:
        raise BadGrant("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.")
    if not claims.get("scope") and not claims.get("target_audience"):
        raise BadGrant("Invalid OAuth scope or ID token audience provided.")
    if account.startswith("bad"):
        raise BadGrant("Invalid grant: account not found")
    return dict(claims)


def _decoded(part: str) -> dict[str, Any]:
    """Return one part of a JWT as JSON; `{}` for the signature, which is not JSON."""
    data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    value = json.loads(data) if data.startswith(b"{") else {}
    if not isinstance(value, dict):
        raise TypeError("a part of a JWT is an object")
    return value


def _token(account: str) -> str:
    """Return the token of an account; the token of a locked account begins with `locked`."""
    kind = "locked" if account.startswith("locked") else "ya29"
    return f"{kind}.{hashlib.sha256(account.encode()).hexdigest()[:40]}"


def _with_error_body(fault: Fault | None) -> Fault | None:
    if fault is None or fault.what is not FaultKind.HTTP or fault.body is not None:
        return fault
    error = "internal_failure" if fault.response_status >= 500 else "access_denied"
    body = {"error": error, "error_description": "Ordered by the script"}
    return fault.model_copy(update={"body": body})


def _error(error: str, description: str, status: int) -> Response:
    return JSONResponse({"error": error, "error_description": description}, status)
