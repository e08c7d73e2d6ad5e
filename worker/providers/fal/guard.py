"""The transport guard around fal-client: what the SDK would repeat by itself leaves its retry loop as our own errors.

fal has no idempotency key, and its SDK re-POSTs up to ten times after lost answers (fal-client 1.0.3, `_should_retry`;
measured: one dropped answer, two paid jobs). It repeats on httpx errors and on some statuses; it does not know ours.
So a POST is sent once: an answer that leaves open whether the job was taken becomes `SubmitUnknownError`, a
connection that was never made `ServiceUnavailableError`. A GET or PUT is not repeated here either: the caller decides.
The key goes to fal's own hosts, or the stand-in's, and to no other: the SDK sends it wherever a ticket points.
"""

from typing import NoReturn

import httpx

from worker.errors import (
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.providers.fal.errors import retry_after_s

_FAL_DOMAINS = ("fal.run", "fal.ai", "falrun.com", "fal.media")
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class FalGuard(httpx.AsyncBaseTransport):
    """Sends each request once and says plainly what became of it."""

    def __init__(self, inner: httpx.AsyncBaseTransport, stand_in: str | None = None) -> None:
        """`stand_in` is the base URL of the twin, the one other place that may see the key."""
        self._inner = inner
        self._stand_in = httpx.URL(stand_in) if stand_in else None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, read to its end, or one of our errors."""
        if not self._trusted(request.url):
            raise RequestRefusedError(f"fal: refused to send the key to {request.url.host}", provider="fal")
        try:
            response = await self._inner.handle_async_request(request)
            await _read_whole(response)
        except httpx.TransportError as error:
            _raise_no_answer(request, error)
        if response.status_code == 429:
            raise RateLimitError(
                "fal: too many requests (HTTP 429)",
                provider="fal",
                status=429,
                retry_after_s=retry_after_s(response.headers),
            )
        if _is_ambiguous(response.status_code) and not is_from_fal(request.method, response):
            _raise_ambiguous(request, response)
        return response

    def _trusted(self, url: httpx.URL) -> bool:
        if self._stand_in is not None:
            return (url.scheme, url.host, url.port) == (self._stand_in.scheme, self._stand_in.host, self._stand_in.port)
        return url.scheme == "https" and any(url.host == d or url.host.endswith("." + d) for d in _FAL_DOMAINS)

    async def aclose(self) -> None:
        """Close what it guards."""
        await self._inner.aclose()


async def _read_whole(response: httpx.Response) -> None:
    try:
        await response.aread()
    except BaseException:
        await response.aclose()
        raise


def _is_ambiguous(status: int) -> bool:
    """Whether the job may have been taken all the same. The SDK would repeat 408, 409 and some 5xx."""
    return status >= 500 or status in {408, 409}


def is_from_fal(method: str, response: httpx.Response) -> bool:
    """Whether fal itself answered: with an error of its catalogue or, to a GET, a run's own error replayed."""
    return "x-fal-error-type" in response.headers or (method != "POST" and "x-fal-request-id" in response.headers)


def _raise_no_answer(request: httpx.Request, error: httpx.TransportError) -> NoReturn:
    what = f"fal: no answer to {request.method} ({type(error).__name__})"
    if request.method == "POST" and not isinstance(error, _NOTHING_SENT):
        raise SubmitUnknownError(f"{what}; the job may have been taken", provider="fal") from error
    raise ServiceUnavailableError(what, provider="fal") from error


def _raise_ambiguous(request: httpx.Request, response: httpx.Response) -> NoReturn:
    what = f"fal: HTTP {response.status_code} to {request.method}"
    fault: type[ExternalServiceError] = SubmitUnknownError if request.method == "POST" else ServiceUnavailableError
    after = retry_after_s(response.headers)
    raise fault(what, provider="fal", status=response.status_code, retry_after_s=after)
