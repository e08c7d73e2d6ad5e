"""The interface of a provider, and the values that it takes and returns.

No exception of a vendor's SDK leaves a provider. It raises an `ExternalServiceError` when a call to the vendor fails.
The result of a run that has ended, good or bad, is a return value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from worker.errors import ExternalServiceError
from worker.files.media import Media
from worker.jobs.cost import Cost
from worker.jobs.job import Artefact, Priority, Ticket

RUN_CANCELLED = "client_cancelled"  # the `kind` of the error of a run that was cancelled before it ended


@dataclass(frozen=True)
class Call:
    """One call, with the endpoint's own parameter names and values.

    `files` are those that the provider takes inside the call, in the order in which the prompt numbers them.
    `start_within_s`: after so many seconds the provider should not begin the run any more, if it can be told so.
    """

    job_id: str
    endpoint: str
    arguments: Mapping[str, Any]
    priority: Priority = "normal"
    attempt: int = 1
    webhook_url: str | None = None  # where the provider reports the end of the run
    files: tuple[Media, ...] = ()
    start_within_s: float | None = None


@dataclass(frozen=True)
class LostSubmission:
    """A submission whose answer was lost: what was sent, and the earliest time of sending (seconds since the epoch).

    `is_marked`: the arguments contain a value that we chose, such as a seed, so no other submission has the same ones.
    `known`: request ids of the same job that belong to its other attempts. `others`: endpoints whose requests show how
    fresh the provider's list is.
    """

    job_id: str
    attempt: int
    endpoint: str
    arguments: Mapping[str, Any]
    since: float
    is_marked: bool = False
    known: frozenset[str] = frozenset()
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class SearchResult:
    """What a search of the provider's list has shown. A list that could not be read is an error, and never a result.

    Without a ticket the submission is not in the list. `listed_until` says how fresh the list is: a request of ours
    that ended at this time is in it (seconds since the epoch), so every one that ended before is in it. None: it shows
    none. `alike`, of a submission without a mark: the requests with exactly its input, the oldest first. Each of them
    may be another job's.
    """

    ticket: Ticket | None = None
    listed_until: float | None = None
    alike: tuple[Ticket, ...] = ()


class CancelResult(Enum):
    """A provider's answer to a cancel."""

    STOPPED = "stopped"  # it will not run
    ASKED = "asked"  # it runs, and may or may not stop; polling shows which
    TOO_LATE = "too_late"  # it had already ended


@dataclass(frozen=True)
class Queued:
    """In the provider's queue. `position` is the number of requests before it, if known."""

    position: int | None = None


@dataclass(frozen=True)
class Running:
    """Running, with its log lines so far, and its progress from 0 to 1 where a stream tells it."""

    logs: tuple[str, ...] = ()
    progress: float | None = None


@dataclass(frozen=True)
class Ended:
    """The run has ended, with success or failure: `result` returns which."""

    logs: tuple[str, ...] = ()
    inference_s: float | None = None


RunStatus = Queued | Running | Ended


@dataclass(frozen=True)
class Tokens:
    """Tokens that a model read, wrote and drew (pictures). Thinking tokens count as written.

    `cached` are those of `read` that a cache stored or returned: the vendor has other prices for them.
    """

    read: int
    wrote: int
    drew: int = 0
    cached: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        drew, cached = self.drew + other.drew, self.cached + other.cached
        return Tokens(self.read + other.read, self.wrote + other.wrote, drew, cached)


MOST_TOKENS = 100_000_000  # no call has more


def possible_tokens(read: int, wrote: int, drew: int = 0, cached: int = 0) -> Tokens | None:
    """The tokens; None for numbers that cannot be. Then the cost keeps its bounds."""
    if not all(0 <= count <= MOST_TOKENS for count in (read, wrote, drew, cached)) or cached > read:
        return None
    return Tokens(read, wrote, drew, cached)


@dataclass(frozen=True)
class Reply:
    """The output of a run, and the units that the provider billed, if it reports them.

    `files` are the bytes of files that came inside the answer; they are stored before the row is written. `missing`
    has an error for each requested picture that did not come. `version` is the provider's name of the model that ran.
    `billed_as_asked`: the provider reports no units, and bills the seconds or pictures of the request. A pipeline
    returns files that its steps have stored (`stored`), and the sum of their costs. So does a job whose run is another
    job.
    """

    output: Mapping[str, Any]
    billed_units: float | None = None
    files: tuple[bytes, ...] = ()
    missing: tuple[ExternalServiceError, ...] = ()
    tokens: Tokens | None = None
    version: str | None = None
    inference_s: float | None = None
    billed_as_asked: bool = False
    stored: tuple[Artefact, ...] | None = None
    cost: Cost | None = None


@dataclass(frozen=True)
class RunFailure:
    """The error that a run ended with. It may have been billed, as some of fal's 422s are.

    `is_free`: the provider's documentation says that it does not bill such a failure. `cost`: see `Reply`.
    `output`: the run was good, but its answer has no file. A task that takes any answer takes it.
    """

    error: ExternalServiceError
    billed_units: float | None = None
    tokens: Tokens | None = None
    is_free: bool = False
    cost: Cost | None = None
    output: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ListPrice:
    """What a provider's public price list says: US dollars for one unit, and its own word for the unit."""

    usd: float
    unit: str


class Provider(Protocol):
    """A service that makes files or text. No method repeats a call that may cost money."""

    name: str
    call_s: float  # `submit` takes at most so long, in seconds
    lists_requests: bool  # whether `find` can return a ticket at all
    result_bytes: int  # the most memory that a result needs until it is stored

    def call_bytes(self, endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
        """The most memory, in bytes, that a call needs until its answer is stored. 0 where both are short texts.

        `file_bytes` is the size of all its files together, including those that are uploaded for it.
        """

    async def submit(self, call: Call) -> Ticket | Reply | RunFailure:
        """Submit the call with exactly one POST. Returns a ticket; a synchronous provider returns the result.

        Raises `SubmitUnknownError` when the provider may or may not have accepted it. After any other error, nothing
        runs.
        """

    async def upload(self, media: Media | Path) -> str:
        """Upload a file to a place that the provider can read, and return its URL there. Safe to repeat.

        A path is a file on this disk that is too large for memory; its suffix is that of its type.
        Raises `RequestRefusedError` where files go inside the call.
        """

    async def poll(self, endpoint: str, ticket: Ticket) -> RunStatus:
        """The status of a run. Safe to repeat."""

    async def result(self, endpoint: str, ticket: Ticket) -> Reply | RunFailure:
        """The result of a run that has ended. Safe to repeat."""

    async def cancel(self, endpoint: str, ticket: Ticket) -> CancelResult:
        """Cancel a run. Safe to repeat."""

    def ticket_of(self, endpoint: str, request_id: str) -> Ticket:
        """The ticket of a request whose id is known from a webhook or a list."""

    async def find(self, lost: LostSubmission) -> SearchResult:
        """Search the provider's list of requests for this submission. Safe to repeat.

        Raises `AuthenticationError` when our key may not read the list, and another `ExternalServiceError` when it
        could not be read now.
        """

    def list_price(self, endpoint: str) -> ListPrice | None:
        """The price by the provider's own list, as far as it is known by now. Never waits, and costs nothing."""

    async def aclose(self) -> None:
        """Close connections."""
