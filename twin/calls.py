"""The paid calls that the imitations of Google and Anthropic took: what was asked, where it stands, what came.

fal's requests have a scheduler of their own; a record has the same fields there and here.
"""

import json
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twin.files import FileStore
from twin.script import Fault, Provider, What
from twin.shorten import shorten

MAX_KEPT = 5_000
MAX_KEPT_BYTES = 128 * 1024 * 1024
MAX_SEED = 2**31


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked, by whom."""

    provider: Provider
    endpoint: str
    request_id: str
    account: str
    input: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it: the body as it goes out, the same as a record shows it, and the bill."""

    body: Any
    shown: Any
    status: int = 200
    error_type: str | None = None
    units: float = 0.0
    usd: float = 0.0
    files: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class PaidCall:
    """A call that was taken; times are unix seconds. A long operation has its answer before it has ended."""

    number: int
    order: Order
    record: Mapping[str, Any]
    accepted_at: float
    seconds: float
    seed: int
    fault: Fault | None
    ended_at: float | None = None
    answer: Answer | None = None
    weight: int = 0
    polls: int = 0

    @property
    def is_stuck(self) -> bool:
        """Whether this call was ordered never to end."""
        return self.is_hit_by(What.STUCK)

    def is_hit_by(self, what: What) -> bool:
        """Whether this fault was ordered for the run."""
        return self.fault is not None and self.fault.what is what

    def has_ended(self, now: float) -> bool:
        """Whether the answer is there for its caller."""
        return self.ended_at is not None and self.ended_at <= now


class CallBook:
    """Owns every call; the oldest are forgotten, bounded by number and bytes."""

    def __init__(
        self,
        files: FileStore,
        clock: Callable[[], float],
        max_kept: int = MAX_KEPT,
        max_kept_bytes: int = MAX_KEPT_BYTES,
    ) -> None:
        self._files, self._clock, self._max_kept, self._max_kept_bytes = files, clock, max_kept, max_kept_bytes
        self._calls: OrderedDict[str, PaidCall] = OrderedDict()
        self._bytes = 0
        self._accepted: Counter[tuple[Provider, str]] = Counter()

    def accept(self, order: Order, seconds: float, fault: Fault | None) -> PaidCall:
        """Write a call down."""
        self._accepted[order.provider, order.endpoint] += 1
        call = PaidCall(
            number=self._accepted.total(),
            order=order,
            record=shorten(order.input),
            accepted_at=self._clock(),
            seconds=seconds,
            seed=random.randrange(MAX_SEED) if order.seed is None else order.seed,
            fault=fault,
        )
        self._calls[order.request_id] = call
        self._weigh(call)
        return call

    def end(self, call: PaidCall, answer: Answer, at: float | None) -> None:
        """Write down what came of a call, and when its caller may know; None is never."""
        call.answer, call.ended_at = answer, at
        if call.order.request_id in self._calls:
            self._weigh(call)

    def find(self, request_id: str) -> PaidCall | None:
        """Return a call that is still known."""
        return self._calls.get(request_id)

    def calls(self) -> list[PaidCall]:
        """Return every call that is still known, oldest first."""
        return list(self._calls.values())

    def accepted_count(self, endpoint: str | None = None, provider: Provider = Provider.ANY) -> int:
        """Return how many calls were ever taken, of one endpoint, one provider, or all."""
        return sum(
            count
            for (of, name), count in self._accepted.items()
            if provider in (Provider.ANY, of) and endpoint in (None, name)
        )

    def record(self, call: PaidCall) -> dict[str, Any]:
        """Return a call as the control page shows it."""
        has_ended = call.has_ended(self._clock())
        answer = call.answer if has_ended else None
        return {
            "provider": call.order.provider.value,
            "endpoint": call.order.endpoint,
            "request_id": call.order.request_id,
            "input": call.record,
            "headers": dict(call.order.headers),
            "account": call.order.account,
            "webhook_url": None,
            "webhook_statuses": [],
            "is_direct": True,
            "state": "COMPLETED" if has_ended else "IN_PROGRESS",
            "is_cancelled": False,
            "cancels": 0,
            "http_status": answer.status if answer else None,
            "error_type": answer.error_type if answer else None,
            "output": answer.shown if answer else None,
            "billed": {"units": answer.units if answer else 0.0, "usd": answer.usd if answer else 0.0},
            "accepted_at": call.accepted_at,
            "started_at": call.accepted_at,
            "completed_at": call.ended_at if has_ended else None,
            "polls": call.polls,
        }

    def clear(self) -> None:
        """Forget every call and every count."""
        for call in self._calls.values():
            self._drop_files(call)
        self._calls.clear()
        self._accepted.clear()
        self._bytes = 0

    def _weigh(self, call: PaidCall) -> None:
        self._bytes -= call.weight
        call.weight = len(json.dumps(call.record)) + len(json.dumps(call.answer.shown if call.answer else None))
        self._bytes += call.weight
        while len(self._calls) > self._max_kept or (self._bytes > self._max_kept_bytes and len(self._calls) > 1):
            dropped = self._calls.pop(self._oldest())
            self._bytes -= dropped.weight
            self._drop_files(dropped)

    def _drop_files(self, call: PaidCall) -> None:
        for path in call.answer.files if call.answer else ():
            self._files.drop_made(path)

    def _oldest(self) -> str:
        """Return the oldest ended call; the oldest of all when none has ended."""
        now = self._clock()
        return next((name for name, call in self._calls.items() if call.has_ended(now)), next(iter(self._calls)))
