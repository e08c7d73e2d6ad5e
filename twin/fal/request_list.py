"""The request list: reads a query, and returns a page of the ended requests that match it.

As described at https://docs.fal.ai/platform-apis/v1/models/requests/by-endpoint. Two points are not described there and
are assumptions: `start` and `end` limit the time of the end, and a request that never started has no `started_at`.
"""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.datastructures import QueryParams

from twin.fal.job import Job
from twin.fal.stored_inputs import StoredInputs

DAY_S = 86_400.0
DEFAULT_DAYS = 1
DEFAULT_DAYS_OF_ONE_REQUEST = 90
"""How far back a list without `start` reaches: 1 day for an endpoint, 90 days for one request."""


class EndStatus(StrEnum):
    """fal's three kinds of end, by the HTTP status of the result."""

    SUCCESS = "success"
    ERROR = "error"
    USER_ERROR = "user_error"


def _timestamp(text: str) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _page(text: str) -> int:
    try:
        page = int(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise ValueError("not a cursor of this list") from error
    if page < 1:
        raise ValueError("not a cursor of this list")
    return page


Timestamp = Annotated[float, BeforeValidator(_timestamp)]


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
    cursor: Annotated[int, BeforeValidator(_page)] = 1


def read_query(params: QueryParams) -> ListQuery:
    """Read a query string; raise ValidationError. Parameters that can be repeated can also have commas."""
    values: dict[str, Any] = {name: params[name] for name in ListQuery.model_fields if name in params}
    for name in {"endpoint_id", "expand"} & values.keys():
        values[name] = [part for value in params.getlist(name) for part in value.split(",") if part]
    return ListQuery.model_validate(values)


@dataclass(frozen=True, slots=True)
class RequestList:
    """The ended requests of one account; each is listed `lag_s` seconds after its end."""

    jobs: Iterable[Job]
    stored_inputs: StoredInputs
    lag_s: float

    def page(self, query: ListQuery, now: float) -> dict[str, Any]:
        """Return one page, newest or longest first, and the cursor of the next page."""
        found = [job for job in self.jobs if self._is_shown(job, now) and _matches(query, job, now)]
        found.sort(key=_duration_s if query.sort_by == "duration" else _ended_at, reverse=True)
        first, last = (query.cursor - 1) * query.limit, query.cursor * query.limit
        has_more = len(found) > last
        return {
            "items": [self._item(job, "payloads" in query.expand) for job in found[first:last]],
            "next_cursor": base64.b64encode(str(query.cursor + 1).encode()).decode() if has_more else None,
            "has_more": has_more,
        }

    def _is_shown(self, job: Job, now: float) -> bool:
        return job.ended_at is not None and job.ended_at + self.lag_s <= now

    def _item(self, job: Job, with_payloads: bool) -> dict[str, Any]:
        item = {
            "request_id": job.request_id,
            "endpoint_id": job.submission.endpoint,
            "started_at": _stamp(job.started_at),
            "sent_at": _stamp(job.accepted_at),
            "ended_at": _stamp(job.ended_at),
            "status_code": job.outcome.status if job.outcome else None,
            "duration": round(_duration_s(job), 3),
        }
        return item | (self._payloads(job) if with_payloads else {})

    def _payloads(self, job: Job) -> dict[str, Any]:
        """Return input and output: both null with `X-Fal-Store-IO: 0`, the output null with `sync_mode`."""
        if job.submission.headers.get("x-fal-store-io") == "0":
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


def _end_status(job: Job) -> EndStatus:
    status = job.outcome.status if job.outcome else 500
    return EndStatus.SUCCESS if status < 400 else EndStatus.USER_ERROR if status < 500 else EndStatus.ERROR


def _ended_at(job: Job) -> float:
    return job.ended_at or 0.0


def _duration_s(job: Job) -> float:
    """Return the time from submission to end, as in the numbers of fal's example."""
    return _ended_at(job) - job.accepted_at


def _stamp(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
