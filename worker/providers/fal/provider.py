"""fal.ai through its official SDK: one client per process, every request sent once (`guard`).

`errors` maps error answers. When to poll and whether to retry is decided by the engine.
"""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import fal_client
import fal_client.client as sdk
import httpx
import structlog
from fal_client import AsyncRequestHandle, FalClientHTTPError

from config.keys.fal import FalKey, find_fal_key
from config.settings import FalSettings, Settings
from worker.errors import (
    BrokenPieceError,
    ExternalServiceError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.files.media import Media
from worker.files.memory_budget import MemoryBudget
from worker.jobs.job import Ticket
from worker.net.http import NoCookies, open_transport
from worker.net.pace import PACE
from worker.net.repeat import three_attempts
from worker.providers.base import (
    Call,
    CancelResult,
    Ended,
    ListPrice,
    LostSubmission,
    Provider,
    Queued,
    Reply,
    RunFailure,
    Running,
    RunStatus,
    SearchResult,
)
from worker.providers.fal.answers import (
    json_of,
    log_lines,
    outcome_of,
    poll_error,
    sdk_error,
    seconds_of,
    units_of,
)
from worker.providers.fal.billing_events import billing_events
from worker.providers.fal.errors import fal_error
from worker.providers.fal.guard import FalGuard, Sending, current_sending
from worker.providers.fal.platform import TWIN_KEY, platform_url
from worker.providers.fal.price_list import PriceList
from worker.providers.fal.request_list import EARLIER_S, find_request
from worker.providers.fal.submit_headers import submit_headers
from worker.providers.fal.tags import ATTEMPT, JOB, job_tag
from worker.providers.fal.upload import upload_file, use_transport

log = structlog.get_logger(__name__)

_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, RecursionError)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:-]{1,200}")
_LONGEST_URL = 2000
FIND_S = 60.0  # the most for a search of the list
SEARCHES = 2  # at a time: a page may have 32 MB
UPLOAD_S = 1800.0  # the most for one file; a smaller file has less


async def open_provider(settings: Settings, memory: MemoryBudget) -> Provider:
    """See `worker.providers.table`."""
    return await open_fal(settings.fal, find_fal_key(), open_transport(settings.worker.max_claims))


async def open_fal(settings: FalSettings, key: FalKey | None, transport: httpx.AsyncBaseTransport) -> "Fal":
    """fal over this transport, which `aclose` closes. Without a key, only the twin can be called."""
    if settings.fal_base_url:
        point_sdk_at(settings.fal_base_url)
    secret = key.value.get_secret_value() if key and key.value else None
    client = fal_client.AsyncClient(
        key=secret or (TWIN_KEY if settings.fal_base_url else None), default_timeout=settings.fal_timeout_s
    )
    http = await client._client
    http._transport = FalGuard(transport, settings.fal_base_url, settings.fal_timeout_s)
    http._cookies = NoCookies()
    await use_transport(client, transport, settings.fal_timeout_s)
    return Fal(client, http, platform_url(settings), settings)


def point_sdk_at(base: str) -> None:
    """Set the hosts of fal-client, which has no setting for them: it reads these constants at each call (1.0.3)."""
    sdk.RUN_URL_FORMAT, sdk.QUEUE_URL_FORMAT = f"{base}/run/", f"{base}/queue/"
    sdk.REALTIME_URL_FORMAT = sdk.RUN_URL_FORMAT.replace("http", "ws", 1)
    sdk.REST_URL, sdk.CDN_URL = f"{base}/rest", f"{base}/cdn"


class Fal:
    """See `worker.providers.base.Provider`."""

    name = "fal"
    lists_requests = True
    result_bytes = 0

    def __init__(
        self, client: fal_client.AsyncClient, http: httpx.AsyncClient, platform_url: str, settings: FalSettings
    ) -> None:
        self.call_s, self._sends_low = settings.fal_timeout_s, settings.fal_low_priority
        self._files_s = settings.fal_files_s
        self._client, self.http, self._platform_url = client, http, platform_url
        self._searching, self._prices = asyncio.Semaphore(SEARCHES), PriceList(http, platform_url)

    def call_bytes(self, endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
        """The files that are uploaded; the call and its answer are text and URLs."""
        return file_bytes

    async def submit(self, call: Call) -> Ticket:
        """One POST to fal's queue.

        Low priority is sent only if `KILNHAND_FAL_LOW_PRIORITY` is set: fal has one queue per endpoint for all its
        customers, and a low request waits behind the normal requests of all of them.
        """
        is_low = self._sends_low and call.priority == "low"
        sending = Sending()
        current_sending.set(sending)
        try:
            handle = await self._client.submit(
                call.endpoint,
                dict(call.arguments),
                priority="low" if is_low else "normal",
                webhook_url=call.webhook_url,
                headers=submit_headers(call, self._files_s),
            )
        except FalClientHTTPError as error:
            raise sdk_error(error) from error
        except _UNREADABLE as error:
            if not sending.has_begun:
                text = f"fal: the call cannot be sent ({type(error).__name__}); nothing was sent"
                raise RequestRefusedError(text, provider="fal", kind="unsendable") from error
            raise _unreadable_submit() from error
        if not isinstance(handle.request_id, str) or not _REQUEST_ID.fullmatch(handle.request_id):
            raise _unreadable_submit()  # its webhook and fal's list have the id
        return _ticket(handle.request_id, handle)

    def ticket_of(self, endpoint: str, request_id: str) -> Ticket:
        """The ticket, with URLs that the SDK builds from the app and the id."""
        in_urls = quote(request_id, safe="")
        return _ticket(request_id, AsyncRequestHandle.from_request_id(self.http, endpoint, in_urls))

    async def find(self, lost: LostSubmission) -> SearchResult:
        """Search the list of ended requests, and the billing events with our tags.

        The list has inputs only if the account stores payloads. The billing events need tagged reporting, which fal
        switches on: they can show a submission, but never that there is none. They name the attempt, so they are read
        first for a submission without a mark, whose input may be that of another job too.
        """
        if not lost.is_marked and (ticket := await self._billed(lost)):
            return SearchResult(ticket)
        try:
            async with self._searching, asyncio.timeout(FIND_S):
                listed = await find_request(self.http, self._platform_url, lost)
        except TimeoutError as error:
            text = f"fal: its list took more than {FIND_S:g} s"
            raise ServiceUnavailableError(text, provider="fal", kind="too_slow") from error
        except ExternalServiceError:
            if lost.is_marked and (ticket := await self._billed(lost)):
                return SearchResult(ticket)
            raise
        tickets = tuple(self.ticket_of(lost.endpoint, request_id) for request_id in listed.request_ids)
        if not lost.is_marked:
            return SearchResult(None, listed.until, alike=tickets)
        return SearchResult(tickets[0] if tickets else await self._billed(lost), listed.until)

    async def _billed(self, lost: LostSubmission) -> Ticket | None:
        """The ticket of the request that was billed with this attempt's tags."""
        tags = {JOB: job_tag(lost.job_id), ATTEMPT: str(lost.attempt)}
        since = lost.since - EARLIER_S
        try:
            events = await billing_events(self.http, self._platform_url, since=since, tags=tags)
        except ExternalServiceError as error:
            log.debug("billing_events_not_read", job=lost.job_id, error=error.message)
            return None
        ids = {event.request_id for event in events if event.request_id not in lost.known}
        return self.ticket_of(lost.endpoint, ids.pop()) if len(ids) == 1 else None

    async def upload(self, media: Media | Path) -> str:
        """Upload to fal's file store, over the SDK's own connections. Uploads are not billed."""
        lifecycle = sdk.StorageSettings(expires_in=self._files_s)
        try:
            size = (await asyncio.to_thread(media.stat)).st_size if isinstance(media, Path) else len(media.data)
            async with asyncio.timeout(min(UPLOAD_S, PACE.total_s(size))):
                if isinstance(media, Path):
                    return await upload_file(self._client, media, lifecycle)
                return str(await self._client.upload(media.data, media.content_type, lifecycle=lifecycle))
        except FalClientHTTPError as error:
            raise sdk_error(error) from error
        except httpx.HTTPStatusError as error:  # for the token, which the SDK requests with another client
            raise fal_error(error.response.status_code, json_of(error.response), error.response.headers) from error
        except (httpx.HTTPError, SubmitUnknownError, TimeoutError, KeyError, TypeError, ValueError) as error:
            text = f"fal: a file could not be uploaded ({type(error).__name__})"
            raise ServiceUnavailableError(text, provider="fal") from error

    async def poll(self, endpoint: str, ticket: Ticket) -> RunStatus:
        """One GET of the status, with logs."""
        try:
            status = await self._status(ticket)
        except FalClientHTTPError as error:
            raise poll_error(error) from error
        except _UNREADABLE as error:
            raise ServiceUnavailableError("fal: the status cannot be read", provider="fal") from error
        match status:
            case fal_client.Queued(position=position):
                return Queued(position)
            case fal_client.InProgress(logs=logs):
                return Running(log_lines(logs))
            case fal_client.Completed(logs=logs, metrics=metrics):
                return Ended(log_lines(logs), seconds_of(metrics, "inference_time"))
        raise ServiceUnavailableError(f"fal: a status of an unknown kind, {type(status).__name__}", provider="fal")

    async def _status(self, ticket: Ticket) -> fal_client.Status:
        """The status with its logs; without them where they are too large."""
        try:
            return await self._handle(ticket).status(with_logs=True)
        except BrokenPieceError:
            return await self._handle(ticket).status(with_logs=False)

    async def result(self, endpoint: str, ticket: Ticket) -> Reply | RunFailure:
        """The model's output, or the error that the run ended with. Up to three GETs: they are free."""
        again = three_attempts(ServiceUnavailableError, unless=_is_slow)
        try:
            response: httpx.Response = await again(self.http.get, _sendable(ticket.urls["response"]))
        except BrokenPieceError as error:  # larger than an answer may be, and billed all the same
            headers = getattr(error.__cause__, "headers", {})
            return RunFailure(error, units_of(headers.get("x-fal-billable-units")))
        return outcome_of(response)

    async def cancel(self, endpoint: str, ticket: Ticket) -> CancelResult:
        """One PUT. fal answers 200 for a queued run, 202 for a running, 400 for an ended, 404 for an unknown one.

        The SDK's `cancel` does not return which of 200 and 202 it was, so the request is sent with its client.
        """
        again = three_attempts(ServiceUnavailableError, unless=_is_slow)
        response: httpx.Response = await again(self.http.put, _sendable(ticket.urls["cancel"]))
        body, status = json_of(response), response.status_code
        match body:
            case {"status": "OK"} if status == 200:
                return CancelResult.STOPPED
            case {"status": "ALREADY_COMPLETED"} | {"status": "NOT_FOUND"}:
                return CancelResult.TOO_LATE
            case dict() if status < 300:
                return CancelResult.ASKED
        if status < 300 or status in {400, 404}:  # a proxy's page instead of the answer
            raise ServiceUnavailableError(f"fal: HTTP {status} to a cancel", provider="fal", status=status)
        raise fal_error(status, body, response.headers)

    def list_price(self, endpoint: str) -> ListPrice | None:
        """By fal's price list, which is read in the background."""
        return self._prices.price(endpoint)

    async def aclose(self) -> None:
        """Close connections. The SDK has no public method for it (fal-client 1.0.3)."""
        await self._prices.aclose()
        await self.http.aclose()

    def _handle(self, ticket: Ticket) -> AsyncRequestHandle:
        urls = {name: _sendable(url) for name, url in ticket.urls.items()}
        return AsyncRequestHandle(ticket.request_id, urls["response"], urls["status"], urls["cancel"], client=self.http)


def _ticket(request_id: str, handle: AsyncRequestHandle) -> Ticket:
    urls = {"status": handle.status_url, "response": handle.response_url, "cancel": handle.cancel_url}
    if not all(isinstance(url, str) and len(url) <= _LONGEST_URL for url in urls.values()):
        raise _unreadable_submit()
    return Ticket(request_id, urls)


def _unreadable_submit() -> SubmitUnknownError:
    text = "fal: the answer to the submit cannot be read; the job may have been accepted"
    return SubmitUnknownError(text, provider="fal")


def _is_slow(error: ServiceUnavailableError) -> bool:
    """Whether the same call would only take as long again."""
    return error.kind == "too_slow"


def _sendable(url: str) -> str:
    """The URL with what no URL may contain, such as control signs, percent-encoded."""
    return url if url.isprintable() else quote(url, safe="%/:?#[]@!$&'()*+,;=~")
