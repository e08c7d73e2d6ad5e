"""The provider's side of an audit: what it billed, by request.

Only fal can be asked (`worker.providers.fal.billing_events`). Its plain events have every cost; those with tags come
later, and say to which attempt of which job a request belongs.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from worker.errors import ExternalServiceError
from worker.providers.fal.billing_events import BillingEvent, billing_events, billing_pages
from worker.providers.fal.permissions import PermissionMissingError
from worker.providers.fal.platform import FalPlatform
from worker.providers.fal.tags import ATTEMPT, JOB, job_tag

CLOCKS_S = 60.0  # the clocks of fal and Redis may differ


@dataclass(frozen=True)
class Bill:
    """What one request cost at its provider. `usd` is None if the provider names no price.

    `tags` is None if they are not known (yet); empty if the request was sent without any.
    """

    request_id: str
    endpoint: str
    usd: float | None
    at: float
    tags: Mapping[str, str] | None = None

    @property
    def job(self) -> str | None:
        """The job that it was sent for, by its tag."""
        return (self.tags or {}).get(JOB)

    @property
    def attempt(self) -> int | None:
        """The attempt that it was sent for, by its tag."""
        number = (self.tags or {}).get(ATTEMPT, "")
        return int(number) if number.isdecimal() else None


@dataclass(frozen=True)
class Bills:
    """All bills of a time, and why their tags are not known, if so."""

    bills: tuple[Bill, ...]
    tags_missing: str | None = None


async def fal_bills(
    platform: FalPlatform, since: float, until: float, progress: Callable[[int], None] = lambda count: None
) -> Bills:
    """What fal billed from `since` until before `until`. `progress` gets the number of events so far.

    Raises `PermissionMissingError` and the other errors of `billing_events`. Missing tags are no error.
    """
    plain = await _read(platform, since, until, False, progress)
    try:
        tagged = await _read(platform, since, until, True, progress)
    except PermissionMissingError as error:
        return Bills(sum_by_request(plain, {}), error.message)
    except ExternalServiceError as error:
        return Bills(sum_by_request(plain, {}), f"the events with tags cannot be read now: {error.message}")
    return Bills(sum_by_request([*plain, *_only_in(tagged, plain)], {event.request_id: event.tags for event in tagged}))


async def bills_of_job(platform: FalPlatform, job_id: str, since: float) -> tuple[Bill, ...]:
    """What fal billed for all attempts of a job, by its tag. Raises the errors of `billing_events`."""
    tags = {JOB: job_tag(job_id)}
    events = await billing_events(platform.http, platform.url, since=since - CLOCKS_S, tags=tags)
    return sum_by_request(events, {event.request_id: event.tags for event in events})


async def bills_of_request(platform: FalPlatform, request_id: str, since: float) -> tuple[Bill, ...]:
    """What fal billed for a request. It needs no tags. Raises the errors of `billing_events`."""
    events = await billing_events(platform.http, platform.url, since=since - CLOCKS_S, request_ids=[request_id])
    return sum_by_request(events, {})


async def _read(
    platform: FalPlatform, since: float, until: float, tagged: bool, progress: Callable[[int], None]
) -> list[BillingEvent]:
    found: dict[object, BillingEvent] = {}
    async for page in billing_pages(platform.http, platform.url, since=since, until=until, tagged=tagged):
        found |= {(event.request_id, event.at, event.units, event.usd): event for event in page}
        progress(len(found))
    return list(found.values())


def _only_in(tagged: Iterable[BillingEvent], plain: Iterable[BillingEvent]) -> list[BillingEvent]:
    """Events that came between the two reads."""
    known = {event.request_id for event in plain}
    return [event for event in tagged if event.request_id not in known]


def sum_by_request(events: Iterable[BillingEvent], tags: Mapping[str, Mapping[str, str]]) -> tuple[Bill, ...]:
    """One bill for each request: it may have several events, such as a correction."""
    found: dict[str, Bill] = {}
    for event in events:
        before = found.get(event.request_id)
        usd = event.usd
        if before is not None:
            usd = None if before.usd is None or usd is None else round(before.usd + usd, 9)
        at = max(event.at, before.at) if before else event.at
        found[event.request_id] = Bill(event.request_id, event.endpoint, usd, at, tags.get(event.request_id))
    return tuple(found.values())
