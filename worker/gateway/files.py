"""Serves the files of a folder store to whoever holds a signed URL. Signing is the idea of `worker.files.signing`.

Files come from outside, so nothing of them may run in a browser: fixed content types by the key's ending, no sniffing,
a policy that allows nothing but to be looked at.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from worker.files.formats import by_ending
from worker.files.signing import ExpiredSignatureError, WrongSignatureError, verify
from worker.jobs.file_keys import BadKeyError

_SHOWN_KINDS = {"image", "video"}  # everything else is downloaded
_POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def file_routes(folder: Path, secret: str, clock: Callable[[], float]) -> list[Route]:
    """`GET /files/{key}?expires=…&signature=…`, with HEAD and Range.

    403 says whether the signature is wrong or expired; 404 is answered to a valid signature only.
    """

    async def serve(request: Request) -> Response:
        key, query = request.path_params["key"], request.query_params
        try:
            verify(secret, key, query.get("expires", ""), query.get("signature", ""), clock())
        except (WrongSignatureError, ExpiredSignatureError, BadKeyError) as error:
            return _refusal(403, error.code, error.message)
        status = await to_thread.run_sync(_status_of, folder, key)
        if status is None:
            return _refusal(404, "not_found", "The file is gone.")
        return _unless_known(request, _file(folder / key, status, int(query["expires"]) - clock()))

    return [Route("/files/{key:path}", serve)]


def _status_of(folder: Path, key: str) -> os.stat_result | None:
    """What the folder says of a key; None unless it is a file that really lies in the folder."""
    path = folder / key
    try:
        status = path.stat()
        inside = path.resolve().is_relative_to(folder.resolve())
    except OSError:
        return None
    return status if inside and stat.S_ISREG(status.st_mode) else None


def _file(path: Path, status: os.stat_result, seconds: float) -> FileResponse:
    form = by_ending(path.name)
    return FileResponse(
        path,
        headers={**_HEADERS, "cache-control": f"private, max-age={max(0, int(seconds))}, immutable"},
        media_type=form.content_type,
        filename=path.name,
        stat_result=status,
        content_disposition_type="inline" if form.kind in _SHOWN_KINDS else "attachment",
    )


def _unless_known(request: Request, response: FileResponse) -> Response:
    """304 for a copy that the caller has."""
    if response.headers["etag"] not in request.headers.get("if-none-match", ""):
        return response
    kept = ("etag", "cache-control", "last-modified")
    return Response(status_code=304, headers={name: response.headers[name] for name in kept})


def _refusal(status: int, code: str, message: str) -> JSONResponse:
    headers = {"cache-control": "no-store"}
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status, headers=headers)
