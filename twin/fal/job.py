"""One request to a model, from submission to outcome, as plain values.

`Submission` and `Outcome` are frozen. `Job` is the one thing that changes, and only the scheduler changes it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from twin.fal.address import Base
from twin.script import Fault, What


class Stage(StrEnum):
    """fal's three states; COMPLETED is the only final one, for good and bad endings alike."""

    QUEUED = "IN_QUEUE"
    RUNNING = "IN_PROGRESS"
    ENDED = "COMPLETED"


@dataclass(frozen=True, slots=True)
class Submission:
    """What was asked, by whom, and on which terms."""

    endpoint: str
    app: str
    input: Mapping[str, Any]
    account: str
    base: Base
    headers: Mapping[str, str] = field(default_factory=dict)
    webhook_url: str | None = None
    is_low_priority: bool = False
    is_direct: bool = False
    start_timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the answer that the result call replays, and what was billed."""

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
        """The type of an infrastructure error, as the status call shows it; model errors show in the result only."""
        return self.body.get("error_type") if isinstance(self.body, dict) else None

    @property
    def error(self) -> str | None:
        """The message that goes with `error_type`."""
        return str(self.body.get("detail", self.error_type)) if self.error_type else None


@dataclass(slots=True)
class Job:
    """A request and where it stands; times are unix seconds."""

    number: int
    request_id: str
    submission: Submission
    record: Mapping[str, Any]
    """The input as the control page shows it: long texts cut."""
    is_cut: bool
    """Whether `record` is less than the whole input; after the end the submission, too, has only the record."""
    accepted_at: float
    ready_at: float
    seconds: float
    seed: int
    fault: Fault | None = None
    stage: Stage = Stage.QUEUED
    started_at: float | None = None
    ended_at: float | None = None
    outcome: Outcome | None = None
    weight: int = 0
    """Bytes that this job keeps in memory, roughly."""
    polls: int = 0
    cancels: int = 0
    """How many cancel calls came, whatever became of them."""
    webhook_statuses: list[int] = field(default_factory=list)
    """HTTP status of each webhook attempt; 0 where no answer came."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set and replaced at every move, so that streams may wait for the next one."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_stuck(self) -> bool:
        """Whether this run was ordered never to end."""
        return self.fault is not None and self.fault.what is What.STUCK
