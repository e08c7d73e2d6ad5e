"""The billing events: one for each request that cost something, with its units, its price and its tags.

As described at https://fal.ai/docs/platform-apis/v1/models/billing-events, and for the tags in the description of
`source` and `tag` in fal's OpenAPI document. Not described there, and assumptions: an event has the time of the
request's end; a limit is 100 by default; `tag` without `source=tagged-billed` is refused with 400.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from starlette.datastructures import QueryParams

from twin.fal.job import Job
from twin.fal.listing import DAY_S, Cursor, Timestamp, cut_page, read_params, stamp

MAX_KEPT = 100_000
MAX_DAYS = 90
UNTAGGED = "(untagged)"
MAX_TAGS, MAX_TAG_BYTES = 10, 1_024
TAG = re.compile(r"([a-z0-9._-]{1,64})=([ -+\--~]{1,256})")


class Source(StrEnum):
    """The feed of all events, or the later one in which events have tags."""

    BILLED = "billed"
    TAGGED = "tagged-billed"


def _tag_filter(text: Any) -> Any:
    key, equals, value = str(text).partition("=")
    if not (key and equals and value):
        raise ValueError("a tag is key=value")
    return key, value


TagFilter = Annotated[tuple[str, str], BeforeValidator(_tag_filter)]


class BillingQuery(BaseModel):
    """The parameters of a call; times are unix seconds, `end` is exclusive."""

    model_config = ConfigDict(frozen=True)

    start: Timestamp | None = None
    end: Timestamp | None = None
    source: Source = Source.BILLED
    endpoint_id: tuple[str, ...] = Field(default=(), max_length=50)
    request_id: tuple[str, ...] = Field(default=(), max_length=50)
    tag: tuple[TagFilter, ...] = Field(default=(), max_length=10)
    expand: frozenset[Literal["auth_method", "auth_method_structured"]] = frozenset()
    limit: int = Field(default=100, ge=1, le=10_000)
    cursor: Cursor = 1

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.tag and self.source is not Source.TAGGED:
            raise ValueError("tag needs source=tagged-billed")
        return self

    def bounds(self, now: float) -> tuple[float, float]:
        """Return start and end. Raise ValueError for more than 90 days."""
        start = now - DAY_S if self.start is None else self.start
        end = now if self.end is None else self.end
        if end - start > MAX_DAYS * DAY_S:
            raise ValueError(f"start: the range is longer than {MAX_DAYS} days")
        return start, end


def read_query(params: QueryParams) -> BillingQuery:
    """Read a query string; raise ValidationError."""
    return BillingQuery.model_validate(
        {
            **read_params(BillingQuery, params, "endpoint_id", "request_id", "expand"),
            **({"tag": params.getlist("tag")} if "tag" in params else {}),
        }
    )


@dataclass(frozen=True, slots=True)
class BillingEvent:
    """What one request cost. `usd` is None if the twin knows no price."""

    account: str
    request_id: str
    endpoint: str
    at: float
    units: float
    usd: float | None
    tags: Mapping[str, str] = field(default_factory=dict)


class BillingEvents:
    """The events of all accounts. They stay after their requests are dropped."""

    def __init__(self) -> None:
        self._events: OrderedDict[str, BillingEvent] = OrderedDict()

    def add(self, job: Job) -> None:
        """Store the event of an ended request, unless it cost nothing: then fal has none."""
        if job.outcome is None or job.ended_at is None or not job.outcome.units:
            return
        submission = job.submission
        self._events[job.request_id] = BillingEvent(
            account=submission.account,
            request_id=job.request_id,
            endpoint=submission.endpoint,
            at=job.ended_at,
            units=job.outcome.units,
            usd=job.outcome.usd,
            tags=read_tags(submission.headers.get("x-fal-tags", "")),
        )
        if len(self._events) > MAX_KEPT:
            self._events.popitem(last=False)

    def clear(self) -> None:
        """Drop all events."""
        self._events.clear()

    def page(
        self, query: BillingQuery, account: str, now: float, lag_s: float, tag_keys: tuple[str, ...] | None
    ) -> dict[str, Any]:
        """Return one page, newest first. Events are shown `lag_s` after their end; raise ValueError for a bad range.

        `tag_keys`: the tags that are shown and searched; None: all.
        """
        start, end = query.bounds(now)
        found = [
            (event, tags)
            for event in self._events.values()
            if event.account == account and start <= event.at < end and event.at + lag_s <= now
            for tags in [_activated(event.tags, tag_keys)]
            if _matches(query, event, tags)
        ]
        found.sort(key=lambda pair: pair[0].at, reverse=True)
        page, more = cut_page(found, query.cursor, query.limit)
        is_tagged = query.source is Source.TAGGED
        events = [_item(event) | ({"tags": tags} if is_tagged else {}) for event, tags in page]
        return {"billing_events": events, **more}


def read_tags(header: str) -> dict[str, str]:
    """Return the tags of an `X-Fal-Tags` header. fal drops bad ones without an error, and so does this."""
    pairs = header.split(",")[:MAX_TAGS] if len(header) <= MAX_TAG_BYTES else []
    found = (TAG.fullmatch(pair.strip()) for pair in pairs)
    return {match[1]: match[2] for match in found if match and not match[1].startswith("fal.")}


def _activated(tags: Mapping[str, str], keys: tuple[str, ...] | None) -> dict[str, str]:
    return {key: value for key, value in tags.items() if keys is None or key in keys}


def _matches(query: BillingQuery, event: BillingEvent, tags: Mapping[str, str]) -> bool:
    """Whether it fits: different tags must all match, several values of one tag are alternatives."""
    wanted: dict[str, set[str]] = {}
    for key, value in query.tag:
        wanted.setdefault(key, set()).add(value)
    return (
        (not query.endpoint_id or event.endpoint in query.endpoint_id)
        and (not query.request_id or event.request_id in query.request_id)
        and all(tags.get(key, UNTAGGED) in values for key, values in wanted.items())
    )


def _item(event: BillingEvent) -> dict[str, Any]:
    price = None if event.usd is None else round(event.usd / event.units, 9)
    return {
        "request_id": event.request_id,
        "endpoint_id": event.endpoint,
        "timestamp": stamp(event.at),
        "output_units": event.units,
        "unit_price": price,
        "percent_discount": None,
        "cost_subtotal": event.usd,
        "cost_discount": None if event.usd is None else 0.0,
        "cost_total": event.usd,
        "cost_estimate_nano_usd": None if event.usd is None else round(event.usd * 1e9),
    }
