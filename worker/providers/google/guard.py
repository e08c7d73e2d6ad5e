"""The transport under google-genai: one POST for one call, and every answer but a good one leaves it as our own error.

Left to itself the SDK takes aiohttp when that can be imported, and repeats a POST whose connection was lost, up to
ten seconds later (google-genai 3.4, `_async_request_once`): two paid pictures. A client of ours, given to it,
switches that off; should it try again all the same, or continue an answer by itself, the guard refuses.
"""

import asyncio
import json
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NoReturn

import httpx

from worker.errors import ExternalServiceError, InternalError, ServiceUnavailableError, SubmitUnknownError
from worker.providers.google.errors import google_error
from worker.providers.google.large_files import LARGE_BYTES, LargeFiles

CONNECT_S = 10.0
POLL_PATH = ":fetchPredictOperation"  # the one POST that costs nothing
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass
class WireCall:
    """What became of one call on the wire."""

    is_paid: bool = True
    is_sent: bool = False
    is_answered: bool = False
    large_files: LargeFiles = field(default_factory=LargeFiles)


current_call: ContextVar[WireCall] = ContextVar("current_call")


class GoogleGuard(httpx.AsyncBaseTransport):
    """Lets one request of a call through and says plainly what became of it."""

    def __init__(self, inner: httpx.AsyncBaseTransport, provider: str, timeout_s: float) -> None:
        """`timeout_s` bounds the wait for the whole answer; a connection has `CONNECT_S` to be made."""
        self._inner, self._provider, self._timeout_s = inner, provider, timeout_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """A 200, read to its end; or one of our errors."""
        call = current_call.get()
        if call.is_sent:
            raise InternalError(f"{self._provider}: the SDK would have sent one call twice")
        call.is_sent, call.is_paid = True, not request.url.path.endswith(POLL_PATH)
        response = await self._answer(await _with_files(request, call.large_files, self._timeouts()), call)
        if response.status_code != 200:
            raise google_error(
                self._provider, response.status_code, _json(response), response.headers, is_paid=call.is_paid
            )
        call.is_answered = True
        return await _without_files(request, response, call.large_files)

    async def aclose(self) -> None:
        """Close what it guards."""
        await self._inner.aclose()

    async def _answer(self, request: httpx.Request, call: WireCall) -> httpx.Response:
        try:
            async with asyncio.timeout(CONNECT_S + self._timeout_s):
                response = await self._inner.handle_async_request(request)
                try:
                    await response.aread()
                except BaseException:
                    await response.aclose()
                    raise
        except (httpx.TransportError, httpx.DecodingError, TimeoutError) as error:
            self._not_answered(error, call)
        return response

    def _timeouts(self) -> dict[str, float]:
        return {"connect": CONNECT_S, "pool": CONNECT_S, "read": self._timeout_s, "write": self._timeout_s}

    def _not_answered(self, error: Exception, call: WireCall) -> NoReturn:
        what = f"{self._provider}: no answer ({type(error).__name__})"
        if call.is_paid and not isinstance(error, _NOTHING_SENT):
            raise SubmitUnknownError(f"{what}; the piece may have been made", provider=self._provider) from error
        raise ServiceUnavailableError(what, provider=self._provider) from error


def unreadable_answer(provider: str, call: WireCall) -> ExternalServiceError:
    """The error of a 200 that nobody can read: a piece may have been made, unless it was only looked for."""
    cls = SubmitUnknownError if call.is_paid else ServiceUnavailableError
    return cls(f"{provider}: the answer cannot be read", provider=provider, status=200)


async def _with_files(request: httpx.Request, large: LargeFiles, timeouts: dict[str, float]) -> httpx.Request:
    content = request.content
    if not large.is_empty:
        content = await asyncio.to_thread(large.insert_into, content)
    headers = [(name, value) for name, value in request.headers.multi_items() if name != "content-length"]
    more = {**request.extensions, "timeout": timeouts}
    return httpx.Request(request.method, request.url, headers=headers, content=content, extensions=more)


async def _without_files(request: httpx.Request, response: httpx.Response, large: LargeFiles) -> httpx.Response:
    if len(response.content) < LARGE_BYTES:
        return response
    field_name = b"data" if request.url.path.endswith(":generateContent") else b"bytesBase64Encoded"
    content = await asyncio.to_thread(large.extract_from, response.content, field_name)
    return httpx.Response(200, headers={"content-type": "application/json"}, content=content)


def _json(response: httpx.Response) -> Any:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None
