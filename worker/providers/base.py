"""What a provider must be able to do, and the words it answers in.

Its vendor's exceptions end here: what is raised is an `ExternalServiceError` and says that we could not ask. What came
of a run that ended, well or not, is a value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from worker.errors import ExternalServiceError
from worker.files.media import Media
from worker.jobs.job import Priority, Ticket

RUN_CANCELLED = "client_cancelled"  # the `kind` of the error of a run that was cancelled before it ended


@dataclass(frozen=True)
class Call:
    """One call as the endpoint wants it: its own names and values.

    `files` are those that a provider wants inside the call, in the order in which a prompt counts them.
    """

    job_id: str
    endpoint: str
    arguments: Mapping[str, Any]
    priority: Priority = "normal"
    attempt: int = 1
    webhook_url: str | None = None  # where its end is to be told
    files: tuple[Media, ...] = ()


@dataclass(frozen=True)
class LostSubmission:
    """A submission whose answer was lost: what was sent, and when at the earliest (seconds since the epoch).

    `is_marked`: the arguments hold something of our choice, by which no other submission can be mistaken for it.
    `known` are requests of the same job that it cannot be.
    """

    endpoint: str
    arguments: Mapping[str, Any]
    since: float
    is_marked: bool = False
    known: frozenset[str] = frozenset()


class CancelResult(Enum):
    """What a provider says when it is asked to stop a run."""

    STOPPED = "stopped"  # it will not run
    ASKED = "asked"  # it runs, and may or may not stop: a look will tell
    TOO_LATE = "too_late"  # it had ended before


@dataclass(frozen=True)
class Queued:
    """Taken, not begun. `position` counts those ahead, when known."""

    position: int | None = None


@dataclass(frozen=True)
class Running:
    """Under way, with the log lines so far."""

    logs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """Over, well or not: `result` tells."""

    logs: tuple[str, ...] = ()
    inference_s: float | None = None


RunStatus = Queued | Running | Ended


@dataclass(frozen=True)
class Tokens:
    """What a language model read and wrote. Thoughts count as written."""

    read: int
    wrote: int

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.read + other.read, self.wrote + other.wrote)


@dataclass(frozen=True)
class Reply:
    """The provider's answer: its output, and the units it billed when it says so.

    `files` came inside the answer, whole: they are stored before anything of it is written to a row. `missing` says of
    several pictures asked for at once why some did not come. `version` is the model as the provider calls what ran.
    """

    output: Mapping[str, Any]
    billed_units: float | None = None
    files: tuple[bytes, ...] = ()
    missing: tuple[ExternalServiceError, ...] = ()
    tokens: Tokens | None = None
    version: str | None = None
    inference_s: float | None = None


@dataclass(frozen=True)
class RunFailure:
    """The error that a run ended with. It may have been billed all the same, like some of fal's 422s."""

    error: ExternalServiceError
    billed_units: float | None = None
    tokens: Tokens | None = None


class Provider(Protocol):
    """One who makes pieces. No method repeats a call that may cost money."""

    name: str
    call_s: float  # the longest that `submit` takes
    lists_requests: bool  # whether `find` can ever find
    result_bytes: int  # of memory that what `result` brings takes until it is stored, at the most

    def call_bytes(self, endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
        """The memory that a call takes until its answer is stored, at the most.

        `file_bytes` is what its files have together, those that are uploaded for it among them. 0 where a call is a few
        words, and so is its answer.
        """

    async def submit(self, call: Call) -> Ticket | Reply | RunFailure:
        """Have it taken: exactly one POST. `SubmitUnknownError` when nobody can tell whether it was.

        A ticket where the piece is asked for later; a synchronous provider answers here. What raises did not run.
        """

    async def upload(self, media: Media | Path) -> str:
        """Put a file where the provider can fetch it, and say its URL there. Safe to repeat.

        A path is that of a file too large for memory, on this disk; its name says what it is.
        Raises `RequestRefusedError` where files go inside the call.
        """

    async def poll(self, endpoint: str, ticket: Ticket) -> RunStatus:
        """How far it is. Safe to repeat."""

    async def result(self, endpoint: str, ticket: Ticket) -> Reply | RunFailure:
        """What came of a run that has ended. Safe to repeat."""

    async def cancel(self, endpoint: str, ticket: Ticket) -> CancelResult:
        """Ask it to stop. Safe to repeat."""

    def ticket_of(self, endpoint: str, request_id: str) -> Ticket:
        """The ticket of a request whose id came another way."""

    async def find(self, lost: LostSubmission) -> Ticket | None:
        """The submission, among those that the provider lists; None when it cannot be told. Safe to repeat."""

    async def aclose(self) -> None:
        """Close connections."""
