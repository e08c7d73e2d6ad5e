"""fal's REST host: tokens, the start of uploads, the public keys of webhooks.

As described at https://fal.ai/docs/documentation/model-apis/fal-cdn.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from twin.fal.access import account_of
from twin.fal.address import Address
from twin.fal.service import FalService
from twin.fault_responses import apply_fault
from twin.script import Call

TOKEN_LIFE = timedelta(hours=1)


async def answer_rest(fal: FalService, request: Request, address: Address) -> Response:
    """Answer one call to the REST host."""
    path = address.path.strip("/")
    if path == ".well-known/jwks.json":
        return JSONResponse(fal.webhooks.signer.jwks)
    account = account_of(request.headers, path, is_paid=True)
    if request.method != "POST":
        return JSONResponse({"detail": "Method Not Allowed"}, 405)
    if path == "storage/auth/token":
        return JSONResponse(_cdn_token(fal, address, account))
    if path in ("tokens", "tokens/realtime"):
        return JSONResponse(fal.new_token(account))
    if path in ("storage/upload/initiate", "storage/upload/initiate-multipart"):
        fault = fal.script.take(Call.UPLOAD, "")
        is_multipart = path.endswith("multipart")
        return await apply_fault(
            fault, JSONResponse(_initiate(fal, address, await _json(request), is_multipart)), request
        )
    return JSONResponse({"detail": "Not Found"}, 404)


def _cdn_token(fal: FalService, address: Address, account: str) -> dict[str, str]:
    expires_at = datetime.fromtimestamp(fal.clock(), UTC) + TOKEN_LIFE
    return {
        "token": fal.new_token(account),
        "token_type": "Bearer",
        "base_url": address.base.upload,
        "expires_at": expires_at.isoformat(),
    }


def _initiate(fal: FalService, address: Address, body: dict[str, Any], is_multipart: bool) -> dict[str, str]:
    content_type = str(body.get("content_type") or "application/octet-stream")
    upload_id, path = fal.uploads.begin(str(body.get("file_name") or ""), content_type)
    kind = f"{path}/multipart/{upload_id}" if is_multipart else f"upload/{upload_id}"
    return {"upload_url": f"{address.base.upload}/{kind}", "file_url": f"{address.base.cdn}/{path}"}


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
