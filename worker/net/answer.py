"""Reads a provider's answer: under a cap of bytes, also after decoding, and decoded in small steps.

A gzip of 300 kB can hold 300 MB, and JSON takes up to twenty times its size when it is parsed. So nothing reads an
answer but this. The callers limit its total time: a timeout of the client starts again with every byte.
"""

import asyncio
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from typing import cast

import httpx

from worker.net.answer_json import AnswerTooLargeError, clean_json
from worker.net.encoding import coding_of
from worker.net.pace import Pace, TooSlowError

MB = 1_000_000
ANSWER_BYTES = 4 * MB  # of an answer that is text and URLs
ENCODINGS = "gzip, deflate"  # what may be asked for
LARGE_BYTES = 1 << 18  # a smaller body is parsed within milliseconds
_STEP_BYTES = 1 << 20
_OF_THE_BODY = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
_AUTO = 32 + zlib.MAX_WBITS  # gzip or zlib, by its first bytes


class AnswerEncodingError(Exception):
    """An answer is in an encoding that was not asked for, or is damaged."""


async def read_answer(raw: AsyncIterable[bytes], encoding: str | None, most_bytes: int = ANSWER_BYTES) -> bytes:
    """The whole decoded answer. Raises `AnswerTooLargeError`, `AnswerEncodingError`, and what `raw` raises."""
    decoder = _decoder(encoding)
    body = bytearray()
    async for chunk in raw:
        for part in decoder.decode(chunk) if decoder else [chunk]:
            body += part
            if len(body) > most_bytes:
                raise AnswerTooLargeError(f"an answer of more than {most_bytes / MB:g} MB")
            if decoder:
                await asyncio.sleep(0)  # a small chunk may decode to many parts
    if decoder and not decoder.is_whole:
        raise AnswerEncodingError("an encoded answer that is cut short")
    return bytes(body)


async def whole_response(
    response: httpx.Response, most_bytes: int = ANSWER_BYTES, pace: Pace | None = None
) -> httpx.Response:
    """The response with its whole body, decoded. Closes the one that it was read from.

    With a `pace`, an answer that comes more slowly raises `TooSlowError`. Raises as `read_answer` does.
    """
    try:
        stream = cast(AsyncIterable[bytes], response.stream)
        stream = _paced(stream, pace) if pace else stream
        body = await read_answer(stream, response.headers.get("content-encoding"), most_bytes)
    finally:
        await response.aclose()
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _OF_THE_BODY]
    return httpx.Response(response.status_code, headers=headers, content=body, extensions=response.extensions)


async def harmless(body: bytes) -> bytes:
    """See `clean_json`. A large body is parsed in a thread."""
    return clean_json(body) if len(body) < LARGE_BYTES else await asyncio.to_thread(clean_json, body)


async def with_clean_json(response: httpx.Response) -> httpx.Response:
    """The same whole response, with harmless JSON if its JSON is odd. Raises `AnswerTooLargeError`."""
    content = await harmless(response.content)
    if content is response.content:
        return response
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _OF_THE_BODY]
    return httpx.Response(response.status_code, headers=headers, content=content, extensions=response.extensions)


async def _paced(raw: AsyncIterable[bytes], pace: Pace) -> AsyncIterator[bytes]:
    """The chunks as they come. The timeout must not span a `yield`, so each chunk is read under what is left."""
    loop = asyncio.get_running_loop()
    chunks, until, came = aiter(raw), loop.time() + pace.window_s, 0
    while True:
        try:
            async with asyncio.timeout_at(until):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise TooSlowError(f"slower than {pace.least_bytes_per_s / 1000:g} kB/s") from error
        yield chunk
        came += len(chunk)
        if came >= pace.least_bytes_per_s * pace.window_s:
            came, until = 0, loop.time() + pace.window_s


def _decoder(encoding: str | None) -> "_Inflate | None":
    match coding_of(encoding):
        case "":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return _Inflate()
    raise AnswerEncodingError("an answer in an encoding that was not asked for")


class _Inflate:
    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_AUTO)
        self._has_begun = False

    @property
    def is_whole(self) -> bool:
        """Whether all of it came."""
        return self._inflate.eof or not self._has_begun

    def decode(self, chunk: bytes) -> Iterator[bytes]:
        """The decoded bytes, in parts of at most `_STEP_BYTES`."""
        while chunk:
            if self._inflate.eof:  # gzip may have several members
                self._inflate = zlib.decompressobj(_AUTO)
            try:
                yield self._inflate.decompress(chunk, _STEP_BYTES)
            except zlib.error as error:
                raise AnswerEncodingError("an encoded answer that is damaged") from error
            self._has_begun = True
            chunk = self._inflate.unconsumed_tail or self._inflate.unused_data
