"""One request to a model, from submission to outcome, as values.

`Submission` and `Outcome` are frozen. `Job` changes, and only the scheduler moves it to another stage.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from twin.fal.address import BaseUrls
from twin.script import Fault, FaultKind


class Stage(StrEnum):
    """fal's three states; COMPLETED is the only final state, for success, failure and cancel."""

    QUEUED = "IN_QUEUE"
    RUNNING = "IN_PROGRESS"
    ENDED = "COMPLETED"


@dataclass(frozen=True, slots=True)
class Submission:
    """The input, the caller's account, and the options of a request."""

    endpoint: str
    app: str
    input: Mapping[str, Any]
    account: str
    base: BaseUrls
    headers: Mapping[str, str] = field(default_factory=dict)
    webhook_url: str | None = None
    is_low_priority: bool = False
    is_direct: bool = False
    start_timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the answer that the result call returns, and the billed units."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    units: float = 0.0
    usd: float | None = 0.0
    files: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the model produced its output."""
        return 200 <= self.status < 300

    @property
    def error_type(self) -> str | None:
        """The type of an infrastructure error, which the status call shows; model errors are only in the result."""
        return self.body.get("error_type") if isinstance(self.body, dict) else None

    @property
    def error(self) -> str | None:
        """The message for `error_type`."""
        return str(self.body.get("detail", self.error_type)) if self.error_type else None


@dataclass(slots=True)
class Job:
    """A request and its current state; times are unix seconds."""

    number: int
    request_id: str
    submission: Submission
    short_input: Mapping[str, Any]
    """The input with long texts cut, as `/_twin/requests` shows it."""
    is_cut: bool
    """Whether `short_input` is less than the whole input; after the end `submission.input` is `short_input`, too."""
    accepted_at: float
    ready_at: float
    seconds: float
    seed: int
    fault: Fault | None = None
    stage: Stage = Stage.QUEUED
    started_at: float | None = None
    ended_at: float | None = None
    outcome: Outcome | None = None
    size_bytes: int = 0
    """The approximate memory of this job."""
    polls: int = 0
    cancels: int = 0
    """The number of cancel calls, with or without effect."""
    webhook_statuses: list[int] = field(default_factory=list)
    """The HTTP status of each webhook attempt; 0 if no answer came."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set and replaced at every change of stage, so that streams can wait for the next one."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    hurried: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the run is to end now."""

    @property
    def is_stuck(self) -> bool:
        """Whether the script says that this run never ends."""
        return self.fault is not None and self.fault.what is FaultKind.STUCK
