"""What one step of a row sees, works with and returns; and how a row is sent to its end."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from config.catalogue import Catalogue
from worker.errors import ExternalServiceError, KilnhandError, ServiceUnavailableError, error_class
from worker.files.base import Store
from worker.files.fetch import Fetcher
from worker.files.inputs import InputFiles
from worker.files.memory_budget import MemoryBudget, Reservation
from worker.health.base import Health, Permit
from worker.health.verdict import Verdict
from worker.jobs.job import Cost, ErrorRecord, Job, Receipt, Stage
from worker.jobs.signals import WebhookReport, webhook_signal
from worker.providers.base import Media, Provider
from worker.routing.routes import name_of

NOW = 0.0  # go on in the same claim
RESEND_S = 8.0  # a message that nobody confirmed is sent again after this, then in doubling steps


@dataclass
class CallResources:
    """What a claim has in hand from one step to the next, and no row should hold."""

    permit: Permit | None = None  # of the provider's health, for the submission to come
    verdict: Verdict | None = None  # on it, to be told once the row is written
    files: tuple[Media, ...] = ()  # that go with the call
    room: Reservation | None = None  # in memory, for the call with its files and its answer
    is_large: bool = False  # its files have turned out to be larger than files of a call usually are

    def empty(self) -> None:
        """Let go of the files, and give their room back. What it gave back it does not give again."""
        self.files = ()
        if self.room:
            self.room.give_back()
            self.room = None

    async def take_room(self, memory: MemoryBudget | None, wanted_bytes: int) -> bool:
        """Whether so much room is in hand now; waits for it. What was in hand is given back first."""
        self.empty()
        if memory is not None:
            self.room = await memory.take(wanted_bytes)
        return memory is None or self.room is not None


@dataclass(frozen=True)
class StepInput:
    """What one step sees beside the row: the ledger's time, signals, and whether this claim wrote the intent."""

    now: float
    signals: Mapping[str, str]
    clock: Callable[[], float]  # the ledger's
    strikes: int = 1
    intent_is_ours: bool = False
    late_s: float = 0.0  # how long the row had been due when it was claimed
    resources: CallResources = field(default_factory=CallResources)

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has asked for the job's end."""
        return "cancel" in self.signals

    def later(self) -> "StepInput":
        """The same by now: calls, files and waits take their time."""
        return replace(self, now=self.clock())

    def heard(self, attempt: int) -> WebhookReport | None:
        """What the provider has told by webhook of this attempt's end."""
        raw = self.signals.get(webhook_signal(attempt))
        return WebhookReport.load(raw) if raw else None


@dataclass(frozen=True)
class Transition:
    """The row as it is to be written, when it is due again, and why, where the row alone does not tell."""

    job: Job
    due_in_s: float = NOW
    why: str = ""


@dataclass(frozen=True)
class Context:
    """What the steps work with."""

    catalogue: Catalogue
    providers: Mapping[str, Provider]
    disabled: Mapping[str, str]  # what to set, by provider, for those that are missing
    fetcher: Fetcher
    store: Store
    url_s: float
    chance: Callable[[], float]
    webhook: Callable[[str, str, int], str] | None = None  # of provider, job id, attempt; None: polling alone
    health: Health | None = None  # None: everybody may always be asked
    inputs: InputFiles | None = None  # None: no route here wants files inside its calls
    memory: MemoryBudget | None = None  # None: calls may take whatever they want
    signals: Callable[[str], Awaitable[Mapping[str, str]]] | None = None  # on a job's row by now

    def provider(self, name: str) -> Provider:
        """The provider. Raises `ServiceUnavailableError` when it is disabled here."""
        if lack := self.lacks(name):
            raise ServiceUnavailableError(f"{name} is disabled on this worker: {lack}", provider=name)
        return self.providers[name]

    def lacks(self, name: str) -> str | None:
        """What to set for this provider; None for one that is enabled."""
        return None if name in self.providers else self.disabled.get(name, f"this version has no provider {name}")


def close(job: Job) -> Transition:
    """Let a closing job go: it is looked at again only if its closing message was lost."""
    return Transition(job, RESEND_S)


def fail(job: Job, error: KilnhandError, now: float) -> Job:
    """The job on its way to its end as a failure."""
    trouble = error_record(error)
    if job.attempts and job.attempts[-1].ended_at is None:
        job = job.with_attempt(ended_at=now, error=trouble)
    return job.move(Stage.CLOSING, ending=Stage.FAILED, error=trouble, answer=None, closed_at=now, tries=0)


def cancel(job: Job, receipt: Receipt, now: float) -> Job:
    """The job on its way to its end as a cancelled one; what it has is kept."""
    if job.attempts and job.attempts[-1].ended_at is None:
        job = job.with_attempt(ended_at=now)
    receipt = replace(receipt, cost=receipt.cost or _billed(job))
    return job.move(Stage.CLOSING, ending=Stage.CANCELLED, receipt=receipt, answer=None, closed_at=now, tries=0)


def _billed(job: Job) -> Cost | None:
    """The cost of the last attempt that has one."""
    costs = [attempt.cost for attempt in job.attempts if attempt.cost]
    return costs[-1] if costs else None


def error_record(error: KilnhandError) -> ErrorRecord:
    """The error as a row keeps it."""
    if isinstance(error, ExternalServiceError):
        return ErrorRecord(error.code, error.message, error.provider, error.status, error.kind)
    return ErrorRecord(error.code, error.message)


def final_error(job: Job, error: KilnhandError, shut: Sequence[str] = ()) -> KilnhandError:
    """The error that a job ends with: the first route's last one, or `error` before any; and why no other served it."""
    last = {name_of(attempt): attempt for attempt in job.attempts if attempt.error}
    first, *others = [attempt.error for attempt in last.values() if attempt.error] or [error_record(error)]
    notes = [f"{name.split()[0]} failed too: {each.message}" for name, each in zip([*last][1:], others, strict=True)]
    message, cls = "; ".join([first.message, *notes, *shut]), error_class(first.code)
    if issubclass(cls, ExternalServiceError):
        return cls(message, provider=first.provider, status=first.status, kind=first.kind)
    return cls(message)
