"""The transport under fal-client: it sends each request once, and raises our own errors, which the SDK does not retry.

fal has no idempotency key, and its SDK repeats a POST up to ten times after a lost answer (fal-client 1.0.3,
`_should_retry`; measured: one dropped answer, two paid jobs). It retries on httpx errors and on some statuses. So an
answer that does not show whether the job was accepted becomes `SubmitUnknownError`, and a connection that was never
made becomes `ServiceUnavailableError`. A GET or PUT is not repeated here either: the caller decides.

The key is sent only to fal's hosts, or to the twin: the SDK alone would send it to any host that a ticket names.

Every answer is read under a cap of bytes and one total time (`worker.net.answer`). A GET whose answer drips is given up
sooner: it is free. A stream of events is the exception: `stream` limits it, and the guard passes it on unread. A
stream that fails with 5xx may have run, also if fal says so in its own words: no list shows afterwards what it did.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NoReturn

import httpx

from worker.errors import (
    AuthenticationError,
    BrokenPieceError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.net.answer import (
    ANSWER_BYTES,
    ENCODINGS,
    MB,
    AnswerEncodingError,
    whole_response,
    with_clean_json,
)
from worker.net.answer_json import AnswerTooLargeError
from worker.net.pace import Pace
from worker.providers.fal.errors import retry_after_s

_FAL_DOMAINS = ("fal.run", "fal.ai", "falrun.com", "fal.media")
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
LIST_BYTES = 32 * MB  # of a page of the platform's lists: a hundred requests with their inputs
ANSWER_PACE = Pace(window_s=5.0)
STREAMED = "kilnhand_streamed_s"  # extension of a request whose events are read as they come: the most seconds of it


@dataclass
class Sending:
    """Whether a request of the present call has gone to the transport."""

    has_begun: bool = False


current_sending: ContextVar[Sending | None] = ContextVar("current_sending", default=None)


class FalGuard(httpx.AsyncBaseTransport):
    """Sends each request once. Raises our errors for answers that are lost or ambiguous."""

    def __init__(self, inner: httpx.AsyncBaseTransport, twin_url: str | None = None, total_s: float = 30.0) -> None:
        """`twin_url` is the base URL of the twin. With it, the key goes to the twin only.

        `total_s` limits a call, from its first byte to the last one of its answer.
        """
        self._inner, self._total_s = inner, total_s
        self._twin = httpx.URL(twin_url) if twin_url else None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The complete answer. Raises one of our errors for a lost or ambiguous one."""
        if not self._may_get_key(request.url):
            raise RequestRefusedError(f"fal: refused to send the key to {request.url.host}", provider="fal")
        try:
            response = await self._answer(request)
        except httpx.LocalProtocolError as error:
            _raise_unsendable(error)
        except AnswerTooLargeError as error:
            _raise_too_large(request, error)
        except (httpx.TransportError, AnswerEncodingError, TimeoutError) as error:
            _raise_no_answer(request, error)
        if response.status_code == 429:
            raise RateLimitError(
                "fal: too many requests (HTTP 429)",
                provider="fal",
                status=429,
                retry_after_s=retry_after_s(response.headers),
            )
        is_known = STREAMED not in request.extensions and is_from_fal(request.method, response)
        if _is_ambiguous(response.status_code) and not is_known:
            _raise_ambiguous(request, response)
        return response

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        streamed_s = request.extensions.get(STREAMED)
        request.headers["accept-encoding"] = ENCODINGS if streamed_s is None else "identity"
        most_bytes = request.extensions.get("most_bytes", ANSWER_BYTES)
        if sending := current_sending.get():
            sending.has_begun = True
        async with asyncio.timeout(self._total_s if streamed_s is None else streamed_s):
            response = await self._inner.handle_async_request(request)
            if streamed_s is not None and is_event_stream(response):
                return response
            headers = response.headers
            try:
                response = await whole_response(response, most_bytes, None if request.method == "POST" else ANSWER_PACE)
                return await with_clean_json(response)
            except AnswerTooLargeError as error:
                error.headers = headers  # they say what was billed
                raise

    def _may_get_key(self, url: httpx.URL) -> bool:
        if self._twin is not None:
            return (url.scheme, url.host, url.port) == (self._twin.scheme, self._twin.host, self._twin.port)
        return url.scheme == "https" and any(url.host == d or url.host.endswith("." + d) for d in _FAL_DOMAINS)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


def _is_ambiguous(status: int) -> bool:
    """Whether the job may have been accepted despite this status. The SDK would repeat 408, 409 and some 5xx."""
    return status >= 500 or status in {408, 409}


def is_event_stream(response: httpx.Response) -> bool:
    """Whether the answer is a stream of events, and no error."""
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return response.status_code == 200 and kind == "text/event-stream"


def is_from_fal(method: str, response: httpx.Response) -> bool:
    """Whether the answer is fal's own and not a proxy's: it names an error type or, after a GET, the request."""
    return "x-fal-error-type" in response.headers or (method != "POST" and "x-fal-request-id" in response.headers)


def _raise_no_answer(request: httpx.Request, error: Exception) -> NoReturn:
    what = f"fal: no answer to {request.method} ({type(error).__name__})"
    if request.method == "POST" and not isinstance(error, _NOTHING_SENT):
        raise SubmitUnknownError(f"{what}; the job may have been accepted", provider="fal") from error
    kind = "too_slow" if isinstance(error, TimeoutError) else None  # of the whole call, or of its pace
    raise ServiceUnavailableError(what, provider="fal", kind=kind) from error


def _raise_too_large(request: httpx.Request, error: AnswerTooLargeError) -> NoReturn:
    what = f"fal: {error} to {request.method}"
    if request.method == "POST":
        raise SubmitUnknownError(f"{what}; the job may have been accepted", provider="fal") from error
    raise BrokenPieceError(what, provider="fal", kind="too_large") from error


def _raise_unsendable(error: httpx.LocalProtocolError) -> NoReturn:
    """The key is wrong if its header cannot be sent; otherwise the call is."""
    cls = AuthenticationError if "authorization" in str(error).lower() else RequestRefusedError
    raise cls(f"fal: {error}; nothing was sent", provider="fal", kind="unsendable") from error


def _raise_ambiguous(request: httpx.Request, response: httpx.Response) -> NoReturn:
    what = f"fal: HTTP {response.status_code} to {request.method}"
    fault: type[ExternalServiceError] = SubmitUnknownError if request.method == "POST" else ServiceUnavailableError
    after = retry_after_s(response.headers)
    raise fault(what, provider="fal", status=response.status_code, retry_after_s=after)
