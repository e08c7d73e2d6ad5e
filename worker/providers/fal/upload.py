"""A file of this disk into fal's store, through the SDK: a small one whole, a larger one in parts, two at a time.

The SDK's own `upload_file` reads up to 100 MB whole. Above that it has ten parts of 10 MB in memory, holds parts that
were sent until the garbage collector comes, and leaves the others running when one fails (fal-client 1.0.3). So an
upload is begun and completed by the SDK, and its parts are sent from here. Measured with 400 MB: 30 MB of memory, from
the store on; 170 MB with the SDK's parts, two at a time.
"""

import asyncio
import mimetypes
from collections.abc import AsyncIterator
from pathlib import Path

import fal_client
import fal_client.client as sdk
import httpx

from worker.net.repeat import three_attempts

WHOLE_MOST_BYTES = 10 << 20
AT_ONCE = 2
PART_S = 300.0  # the longest for one part
_CHUNK_BYTES = 1 << 20


async def upload_file(client: fal_client.AsyncClient, path: Path) -> str:
    """Its URL there. Raises what the SDK raises, and `TimeoutError`."""
    size = (await asyncio.to_thread(path.stat)).st_size
    if size <= WHOLE_MOST_BYTES:
        return str(await client.upload_file(path))
    async with client._cdn_client() as http:
        upload = sdk.AsyncMultipartUpload(
            file_name=path.name,
            client=http,
            token_manager=await client._token_manager,
            content_type=mimetypes.guess_type(path)[0],
        )
        await upload.create()
        await _send_parts(http, upload, path, size)
        upload._parts.sort(key=lambda part: part["partNumber"])
        return str(await upload.complete())


async def _send_parts(http: httpx.AsyncClient, upload: sdk.AsyncMultipartUpload, path: Path, size: int) -> None:
    starts = iter(range(0, size, upload.chunk_size))

    async def some() -> None:
        for start in starts:
            again = three_attempts(httpx.TransportError)  # a part that is sent again replaces itself
            await again(_send_part, http, upload, path, start, min(upload.chunk_size, size - start))

    sending = [asyncio.ensure_future(some()) for _ in range(AT_ONCE)]
    try:
        await asyncio.gather(*sending)
    finally:
        for each in sending:
            each.cancel()
        await asyncio.gather(*sending, return_exceptions=True)


async def _send_part(
    http: httpx.AsyncClient, upload: sdk.AsyncMultipartUpload, path: Path, start: int, size: int
) -> None:
    """As `AsyncMultipartUpload.upload_part` does it, which wants the whole part."""
    number = start // upload.chunk_size + 1
    headers = {
        **await upload.get_auth_headers(),
        "Content-Type": upload.content_type,
        "Content-Length": str(size),
        "Accept-Encoding": "identity",
    }
    url = f"{upload.access_url}/multipart/{upload.upload_id}/{number}"
    async with asyncio.timeout(PART_S):
        response = await http.put(url, headers=headers, content=_piece(path, start, size), timeout=None)
    sdk._raise_for_status(response)
    upload._parts.append({"partNumber": number, "etag": response.headers["etag"]})


async def _piece(path: Path, start: int, size: int) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        file.seek(start)
        for at in range(0, size, _CHUNK_BYTES):
            yield await asyncio.to_thread(file.read, min(_CHUNK_BYTES, size - at))
