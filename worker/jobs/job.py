"""The values of a job: its request, its progress, and the one table of allowed moves.

Frozen: the next state is a new value. An alias is the field's name in stored rows, which never changes.
Times are seconds since the epoch by the ledger's clock (Redis), never by a worker's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, Literal, assert_never

from pydantic import Field, TypeAdapter

from worker.jobs.cost import Cost

Kind = Literal["image", "video", "audio", "weights", "json", "file"]
FileKind = Literal["image", "mask", "video", "audio", "weights", "archive", "file"]  # of a file in a request
Priority = Literal["low", "normal", "high"]
Duplicates = Literal["allow", "never"]


class Stage(StrEnum):
    """How far a job is. The last three are final."""

    SENT = "sent"  # written by the producer before its message; no worker has accepted it yet
    ACCEPTED = "accepted"  # valid, nothing submitted
    SUBMITTING = "submitting"  # the intent is written, the POST may have been sent
    UNKNOWN = "unknown"  # the provider may or may not have taken it
    WAITING = "waiting"  # the ticket is saved, polls follow
    FETCHED = "fetched"  # the provider's answer is saved
    STORED = "stored"  # every piece is in our store
    CLOSING = "closing"  # the ending is decided and is being sent to Celery
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
            following = {Stage.SUBMITTING, Stage.UNKNOWN, Stage.WAITING}
            return frozenset({Stage.ACCEPTED, *following, Stage.CLOSING})
        case Stage.SUBMITTING:
            ahead = {Stage.WAITING, Stage.FETCHED, Stage.STORED}
            return frozenset({*ahead, Stage.UNKNOWN, Stage.ACCEPTED, Stage.CLOSING})
        case Stage.UNKNOWN:
            ahead = {Stage.WAITING, Stage.FETCHED, Stage.STORED}
            return frozenset({*ahead, Stage.UNKNOWN, Stage.ACCEPTED, Stage.CLOSING})
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
    """A file that a request promises. `at` is its path in the provider's answer; `*` means each item of a list."""

    name: str
    kind: Kind
    at: str
    count: int = 1
    # The fewest files that are enough, if fewer than `count` will do; with 0 an answer without any is good. A version
    # before it drops it; then fewer files than `count` fail the job.
    fewest: int | None = None
    width: int | None = None  # pixels
    height: int | None = None
    ratio: float | None = None  # width / height, if only the ratio is promised
    # The length of a video, and whether it must have sound. A version before drops them; then neither is checked.
    duration_s: float | None = None
    sound: bool = False
    # The largest picture that is decoded for it. A version before it drops it; then the worker's own limit counts.
    most_megapixels: int | None = None
    # Whether it must have an alpha channel. A version before it drops it; then an opaque picture passes.
    transparent: bool = False
    # A file is verified and named by what its bytes are, since nobody knows what the endpoint makes. A version before
    # it drops it; then the file is stored as it is.
    as_found: bool = False


@dataclass(frozen=True)
class Step:
    """One call for a result: a model's name, arguments by our names, and the promised pieces.

    `worker.jobs.file_arguments` fills in `files` from the types of the request.
    """

    model: str
    arguments: Mapping[str, Any]
    pieces: tuple[Piece, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)  # sent to the endpoint unchanged
    files: Mapping[str, FileKind] | None = None  # which arguments are files: path -> kind. None: not recorded
    # What the task's check of input files has found, for its check of the answer; not sent. A version before drops it:
    # an answer check must do without.
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Options:
    """The options that every task takes besides its request."""

    tenant: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    deadline_s: float | None = None
    priority: Priority = "normal"
    idempotency_key: str | None = None
    provider: str | None = None  # this provider is tried first
    providers: tuple[str, ...] | None = None  # only these providers are tried, in this order
    fallback: bool = True
    allow_degraded: bool = False
    fallback_on_policy: bool = False
    max_queue_s: float | None = None  # seconds in a provider's queue before another route is tried
    duplicates: Duplicates | None = None  # whether a lost submission is made again; None: by its price
    # US dollars for all attempts together. A version before it drops it when it writes the row, and knows no limit
    # anyway: set it after all workers are updated.
    max_usd: float | None = None
    # The age in seconds up to which the files of an equal, finished request are taken. A version before drops it when
    # it writes the row; then only a run that is under way is shared.
    reuse_s: float | None = None


@dataclass(frozen=True)
class Ticket:
    """What a provider returns for a submission: all that is needed to poll it from any worker."""

    request_id: str
    urls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ErrorRecord:
    """An error as a row stores it: the code of its class (`worker.errors`), its message, and the provider's details."""

    code: str
    message: str
    provider: str | None = None
    status: int | None = None
    kind: str | None = None


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
    cost: Cost | None = None  # from the intent on: what it may cost, then what it did. None: nothing can be billed
    error: Annotated[ErrorRecord | None, Field(alias="trouble")] = None
    seed: int | None = None  # chosen by us if the caller left it open: it identifies a lost submission
    possible_duplicate: bool = False  # an earlier attempt may have been taken and paid for without our knowledge
    equivalence: str = "exact"  # how near its route comes to the request (`worker.routing.plan`)
    answered: bool = False  # the provider answered at once, without a ticket
    leaving: bool = False  # a cancel was sent, so that it leaves its provider's queue for another route

    @property
    def was_taken(self) -> bool:
        """Whether the provider has taken it, so that it may be billed."""
        return self.ticket is not None or self.answered

    version: str | None = None  # the version that ran, by the provider's name
    missing: tuple[ErrorRecord, ...] = ()  # why some of several pictures are missing


@dataclass(frozen=True)
class Receipt:
    """The result of a cancel. `in_time` is None if the provider never said."""

    asked_at: float
    told: bool = False  # whether the cancel has reached the provider
    in_time: bool | None = None
    cost: Cost | None = None  # what was billed nevertheless for the last attempt, if it is known
    # For all attempts. A version before it drops it, and the job's attempts still have every cost.
    total_cost: Cost | None = None


HELD_BACK = "held_back"  # an accepted job is not submitted now; the entry's text says why


@dataclass(frozen=True)
class HistoryEntry:
    """An entry of a job's history."""

    at: float
    what: str  # a constant, like a log event
    text: str = ""
    times: int = 1  # how often it was repeated; `at` is the last time


@dataclass(frozen=True)
class Artefact:
    """A file in our store under `key`. Its URL is signed when a result is made."""

    name: str
    key: str
    kind: Kind
    content_type: str
    bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    # Of a video. A version before drops them when it writes the row; then the result does not name the poster.
    has_sound: bool | None = None
    poster_key: str | None = None  # a frame of it, as a JPEG


@dataclass(frozen=True)
class Observation:
    """What the last poll saw of a running job. It is published; no decision depends on it."""

    running: bool = False
    queue_position: int | None = None
    queued_at: float | None = None  # when it was last seen in the provider's queue
    progress: float | None = None  # 0 to 1
    progress_estimated: bool = True
    logs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A row: the request, and everything that any worker needs to continue."""

    id: str
    task: str
    queue: str
    request: Mapping[str, Any]
    step: Step
    options: Options
    created_at: float
    stage: Stage = Stage.ACCEPTED
    attempts: tuple[Attempt, ...] = ()
    tries: Annotated[int, Field(alias="looks")] = 0  # tries of the current stage
    defects: int = 0  # our own unexpected errors, one after another
    observed: Annotated[Observation, Field(alias="sight")] = Observation()
    given_up: tuple[str, ...] = ()  # routes that are not tried again, by their names of `worker.routing.routes`
    held_back_at: float | None = None  # the time since which no provider may be asked
    uploads: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # provider -> a file's reference -> URL
    # A language model's unusable answer and its faults, for the next attempt.
    bad_answer: Annotated[Mapping[str, Any] | None, Field(alias="bad")] = None
    answer: Mapping[str, Any] | None = None  # the provider's, from stage FETCHED on
    artefacts: tuple[Artefact, ...] = ()
    result: Mapping[str, Any] | None = None  # what the caller gets, when it is completed
    ending: Stage | None = None  # decided at stage CLOSING, then never changed
    error: Annotated[ErrorRecord | None, Field(alias="trouble")] = None  # why it failed
    closed_at: float | None = None
    published_at: Annotated[float | None, Field(alias="told_at")] = None  # when a status was last published
    sent_at: float | None = None  # when the producer wrote the row, if it did
    resent_at: float | None = None  # when a worker last sent its message again
    receipt: Receipt | None = None  # of a cancel, from the moment the provider is asked to stop
    history: tuple[HistoryEntry, ...] = ()
    message: Mapping[str, Any] = field(default_factory=dict)  # the Celery message that the closing one continues
    # The random part of the keys of its files. A version before drops it when it writes the row; then the hash of the
    # id and the creation time takes its place (`worker.jobs.file_keys`), and a file may be stored a second time.
    folder: str = ""

    @property
    def is_final(self) -> bool:
        """Whether nothing will happen to this job any more."""
        return self.stage in FINAL

    @property
    def is_brief(self) -> bool:
        """Whether its pieces are only pictures or text, which are fetched and stored within moments."""
        return all(piece.kind == "image" for piece in self.step.pieces)

    @property
    def attempt(self) -> Attempt | None:
        """The current attempt, or the last one."""
        return self.attempts[-1] if self.attempts else None

    @property
    def is_possible_duplicate(self) -> bool:
        """Whether it may have been paid for more than once."""
        return any(attempt.possible_duplicate for attempt in self.attempts)

    @property
    def new_run(self) -> str | None:
        """The run that this row is the first to name, where only its input tells it from runs of other jobs."""
        if self.stage != Stage.WAITING or self.tries or self.attempts[-1].seed is not None:
            return None
        ticket = self.attempts[-1].ticket
        return run_name(self.attempts[-1].provider, ticket) if ticket else None

    def move(self, stage: Stage, **changes: Any) -> "Job":
        """The job at another stage. Raises `ValueError` for a move that the table does not allow."""
        if stage not in MOVES[self.stage]:
            raise ValueError(f"no move from {self.stage} to {stage}")
        return replace(self, stage=stage, **changes)

    def with_attempt(self, **changes: Any) -> "Job":
        """The job with its last attempt changed."""
        return replace(self, attempts=(*self.attempts[:-1], replace(self.attempts[-1], **changes)))

    def with_last(self, attempt: Attempt) -> "Job":
        """The job with this attempt of it as its last one; the others keep their order."""
        others = (each for each in self.attempts if each.number != attempt.number)
        return replace(self, attempts=(*others, attempt))


_JOB = TypeAdapter(Job)
_TICKET = TypeAdapter(Ticket)


def dump_job(job: Job) -> bytes:
    """The job as the ledger's JSON."""
    return _JOB.dump_json(job, exclude_defaults=True, by_alias=True, exclude_computed_fields=True)


def run_name(provider: str, ticket: Ticket) -> str:
    """The name of a run, among the runs of all providers."""
    return f"{provider}:{ticket.request_id}"


def dump_ticket(ticket: Ticket) -> str:
    """A ticket as JSON."""
    return _TICKET.dump_json(ticket).decode()


def load_ticket(raw: str) -> Ticket:
    """The ticket from its JSON."""
    return _TICKET.validate_json(raw)


def load_job(raw: bytes | str) -> Job:
    """The job from the ledger's JSON."""
    return _JOB.validate_json(raw)
