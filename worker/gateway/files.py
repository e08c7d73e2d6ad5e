"""Serves the files of a folder store at signed URLs. `worker.files.signing` signs and verifies.

The files come from outside, so a browser must not run any of them: the content type is fixed by the key's ending,
sniffing is off, and the content security policy allows display only.
"""

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from worker.files.formats import by_ending
from worker.files.signing import ExpiredSignatureError, WrongSignatureError, verify_any
from worker.jobs.file_keys import BadKeyError

_INLINE_KINDS = {"image", "video"}  # a browser downloads everything else
_POLICY = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def file_routes(folder: Path, secrets: Sequence[str], clock: Callable[[], float]) -> list[Route]:
    """`GET /files/{key}?expires=…&signature=…`, with HEAD and Range.

    403: the signature is wrong or expired; the code says which. 404: the signature is valid, but there is no file.
    """

    async def serve(request: Request) -> Response:
        key, query = request.path_params["key"], request.query_params
        try:
            verify_any(secrets, key, query.get("expires", ""), query.get("signature", ""), clock())
        except (WrongSignatureError, ExpiredSignatureError, BadKeyError) as error:
            return _refusal(403, error.code, error.message)
        status = await to_thread.run_sync(_status_of, folder, key)
        if status is None:
            return _refusal(404, "not_found", "There is no such file.")
        return _not_modified_or(request, _file(folder / key, status, int(query["expires"]) - clock()))

    return [Route("/files/{key:path}", serve)]


def _status_of(folder: Path, key: str) -> os.stat_result | None:
    """The stat result of a key's file; None unless it is a regular file inside the folder, links resolved."""
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
        content_disposition_type="inline" if form.kind in _INLINE_KINDS else "attachment",
    )


def _not_modified_or(request: Request, response: FileResponse) -> Response:
    """304 if the caller already has this version."""
    if response.headers["etag"] not in request.headers.get("if-none-match", ""):
        return response
    kept = ("etag", "cache-control", "last-modified")
    return Response(status_code=304, headers={name: response.headers[name] for name in kept})


def _refusal(status: int, code: str, message: str) -> JSONResponse:
    headers = {"cache-control": "no-store"}
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=status, headers=headers)
