"""The request list: which ended requests a query means, and what is told of each.

As described at https://docs.fal.ai/platform-apis/v1/models/requests/by-endpoint. Two things are not said there and are
taken to be so: `start` and `end` bound the time of the end, and a request that never started has no `started_at`.
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
from twin.fal.payloads import Payloads

DAY_S = 86_400.0
USUAL_DAYS = 1
DAYS_OF_ONE = 90
"""How far back a list reaches without `start`: of one request much farther than of an endpoint."""


class Ending(StrEnum):
    """fal's three kinds of ending, by the status of the result."""

    SUCCESS = "success"
    ERROR = "error"
    USER_ERROR = "user_error"


def _moment(text: str) -> float:
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


Moment = Annotated[float, BeforeValidator(_moment)]


class ListQuery(BaseModel):
    """What the caller asked for; times are unix seconds, `end` is exclusive."""

    model_config = ConfigDict(frozen=True)

    endpoint_id: tuple[str, ...] = Field(min_length=1, max_length=50)
    start: Moment | None = None
    end: Moment | None = None
    status: Ending | None = None
    request_id: UUID | None = None
    expand: frozenset[Literal["payloads"]] = frozenset()
    sort_by: Literal["ended_at", "duration"] = "ended_at"
    limit: int = Field(default=50, ge=1, le=100)
    cursor: Annotated[int, BeforeValidator(_page)] = 1


def read_query(params: QueryParams) -> ListQuery:
    """Read a query string; raise ValidationError. Names that may come often take commas as well."""
    values: dict[str, Any] = {name: params[name] for name in ListQuery.model_fields if name in params}
    for name in {"endpoint_id", "expand"} & values.keys():
        values[name] = [part for value in params.getlist(name) for part in value.split(",") if part]
    return ListQuery.model_validate(values)


@dataclass(frozen=True, slots=True)
class Shelf:
    """What a list is made from: one account's requests, and how late an ended one shows."""

    jobs: Iterable[Job]
    payloads: Payloads
    lag_s: float

    def page(self, query: ListQuery, now: float) -> dict[str, Any]:
        """Return one page, newest or longest first, and the cursor of the next."""
        found = [job for job in self.jobs if self._is_shown(job, now) and _is_meant(query, job, now)]
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
        """Both are null if the caller wanted nothing stored; `sync_mode` keeps the output out of the history."""
        if job.submission.headers.get("x-fal-store-io") == "0":
            return {"json_input": None, "json_output": None}
        is_inline = job.submission.input.get("sync_mode") is True
        output = job.outcome.body if job.outcome and not is_inline else None
        return {"json_input": self.payloads.find(job), "json_output": output}


def _is_meant(query: ListQuery, job: Job, now: float) -> bool:
    days = DAYS_OF_ONE if query.request_id else USUAL_DAYS
    start = now - days * DAY_S if query.start is None else query.start
    return (
        job.submission.endpoint in query.endpoint_id
        and (query.request_id is None or str(query.request_id) == job.request_id)
        and (query.status is None or query.status is _ending(job))
        and start <= _ended_at(job)
        and (query.end is None or _ended_at(job) < query.end)
    )


def _ending(job: Job) -> Ending:
    status = job.outcome.status if job.outcome else 500
    return Ending.SUCCESS if status < 400 else Ending.USER_ERROR if status < 500 else Ending.ERROR


def _ended_at(job: Job) -> float:
    return job.ended_at or 0.0


def _duration_s(job: Job) -> float:
    """Return the time from sending to the end, as the numbers of fal's own example have it."""
    return _ended_at(job) - job.accepted_at


def _stamp(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
