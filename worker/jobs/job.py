"""The values of a job: what was asked, how far it is, and the one table of allowed moves.

Frozen: the next state is a new value. An alias is the name that stored rows have: it never changes.
Times are seconds since the epoch by the ledger's clock (Redis), never a worker's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, Literal, assert_never

from pydantic import Field, TypeAdapter

Kind = Literal["image", "video", "audio", "weights", "json", "file"]
FileKind = Literal["image", "mask", "video", "audio", "weights", "archive"]  # of a file that a request names
Priority = Literal["low", "normal", "high"]


class Stage(StrEnum):
    """How far a job is. The last three are final."""

    SENT = "sent"  # written by the producer before its message; no worker has accepted it yet
    ACCEPTED = "accepted"  # valid, nothing sent
    SUBMITTING = "submitting"  # the intent is written, the POST may be out
    UNKNOWN = "unknown"  # the provider may or may not have taken it
    WAITING = "waiting"  # the ticket is saved, the provider works
    FETCHED = "fetched"  # the provider's answer is saved
    STORED = "stored"  # our store holds every piece
    CLOSING = "closing"  # the ending is decided and on its way to Celery
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({Stage.COMPLETED, Stage.FAILED, Stage.CANCELLED})


def _moves(stage: Stage) -> frozenset[Stage]:
    """The one table of allowed moves."""
    match stage:
        case Stage.SENT:
            return frozenset({Stage.SENT, Stage.ACCEPTED, Stage.CLOSING})
        case Stage.ACCEPTED:
            return frozenset({Stage.ACCEPTED, Stage.SUBMITTING, Stage.CLOSING})
        case Stage.SUBMITTING:
            ahead = {Stage.WAITING, Stage.FETCHED, Stage.STORED}
            return frozenset({*ahead, Stage.UNKNOWN, Stage.ACCEPTED, Stage.CLOSING})
        case Stage.UNKNOWN:
            return frozenset({Stage.UNKNOWN, Stage.WAITING, Stage.ACCEPTED, Stage.CLOSING})
        case Stage.WAITING:
            return frozenset({Stage.WAITING, Stage.FETCHED, Stage.STORED, Stage.ACCEPTED, Stage.CLOSING})
        case Stage.FETCHED:
            return frozenset({Stage.FETCHED, Stage.STORED, Stage.ACCEPTED, Stage.CLOSING})
        case Stage.STORED:
            return frozenset({Stage.CLOSING})
        case Stage.CLOSING:
            return frozenset({Stage.CLOSING, *FINAL})
        case Stage.COMPLETED | Stage.FAILED | Stage.CANCELLED:
            return frozenset()
        case _:
            assert_never(stage)


MOVES: Mapping[Stage, frozenset[Stage]] = {stage: _moves(stage) for stage in Stage}


@dataclass(frozen=True)
class Piece:
    """A file that a request promises. `at` is its path in the provider's answer, `*` for each of a list."""

    name: str
    kind: Kind
    at: str
    count: int = 1
    width: int | None = None  # pixels
    height: int | None = None
    ratio: float | None = None  # width / height, where only the shape is promised


@dataclass(frozen=True)
class Step:
    """One call for a result: a model by name, arguments by our names, and the pieces it must bring.

    `files` is filled in from the types of the request (`worker.jobs.file_arguments`).
    """

    model: str
    arguments: Mapping[str, Any]
    pieces: tuple[Piece, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)  # sent to the endpoint as it is
    files: Mapping[str, FileKind] | None = None  # which arguments are files: path -> kind; None: not recorded


@dataclass(frozen=True)
class Options:
    """What every task takes beside its request."""

    tenant: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float | None = None
    priority: Priority = "normal"
    idempotency_key: str | None = None
    provider: str | None = None  # who is tried first
    providers: tuple[str, ...] | None = None  # who is tried, and nobody else
    fallback: bool = True
    allow_degraded: bool = False
    fallback_on_policy: bool = False
    max_queue_s: float | None = None  # in a provider's queue, before another route is tried


@dataclass(frozen=True)
class Ticket:
    """What a provider hands back on submit, and all that is needed to ask again."""

    request_id: str
    urls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ErrorRecord:
    """An error as a row keeps it: the code of its class (`worker.errors`), the message, the provider's own words."""

    code: str
    message: str
    provider: str | None = None
    status: int | None = None
    kind: str | None = None


@dataclass(frozen=True)
class Cost:
    """Billed units times the catalogue's price. `estimated` where `extra` may have changed it, or no price is known."""

    usd: float | None
    units: float | None
    per: str | None
    estimated: bool


@dataclass(frozen=True)
class Attempt:
    """One try on one route."""

    number: int
    provider: str
    endpoint: str
    started_at: float
    ticket: Ticket | None = None
    submitted_at: float | None = None
    ended_at: float | None = None
    inference_s: float | None = None
    cost: Cost | None = None
    error: Annotated[ErrorRecord | None, Field(alias="trouble")] = None
    seed: int | None = None  # of our choice, where the caller left it open: it makes the submission findable
    possible_duplicate: bool = False  # the attempt before it may have been taken and paid for, unseen by us
    equivalence: str = "exact"  # how near its route comes to what was asked (`worker.routing.plan`)
    answered: bool = False  # the provider answered at once, without a ticket
    leaving: bool = False  # it is asked to leave its provider's queue, for another route

    @property
    def was_taken(self) -> bool:
        """Whether the provider has had it: it may be billed."""
        return self.ticket is not None or self.answered

    version: str | None = None  # what ran, as the provider calls it
    missing: tuple[ErrorRecord, ...] = ()  # why some of several pictures did not come


@dataclass(frozen=True)
class Receipt:
    """What became of a cancel. `in_time` is None when the provider never said."""

    asked_at: float
    told: bool = False  # whether the provider has been reached
    in_time: bool | None = None
    cost: Cost | None = None  # what was billed all the same, where it is known


@dataclass(frozen=True)
class HistoryEntry:
    """A line of a job's history."""

    at: float
    what: str  # a constant, as in a log
    text: str = ""
    times: int = 1  # the same again, `at` being the last time


@dataclass(frozen=True)
class Artefact:
    """A file in our store. `key` is its place there; its URL is signed when it is handed out."""

    name: str
    key: str
    kind: Kind
    content_type: str
    bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class Observation:
    """What was last seen of a running job; published, never decided on."""

    running: bool = False
    queue_position: int | None = None
    queued_at: float | None = None  # when it was last seen in the provider's queue
    progress: float | None = None  # 0 to 1
    progress_estimated: bool = True
    logs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A row: what was asked for, and everything needed to go on from here on any worker."""

    id: str
    task: str
    queue: str
    request: Mapping[str, Any]
    step: Step
    options: Options
    created_at: float
    stage: Stage = Stage.ACCEPTED
    attempts: tuple[Attempt, ...] = ()
    tries: Annotated[int, Field(alias="looks")] = 0  # of the stage that it is in
    defects: int = 0  # unexpected errors of ours in a row
    observed: Annotated[Observation, Field(alias="sight")] = Observation()
    given_up: tuple[str, ...] = ()  # routes that are not tried any more, as `worker.routing.routes` names them
    held_back_at: float | None = None  # since when no provider may be asked
    uploads: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # provider -> a file's reference -> URL
    # A language model's answer that cannot be used, and what is wrong with it, for its next attempt.
    bad_answer: Annotated[Mapping[str, Any] | None, Field(alias="bad")] = None
    answer: Mapping[str, Any] | None = None  # the provider's, from FETCHED on
    artefacts: tuple[Artefact, ...] = ()
    result: Mapping[str, Any] | None = None  # what the caller reads, once completed
    ending: Stage | None = None  # decided when CLOSING, never changed after
    error: Annotated[ErrorRecord | None, Field(alias="trouble")] = None  # why it failed
    closed_at: float | None = None
    published_at: Annotated[float | None, Field(alias="told_at")] = None  # when a status was last published
    sent_at: float | None = None  # when the producer wrote the row, if it did
    receipt: Receipt | None = None  # of a cancel, from the moment that the provider was asked to stop
    history: tuple[HistoryEntry, ...] = ()
    message: Mapping[str, Any] = field(default_factory=dict)  # the Celery message that the closing one continues

    @property
    def is_final(self) -> bool:
        """Whether nothing will happen to this job any more."""
        return self.stage in FINAL

    @property
    def is_brief(self) -> bool:
        """Whether it brings pictures or words alone: it runs, is fetched, and stored in moments."""
        return all(piece.kind == "image" for piece in self.step.pieces)

    @property
    def attempt(self) -> Attempt | None:
        """The attempt under way, or the last one."""
        return self.attempts[-1] if self.attempts else None

    def move(self, stage: Stage, **changes: Any) -> "Job":
        """The job at another stage. Raises `ValueError` for a move that the table does not allow."""
        if stage not in MOVES[self.stage]:
            raise ValueError(f"no move from {self.stage} to {stage}")
        return replace(self, stage=stage, **changes)

    def with_attempt(self, **changes: Any) -> "Job":
        """The job with its last attempt changed."""
        return replace(self, attempts=(*self.attempts[:-1], replace(self.attempts[-1], **changes)))


_JOB = TypeAdapter(Job)
_TICKET = TypeAdapter(Ticket)


def dump_job(job: Job) -> bytes:
    """The job as JSON, as the ledger keeps it."""
    return _JOB.dump_json(job, exclude_defaults=True, by_alias=True)


def dump_ticket(ticket: Ticket) -> str:
    """A ticket as JSON."""
    return _TICKET.dump_json(ticket).decode()


def load_ticket(raw: str) -> Ticket:
    """The ticket from its JSON."""
    return _TICKET.validate_json(raw)


def load_job(raw: bytes | str) -> Job:
    """The job from the ledger's JSON."""
    return _JOB.validate_json(raw)
