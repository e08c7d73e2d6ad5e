"""Stores the calls that the imitations of Google and Anthropic accepted, with their answers and costs.

fal's requests are in `twin.fal.scheduler`. Both kinds have the same fields in `/_twin/requests`.
"""

import json
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twin.file_store import FileStore
from twin.script import Fault, FaultKind, Provider
from twin.shorten import shorten

MAX_KEPT = 5_000
MAX_KEPT_BYTES = 128 * 1024 * 1024
MAX_SEED = 2**31


@dataclass(frozen=True, slots=True)
class CallDetails:
    """Who called which model, with which input."""

    provider: Provider
    endpoint: str
    request_id: str
    account: str
    input: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a call: its body, the body for `/_twin/requests` (URLs in place of bytes), and its cost."""

    body: Any
    recorded: Any
    status: int = 200
    error_type: str | None = None
    units: float = 0.0
    usd: float = 0.0
    files: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class PaidCall:
    """An accepted call; times are unix seconds. The answer of a long operation is made before its `ended_at`."""

    number: int
    details: CallDetails
    short_input: Mapping[str, Any]
    accepted_at: float
    seconds: float
    seed: int
    fault: Fault | None
    ended_at: float | None = None
    answer: Answer | None = None
    size_bytes: int = 0
    polls: int = 0

    @property
    def is_stuck(self) -> bool:
        """Whether the script says that this call never ends."""
        return self.has_fault(FaultKind.STUCK)

    def has_fault(self, what: FaultKind) -> bool:
        """Whether the script has this fault for the run."""
        return self.fault is not None and self.fault.what is what

    def has_ended(self, now: float) -> bool:
        """Whether the caller may see the answer."""
        return self.ended_at is not None and self.ended_at <= now


class CallStore:
    """All calls; above a number or a total of bytes the oldest ended call is dropped."""

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

    def accept(self, details: CallDetails, seconds: float, fault: Fault | None) -> PaidCall:
        """Store a new call."""
        self._accepted[details.provider, details.endpoint] += 1
        call = PaidCall(
            number=self._accepted.total(),
            details=details,
            short_input=shorten(details.input),
            accepted_at=self._clock(),
            seconds=seconds,
            seed=random.randrange(MAX_SEED) if details.seed is None else details.seed,
            fault=fault,
        )
        self._calls[details.request_id] = call
        self._update_size(call)
        return call

    def end(self, call: PaidCall, answer: Answer, at: float | None) -> None:
        """Store the answer of a call; the caller may see it from the time `at`, or never if that is None."""
        call.answer, call.ended_at = answer, at
        if call.details.request_id in self._calls:
            self._update_size(call)

    def find(self, request_id: str) -> PaidCall | None:
        """Return a call by its id; None if it is not stored."""
        return self._calls.get(request_id)

    def calls(self) -> list[PaidCall]:
        """Return all stored calls, oldest first."""
        return list(self._calls.values())

    def accepted_count(self, endpoint: str | None = None, provider: Provider = Provider.ANY) -> int:
        """Return how many calls were ever accepted, also dropped ones; all, or of one endpoint or provider."""
        return sum(
            count
            for (of, name), count in self._accepted.items()
            if provider in (Provider.ANY, of) and endpoint in (None, name)
        )

    def describe(self, call: PaidCall) -> dict[str, Any]:
        """Return a call as `/_twin/requests` shows it."""
        has_ended = call.has_ended(self._clock())
        answer = call.answer if has_ended else None
        return {
            "provider": call.details.provider.value,
            "endpoint": call.details.endpoint,
            "request_id": call.details.request_id,
            "input": call.short_input,
            "headers": dict(call.details.headers),
            "account": call.details.account,
            "webhook_url": None,
            "webhook_statuses": [],
            "is_direct": True,
            "state": "COMPLETED" if has_ended else "IN_PROGRESS",
            "is_cancelled": False,
            "cancels": 0,
            "http_status": answer.status if answer else None,
            "error_type": answer.error_type if answer else None,
            "output": answer.recorded if answer else None,
            "billed": {"units": answer.units if answer else 0.0, "usd": answer.usd if answer else 0.0},
            "accepted_at": call.accepted_at,
            "started_at": call.accepted_at,
            "completed_at": call.ended_at if has_ended else None,
            "polls": call.polls,
        }

    def clear(self) -> None:
        """Drop all calls and counts."""
        for call in self._calls.values():
            self._drop_files(call)
        self._calls.clear()
        self._accepted.clear()
        self._bytes = 0

    def _update_size(self, call: PaidCall) -> None:
        self._bytes -= call.size_bytes
        call.size_bytes = len(json.dumps(call.short_input)) + len(
            json.dumps(call.answer.recorded if call.answer else None)
        )
        self._bytes += call.size_bytes
        while len(self._calls) > self._max_kept or (self._bytes > self._max_kept_bytes and len(self._calls) > 1):
            dropped = self._calls.pop(self._oldest())
            self._bytes -= dropped.size_bytes
            self._drop_files(dropped)

    def _drop_files(self, call: PaidCall) -> None:
        for path in call.answer.files if call.answer else ():
            self._files.drop_generated(path)

    def _oldest(self) -> str:
        """Return the id of the oldest ended call, or of the oldest call if none has ended."""
        now = self._clock()
        return next((name for name, call in self._calls.items() if call.has_ended(now)), next(iter(self._calls)))
