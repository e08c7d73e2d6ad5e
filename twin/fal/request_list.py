"""The request list: reads a query, and returns a page of the ended requests that match it.

As described at https://docs.fal.ai/platform-apis/v1/models/requests/by-endpoint. Two points are not described there and
are assumptions: `start` and `end` limit the time of the end, and a request that never started has no `started_at`.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import QueryParams

from twin.fal.job import Job
from twin.fal.listing import DAY_S, Cursor, Timestamp, cut_page, read_params, stamp
from twin.fal.platform_settings import PlatformSettings
from twin.fal.stored_inputs import StoredInputs

DEFAULT_DAYS = 1
DEFAULT_DAYS_OF_ONE_REQUEST = 90
"""How far back a list without `start` reaches: 1 day for an endpoint, 90 days for one request."""


class EndStatus(StrEnum):
    """fal's three kinds of end, by the HTTP status of the result."""

    SUCCESS = "success"
    ERROR = "error"
    USER_ERROR = "user_error"


class ListQuery(BaseModel):
    """The parameters of a list call; times are unix seconds, `end` is exclusive."""

    model_config = ConfigDict(frozen=True)

    endpoint_id: tuple[str, ...] = Field(min_length=1, max_length=50)
    start: Timestamp | None = None
    end: Timestamp | None = None
    status: EndStatus | None = None
    request_id: UUID | None = None
    expand: frozenset[Literal["payloads"]] = frozenset()
    sort_by: Literal["ended_at", "duration"] = "ended_at"
    limit: int = Field(default=50, ge=1, le=100)
    cursor: Cursor = 1


def read_query(params: QueryParams) -> ListQuery:
    """Read a query string; raise ValidationError. Parameters that can be repeated can also have commas."""
    values = read_params(ListQuery, params, "endpoint_id", "expand")
    return ListQuery.model_validate(values)


@dataclass(frozen=True, slots=True)
class RequestList:
    """The ended requests of one account; each is listed `lag_s` seconds after its end, or never (`settings`)."""

    jobs: Iterable[Job]
    stored_inputs: StoredInputs
    lag_s: float
    settings: PlatformSettings

    def page(self, query: ListQuery, now: float) -> dict[str, Any]:
        """Return one page, newest or longest first, and the cursor of the next page."""
        found = [job for job in self.jobs if self._is_shown(job, now) and _matches(query, job, now)]
        found.sort(key=_duration_s if query.sort_by == "duration" else _ended_at, reverse=True)
        page, more = cut_page(found, query.cursor, query.limit)
        return {"items": [self._item(job, "payloads" in query.expand) for job in page], **more}

    def _is_shown(self, job: Job, now: float) -> bool:
        is_recorded = _share_of(job) >= self.settings.list_missing_share
        return is_recorded and job.ended_at is not None and job.ended_at + self.lag_s <= now

    def _item(self, job: Job, with_payloads: bool) -> dict[str, Any]:
        item = {
            "request_id": job.request_id,
            "endpoint_id": job.submission.endpoint,
            "started_at": stamp(job.started_at),
            "sent_at": stamp(job.accepted_at),
            "ended_at": stamp(job.ended_at),
            "status_code": job.outcome.status if job.outcome else None,
            "duration": round(_duration_s(job), 3),
        }
        return item | (self._payloads(job) if with_payloads else {})

    def _payloads(self, job: Job) -> dict[str, Any]:
        """Return input and output: both null if they are not stored, the output null with `sync_mode`."""
        if not self.settings.stores_payloads or job.submission.headers.get("x-fal-store-io") == "0":
            return {"json_input": None, "json_output": None}
        is_inline = job.submission.input.get("sync_mode") is True
        output = job.outcome.body if job.outcome and not is_inline else None
        return {"json_input": self.stored_inputs.find(job), "json_output": output}


def _matches(query: ListQuery, job: Job, now: float) -> bool:
    days = DEFAULT_DAYS_OF_ONE_REQUEST if query.request_id else DEFAULT_DAYS
    start = now - days * DAY_S if query.start is None else query.start
    return (
        job.submission.endpoint in query.endpoint_id
        and (query.request_id is None or str(query.request_id) == job.request_id)
        and (query.status is None or query.status is _end_status(job))
        and start <= _ended_at(job)
        and (query.end is None or _ended_at(job) < query.end)
    )


def _share_of(job: Job) -> float:
    """Return a number of 0 to 1 that never changes, so that a missing request stays missing."""
    return zlib.crc32(job.request_id.encode()) / 2**32


def _end_status(job: Job) -> EndStatus:
    status = job.outcome.status if job.outcome else 500
    return EndStatus.SUCCESS if status < 400 else EndStatus.USER_ERROR if status < 500 else EndStatus.ERROR


def _ended_at(job: Job) -> float:
    return job.ended_at or 0.0


def _duration_s(job: Job) -> float:
    """Return the time from submission to end, as in the numbers of fal's example."""
    return _ended_at(job) - job.accepted_at
