"""The transport under google-genai: one request per call, and our own error for every answer but a 200.

By default the SDK uses aiohttp if it can be imported, and then repeats a POST whose connection was lost, up to ten
seconds later (google-genai 3.4, `_async_request_once`): two paid pictures. Giving it an httpx client of ours switches
that off. If the SDK sends a second request for one call anyway, as a retry or to continue an answer, the guard refuses.

Every answer is read under a cap of bytes (`worker.net.answer`): a small one for texts, a larger one for files.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NoReturn

import httpx

from worker.errors import (
    AuthenticationError,
    BrokenPieceError,
    ExternalServiceError,
    InternalError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.net.answer import ANSWER_BYTES, ENCODINGS, MB, AnswerEncodingError, whole_response
from worker.net.answer_json import AnswerTooLargeError, clean_json, read_json
from worker.providers.google.errors import google_error
from worker.providers.google.large_files import LARGE_BYTES, LargeFiles

CONNECT_S = 10.0
POLL_PATH = ":fetchPredictOperation"  # the only POST that is free
FILES_BYTES = 128 * MB  # of an answer with files: four pictures of 4K, or a video
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


@dataclass
class WireCall:
    """The state of one call: what was sent and answered, and its large files."""

    is_paid: bool = True
    is_sent: bool = False
    is_answered: bool = False
    most_bytes: int = ANSWER_BYTES  # of the answer
    large_files: LargeFiles = field(default_factory=LargeFiles)


current_call: ContextVar[WireCall] = ContextVar("current_call")


class GoogleGuard(httpx.AsyncBaseTransport):
    """Sends one request per call. Raises our errors for every answer but a 200."""

    def __init__(self, inner: httpx.AsyncBaseTransport, provider: str, timeout_s: float) -> None:
        """`timeout_s` limits the time until the answer is complete; connecting may take `CONNECT_S` more."""
        self._inner, self._provider, self._timeout_s = inner, provider, timeout_s

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """A complete answer with status 200. Raises one of our errors for any other."""
        call = current_call.get()
        if call.is_sent:
            raise InternalError(f"{self._provider}: the SDK tried to send one call twice")
        call.is_sent, call.is_paid = True, not request.url.path.endswith(POLL_PATH)
        response = await self._answer(await _with_files(request, call.large_files, self._timeouts()), call)
        if response.status_code != 200:
            raise google_error(
                self._provider, response.status_code, _json(response), response.headers, is_paid=call.is_paid
            )
        call.is_answered = True
        try:
            return await _without_files(request, response, call.large_files)
        except AnswerTooLargeError as error:
            self._raise_too_large(error, call)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()

    async def _answer(self, request: httpx.Request, call: WireCall) -> httpx.Response:
        try:
            async with asyncio.timeout(CONNECT_S + self._timeout_s):
                response = await self._inner.handle_async_request(request)
                return await whole_response(response, call.most_bytes)
        except httpx.LocalProtocolError as error:
            self._raise_unsendable(error)
        except AnswerTooLargeError as error:
            self._raise_too_large(error, call)
        except (httpx.TransportError, httpx.DecodingError, AnswerEncodingError, TimeoutError) as error:
            self._raise_no_answer(error, call)

    def _timeouts(self) -> dict[str, float]:
        return {"connect": CONNECT_S, "pool": CONNECT_S, "read": self._timeout_s, "write": self._timeout_s}

    def _raise_too_large(self, error: AnswerTooLargeError, call: WireCall) -> NoReturn:
        cls = SubmitUnknownError if call.is_paid else BrokenPieceError
        raise cls(f"{self._provider}: {error}", provider=self._provider, kind="too_large") from error

    def _raise_unsendable(self, error: httpx.LocalProtocolError) -> NoReturn:
        is_key = any(name in str(error).lower() for name in ("authorization", "api-key"))
        cls = AuthenticationError if is_key else RequestRefusedError
        raise cls(f"{self._provider}: {error}; nothing was sent", provider=self._provider, kind="unsendable") from error

    def _raise_no_answer(self, error: Exception, call: WireCall) -> NoReturn:
        what = f"{self._provider}: no answer ({type(error).__name__})"
        if call.is_paid and not isinstance(error, _NOTHING_SENT):
            raise SubmitUnknownError(f"{what}; the piece may have been made", provider=self._provider) from error
        raise ServiceUnavailableError(what, provider=self._provider) from error


def unreadable_answer(provider: str, call: WireCall) -> ExternalServiceError:
    """The error of a 200 that cannot be read. Unless the call was a poll, a piece may have been made."""
    cls = SubmitUnknownError if call.is_paid else ServiceUnavailableError
    return cls(f"{provider}: the answer cannot be read", provider=provider, status=200)


async def _with_files(request: httpx.Request, large: LargeFiles, timeouts: dict[str, float]) -> httpx.Request:
    content = request.content
    if not large.is_empty:
        content = await asyncio.to_thread(large.insert_into, content)
    replaced = {"content-length", "accept-encoding"}
    headers = [(name, value) for name, value in request.headers.multi_items() if name not in replaced]
    headers.append(("accept-encoding", ENCODINGS))
    more = {**request.extensions, "timeout": timeouts}
    return httpx.Request(request.method, request.url, headers=headers, content=content, extensions=more)


async def _without_files(request: httpx.Request, response: httpx.Response, large: LargeFiles) -> httpx.Response:
    if len(response.content) < LARGE_BYTES:
        content = clean_json(response.content)
        return httpx.Response(200, headers={"content-type": "application/json"}, content=content)
    field_name = b"data" if request.url.path.endswith(":generateContent") else b"bytesBase64Encoded"
    content = await asyncio.to_thread(_extracted, large, response.content, field_name)
    return httpx.Response(200, headers={"content-type": "application/json"}, content=content)


def _extracted(large: LargeFiles, body: bytes, field_name: bytes) -> bytes:
    """The answer without its large files, as harmless JSON. Blocking."""
    return clean_json(large.extract_from(body, field_name))


def _json(response: httpx.Response) -> Any:
    try:
        return read_json(response.content)
    except ValueError:
        return None
