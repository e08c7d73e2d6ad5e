"""fal's CDN: whole and multipart uploads, and downloads.

As described at https://fal.ai/docs/documentation/model-apis/fal-cdn.
"""

from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from twin.fal.access import Denied
from twin.fal.address import Address
from twin.fal.service import FalService
from twin.fal.uploads import OpenUpload
from twin.fault_responses import apply_fault
from twin.file_store import GeneratedFile, TooLarge, UploadedFile
from twin.script import Call, Fault, FaultKind

CHUNK = 256 * 1024
NOT_A_PICTURE = "<html><body><h1>Sign in to continue</h1></body></html>"


async def answer_cdn(fal: FalService, request: Request, address: Address) -> Response:
    """Answer one call to the CDN."""
    path = address.path.strip("/")
    if request.method in ("GET", "HEAD"):
        return await _file(fal, request, path)
    try:
        return await apply_fault(fal.script.take(Call.UPLOAD, ""), await _upload(fal, request, address, path), request)
    except TooLarge as error:
        return JSONResponse({"detail": f"File too large: {error}"}, 413)


async def _upload(fal: FalService, request: Request, address: Address, path: str) -> Response:
    content_type = request.headers.get("content-type", "application/octet-stream")
    name = request.headers.get("x-fal-file-name")
    match (request.method, path):
        case ("POST", "files/upload"):
            _require_token(fal, request)
            upload_id, target = fal.uploads.begin(name, content_type)
            await _take_whole(fal, request, upload_id)
            return JSONResponse({"access_url": f"{address.base.cdn}/{target}"})
        case ("POST", "files/upload/multipart"):
            _require_token(fal, request)
            upload_id, target = fal.uploads.begin(name, content_type)
            return JSONResponse({"access_url": f"{address.base.upload}/{target}", "uploadId": upload_id})
    head, _, tail = path.rpartition("/")
    if request.method == "PUT" and head == "upload" and fal.uploads.find(tail):
        await _take_whole(fal, request, tail)
        return Response(b"")
    if "/multipart/" in path:
        return await _multipart(fal, request, path.partition("/multipart/")[2])
    return JSONResponse({"detail": "Not Found"}, 404)


def _require_token(fal: FalService, request: Request) -> None:
    token = request.headers.get("authorization", "").partition(" ")[2]
    if fal.account_of_token(token) is None:
        raise Denied(401, "Invalid upload token")


async def _take_whole(fal: FalService, request: Request, upload_id: str) -> None:
    upload = fal.uploads.find(upload_id)
    if upload is not None:
        await fal.uploads.add_part(upload, 1, request.stream())
        fal.uploads.finish(upload_id)


async def _multipart(fal: FalService, request: Request, tail: str) -> Response:
    """Handle a part (PUT, by number) or the completion (POST) of an upload; the id in the path is the permission."""
    upload_id, _, leaf = tail.partition("/")
    upload = fal.uploads.find(upload_id)
    if upload is None:
        return JSONResponse({"detail": "Upload not found"}, 404)
    if request.method == "POST" and leaf == "complete":
        return await _complete(fal, request, upload_id, upload)
    if request.method == "PUT" and leaf.isdecimal() and int(leaf) > 0:
        part = await fal.uploads.add_part(upload, int(leaf), request.stream())
        return JSONResponse({"partNumber": int(leaf), "etag": part.etag}, headers={"ETag": part.etag})
    return JSONResponse({"detail": "Method Not Allowed"}, 405)


async def _complete(fal: FalService, request: Request, upload_id: str, upload: OpenUpload) -> Response:
    """Complete a multipart upload if the caller's list, in any order, names exactly the uploaded parts."""
    try:
        listed = {int(part["partNumber"]): part["etag"] for part in (await request.json())["parts"]}
    except (ValueError, KeyError, TypeError):
        return JSONResponse({"detail": "The body must be {parts: [{partNumber, etag}]}"}, 400)
    if listed != {number: part.etag for number, part in upload.parts.items()}:
        return JSONResponse({"detail": "The parts are not those that were uploaded"}, 400)
    fal.uploads.finish(upload_id)
    return JSONResponse({"status": "OK"})


async def _file(fal: FalService, request: Request, path: str) -> Response:
    """Serve a file; a generated one is drawn now if its bytes are not in the cache."""
    found = fal.files.find(path)
    if found is None:
        return JSONResponse({"detail": "Not Found"}, 404)
    fault = fal.script.take(Call.FILE, found.endpoint if isinstance(found, GeneratedFile) else "")
    if fault and fault.what is FaultKind.WRONG_TYPE:
        return _wrong_type(fault)
    headers = {"Cache-Control": "public, max-age=3600", "Access-Control-Allow-Origin": "*"}
    if isinstance(found, GeneratedFile):
        data = await fal.files.draw(path, found)
        response: Response = Response(data, media_type=found.drawable.content_type, headers=headers)
    else:
        headers["Content-Length"] = str(found.size)
        body = _chunks(found) if request.method == "GET" else _nothing()
        response = StreamingResponse(body, media_type=found.content_type, headers=headers)
    return await apply_fault(fault, response, request)


def _wrong_type(fault: Fault) -> Response:
    """Return an answer of a wrong type: an HTML page, or the fault's body."""
    headers = fault.headers
    if fault.body is None or isinstance(fault.body, str):
        return Response(fault.body or NOT_A_PICTURE, fault.response_status, media_type="text/html", headers=headers)
    return JSONResponse(fault.body, fault.response_status, headers=headers)


async def _chunks(file: UploadedFile) -> AsyncIterator[bytes]:
    for part in file.parts:
        with await run_in_threadpool(part.open, "rb") as source:
            while chunk := await run_in_threadpool(source.read, CHUNK):
                yield chunk


async def _nothing() -> AsyncIterator[bytes]:
    yield b""
