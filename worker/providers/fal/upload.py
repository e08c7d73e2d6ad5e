"""Uploads a file from this disk to fal's store: a small file in one request, a larger one in parts, two at a time.

The SDK's own `upload_file` reads up to 100 MB into memory. Above that it holds ten parts of 10 MB, keeps sent parts
until the garbage collector runs, and leaves the other uploads running when one fails (fal-client 1.0.3). So the SDK
starts and completes an upload, and this module sends the parts. Measured with 400 MB, including the download from our
store: 30 MB of memory; with the SDK's parts, two at a time: 170 MB.

The SDK opens clients of its own for uploads and for their token. They get the provider's transport, under a cap for
answers.
"""

import asyncio
import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import fal_client
import fal_client.client as sdk
import httpx

from worker.net.answer import AnswerEncodingError, whole_response
from worker.net.answer_json import AnswerTooLargeError
from worker.net.pace import PACE
from worker.net.repeat import three_attempts

WHOLE_MOST_BYTES = 10 << 20
AT_ONCE = 2
PART_S = 300.0  # the most for one part
ANSWER_BYTES = 1 << 20  # of an answer to an upload
_CHUNK_BYTES = 1 << 20


class UploadTransport(httpx.AsyncBaseTransport):
    """Another transport, whose answers are read under a cap. Closing it leaves the other one open."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The complete answer."""
        request.headers["accept-encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        try:
            return await whole_response(response, ANSWER_BYTES)
        except (AnswerTooLargeError, AnswerEncodingError) as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error


async def use_transport(client: fal_client.AsyncClient, transport: httpx.AsyncBaseTransport, timeout_s: float) -> None:
    """Let the SDK's clients for uploads and for their token use this transport. It has no option for it (1.0.3)."""
    tokens = await client._token_manager

    @asynccontextmanager
    async def open_client() -> AsyncIterator[httpx.AsyncClient]:
        given = UploadTransport(transport)
        async with httpx.AsyncClient(
            transport=given, headers={"User-Agent": sdk.USER_AGENT}, timeout=timeout_s
        ) as http:
            yield http

    async def refresh_token() -> sdk.CDNToken:
        async with open_client() as http:
            response = await http.post(tokens._url, headers=tokens._headers, json={})
            response.raise_for_status()
            found = response.json()
        until = datetime.fromisoformat(found["expires_at"])
        return sdk.CDNToken(found["token"], found["token_type"], found["base_url"], until)

    client._cdn_client, tokens._refresh_token = open_client, refresh_token  # type: ignore[method-assign]


async def upload_file(client: fal_client.AsyncClient, path: Path, lifecycle: sdk.StorageSettings) -> str:
    """Upload the file and return its URL. Raises the SDK's errors and `TimeoutError`."""
    size = (await asyncio.to_thread(path.stat)).st_size
    if size <= WHOLE_MOST_BYTES:
        return str(await client.upload_file(path, lifecycle=lifecycle))
    async with client._cdn_client() as http:
        upload = sdk.AsyncMultipartUpload(
            file_name=path.name,
            client=http,
            token_manager=await client._token_manager,
            content_type=mimetypes.guess_type(path)[0],
        )
        await upload.create(object_lifecycle_preference=sdk._normalize_upload_lifecycle(lifecycle))
        await _send_parts(http, upload, path, size)
        upload._parts.sort(key=lambda part: part["partNumber"])
        return str(await upload.complete())


async def _send_parts(http: httpx.AsyncClient, upload: sdk.AsyncMultipartUpload, path: Path, size: int) -> None:
    starts = iter(range(0, size, upload.chunk_size))

    async def send_next() -> None:
        for start in starts:
            again = three_attempts(httpx.TransportError)  # a repeated part replaces the first one
            await again(_send_part, http, upload, path, start, min(upload.chunk_size, size - start))

    sending = [asyncio.ensure_future(send_next()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*sending)
    finally:
        for each in sending:
            each.cancel()
        await asyncio.gather(*sending, return_exceptions=True)


async def _send_part(
    http: httpx.AsyncClient, upload: sdk.AsyncMultipartUpload, path: Path, start: int, size: int
) -> None:
    """Does what `AsyncMultipartUpload.upload_part` does, but without the whole part in memory."""
    number = start // upload.chunk_size + 1
    headers = {
        **await upload.get_auth_headers(),
        "Content-Type": upload.content_type,
        "Content-Length": str(size),
        "Accept-Encoding": "identity",
    }
    url = f"{upload.access_url}/multipart/{upload.upload_id}/{number}"
    async with asyncio.timeout(min(PART_S, PACE.total_s(size))):
        response = await http.put(url, headers=headers, content=_chunks(path, start, size), timeout=None)
    sdk._raise_for_status(response)
    upload._parts.append({"partNumber": number, "etag": response.headers["etag"]})


async def _chunks(path: Path, start: int, size: int) -> AsyncIterator[bytes]:
    for at in range(start, start + size, _CHUNK_BYTES):
        yield await asyncio.to_thread(_read, path, at, min(_CHUNK_BYTES, start + size - at))


def _read(path: Path, at: int, size: int) -> bytes:
    """Opens the file for each chunk: one that stays open between threads would stay open after a timeout."""
    with path.open("rb") as file:
        file.seek(at)
        return file.read(size)
