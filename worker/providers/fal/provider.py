"""fal.ai through its official SDK: one client per process, every request sent once (`guard`).

`errors` maps error answers. When to poll and whether to retry is decided by the engine.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from worker.net.repeat import three_attempts
from worker.providers.base import (
    Call,
    CancelResult,
    Ended,
    LostSubmission,
    Provider,
    Queued,
    Reply,
    RunFailure,
    Running,
    RunStatus,
    SearchResult,
)
from worker.providers.fal.billing_events import billing_events
from worker.providers.fal.errors import fal_error
from worker.providers.fal.guard import FalGuard, is_from_fal
from worker.providers.fal.platform import TWIN_KEY, platform_url
from worker.providers.fal.request_list import EARLIER_S, find_request
from worker.providers.fal.tags import ATTEMPT, JOB, job_tag, tag_header
from worker.providers.fal.upload import upload_file

log = structlog.get_logger(__name__)

YEAR_S = 31_536_000  # no run takes longer
UPLOAD_S = 1800.0  # timeout of one file


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
    http._transport = FalGuard(transport, settings.fal_base_url)
    http._cookies = NoCookies()
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
        self._client, self._http, self._platform_url = client, http, platform_url

    def call_bytes(self, endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
        """The files that are uploaded; the call and its answer are text and URLs."""
        return file_bytes

    async def submit(self, call: Call) -> Ticket:
        """One POST to fal's queue.

        Low priority is sent only if `KILNHAND_FAL_LOW_PRIORITY` is set: fal has one queue per endpoint for all its
        customers, and a low request waits behind the normal requests of all of them.
        """
        is_low = self._sends_low and call.priority == "low"
        try:
            handle = await self._client.submit(
                call.endpoint,
                dict(call.arguments),
                priority="low" if is_low else "normal",
                webhook_url=call.webhook_url,
                headers={"X-Fal-Tags": tag_header(call.job_id, call.attempt)},
            )
        except FalClientHTTPError as error:
            raise _sdk_error(error) from error
        except (KeyError, TypeError, ValueError) as error:  # accepted, but the answer cannot be read
            raise SubmitUnknownError(
                "fal: the answer to the submit cannot be read; the job may have been accepted", provider="fal"
            ) from error
        return _ticket(handle)

    def ticket_of(self, endpoint: str, request_id: str) -> Ticket:
        """The ticket, with URLs that the SDK builds from the app and the id."""
        return _ticket(AsyncRequestHandle.from_request_id(self._http, endpoint, request_id))

    async def find(self, lost: LostSubmission) -> SearchResult:
        """Search the list of ended requests, then the billing events with our tags.

        The list has inputs only if the account stores payloads. The billing events need tagged reporting, which fal
        switches on: they can show a submission, but never that there is none.
        """
        try:
            listed = await find_request(self._http, self._platform_url, lost)
        except ExternalServiceError:
            if ticket := await self._billed(lost):
                return SearchResult(ticket)
            raise
        if listed.request_id:
            return SearchResult(self.ticket_of(lost.endpoint, listed.request_id))
        return SearchResult(await self._billed(lost), listed.until)

    async def _billed(self, lost: LostSubmission) -> Ticket | None:
        """The ticket of the request that was billed with this attempt's tags."""
        tags = {JOB: job_tag(lost.job_id), ATTEMPT: str(lost.attempt)}
        since = lost.since - EARLIER_S
        try:
            events = await billing_events(self._http, self._platform_url, since=since, tags=tags)
        except ExternalServiceError as error:
            log.debug("billing_events_not_read", job=lost.job_id, error=error.message)
            return None
        ids = {event.request_id for event in events if event.request_id not in lost.known}
        return self.ticket_of(lost.endpoint, ids.pop()) if len(ids) == 1 else None

    async def upload(self, media: Media | Path) -> str:
        """Upload to fal's file store, over the SDK's own connections. Uploads are not billed."""
        try:
            async with asyncio.timeout(UPLOAD_S):
                if isinstance(media, Path):
                    return await upload_file(self._client, media)
                return str(await self._client.upload(media.data, media.content_type))
        except FalClientHTTPError as error:
            raise _sdk_error(error) from error
        except httpx.HTTPStatusError as error:  # for the token, which the SDK requests with another client
            raise fal_error(error.response.status_code, _json(error.response), error.response.headers) from error
        except (httpx.HTTPError, SubmitUnknownError, TimeoutError, KeyError, TypeError, ValueError) as error:
            text = f"fal: a file could not be uploaded ({type(error).__name__})"
            raise ServiceUnavailableError(text, provider="fal") from error

    async def poll(self, endpoint: str, ticket: Ticket) -> RunStatus:
        """One GET of the status, with logs."""
        try:
            status = await self._handle(ticket).status(with_logs=True)
        except FalClientHTTPError as error:
            raise _poll_error(error) from error
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceUnavailableError("fal: the status cannot be read", provider="fal") from error
        match status:
            case fal_client.Queued(position=position):
                return Queued(position)
            case fal_client.InProgress(logs=logs):
                return Running(_lines(logs))
            case fal_client.Completed(logs=logs, metrics=metrics):
                return Ended(_lines(logs), _seconds(metrics, "inference_time"))
        raise ServiceUnavailableError(f"fal: a status of an unknown kind, {type(status).__name__}", provider="fal")

    async def result(self, endpoint: str, ticket: Ticket) -> Reply | RunFailure:
        """The model's output, or the error that the run ended with. Up to three GETs: they are free."""
        again = three_attempts(ServiceUnavailableError)
        response: httpx.Response = await again(self._http.get, ticket.urls["response"])
        output, units = _json(response), _number(response.headers.get("x-fal-billable-units"))
        if response.status_code >= 400:
            is_free = units is None and response.status_code >= 500  # fal does not bill 5xx (docs.fal.ai, pricing)
            return RunFailure(_run_error(response, output), units, is_free=is_free)
        if not isinstance(output, dict):
            if not is_from_fal("GET", response):  # a proxy's page instead of the result
                raise ServiceUnavailableError("fal: the result cannot be read", provider="fal")
            return RunFailure(BrokenPieceError("fal: the result is not a JSON object", provider="fal"), units)
        return Reply(output, units, inference_s=_seconds(output.get("timings"), "inference"))

    async def cancel(self, endpoint: str, ticket: Ticket) -> CancelResult:
        """One PUT. fal answers 200 for a queued run, 202 for a running, 400 for an ended, 404 for an unknown one.

        The SDK's `cancel` does not return which of 200 and 202 it was, so the request is sent with its client.
        """
        again = three_attempts(ServiceUnavailableError)
        response: httpx.Response = await again(self._http.put, ticket.urls["cancel"])
        body, status = _json(response), response.status_code
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

    async def aclose(self) -> None:
        """Close connections. The SDK has no public method for it (fal-client 1.0.3)."""
        await self._http.aclose()

    def _handle(self, ticket: Ticket) -> AsyncRequestHandle:
        urls = ticket.urls
        return AsyncRequestHandle(
            ticket.request_id, urls["response"], urls["status"], urls["cancel"], client=self._http
        )


def _ticket(handle: AsyncRequestHandle) -> Ticket:
    urls = {"status": handle.status_url, "response": handle.response_url, "cancel": handle.cancel_url}
    return Ticket(handle.request_id, urls)


def _sdk_error(error: FalClientHTTPError) -> ExternalServiceError:
    return fal_error(error.status_code, _json(error.response), error.response_headers)


def _poll_error(error: FalClientHTTPError) -> ExternalServiceError:
    """The error of a failed poll. It says nothing about the run, unless fal does not know the request."""
    body = _json(error.response)
    if error.status_code == 404 and _is_unknown(body):
        return _not_found()
    if error.status_code in {401, 403}:
        return _sdk_error(error)
    return ServiceUnavailableError(f"fal: HTTP {error.status_code} to a poll", provider="fal", status=error.status_code)


def _run_error(response: httpx.Response, body: object) -> ExternalServiceError:
    """The error that a run ended with. Raises an error where the answer is not about the run."""
    status = response.status_code
    if status == 404 and _is_unknown(body):
        return _not_found()
    if status in {401, 403}:
        raise fal_error(status, body, response.headers)
    if not is_from_fal("GET", response) or (status == 400 and "in progress" in response.text):
        raise ServiceUnavailableError(f"fal: HTTP {status} instead of the result", provider="fal", status=status)
    return fal_error(status, body, response.headers)


def _is_unknown(body: object) -> bool:
    return isinstance(body, dict) and body.get("status") == "NOT_FOUND"


def _not_found() -> ExternalServiceError:
    return RequestRefusedError("fal: the request is not known any more", provider="fal", status=404, kind="not_found")


def _json(response: httpx.Response) -> object:
    try:
        found: object = response.json()
        if b"\\ud" in response.content:  # half a surrogate pair, which UTF-8 cannot encode
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
        return found
    except ValueError:
        return response.text[:500]


def _lines(logs: list[dict[str, object]] | None) -> tuple[str, ...]:
    lines = (str(line.get("message", ""))[:500] for line in (logs or [])[-20:])
    return tuple(line.encode("utf-8", "replace").decode() for line in lines)


def _seconds(metrics: object, name: str) -> float | None:
    value = metrics.get(name) if isinstance(metrics, dict) else None
    return float(value) if isinstance(value, int | float) and 0 <= value < YEAR_S else None


def _number(value: str | None) -> float | None:
    try:
        return float(value) if value else None
    except ValueError:
        return None
