"""What a step works with (`Context`), what it is given (`StepInput`), and what it returns (`Transition`)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from config.catalogue import Catalogue
from config.settings import DUPLICATE_USD
from worker.errors import ServiceUnavailableError
from worker.files.base import Store
from worker.files.fetch import Fetcher
from worker.files.file_checks import FileCheck
from worker.files.inputs import InputFiles
from worker.files.media import Media
from worker.files.memory_budget import MemoryBudget, Reservation
from worker.health.base import Health, Permit
from worker.health.verdict import Verdict
from worker.jobs.answers import AnswerCheck
from worker.jobs.job import Job
from worker.jobs.signals import CANCEL, WebhookReport, webhook_signal
from worker.providers.base import Provider
from worker.routing.served import Served

NOW = 0.0  # a pause: the same claim goes on
RECLAIM_S = 0.001  # a pause: the row is claimed again, since a claim knows only of signals that came before it


@dataclass
class CallResources:
    """What a claim holds for its provider call from one step to the next, and no row should hold."""

    permit: Permit | None = None  # of the provider's health, for the submission to come
    verdict: Verdict | None = None  # on the provider, reported once the row is written
    files: tuple[Media, ...] = ()  # that go inside the call
    memory: Reservation | None = None  # for the call with its files and its answer
    is_large: bool = False  # its files have turned out to be larger than files of a call usually are
    paid: Job | None = None  # the job with the cost of its answer, while the files of that answer are stored

    def release(self) -> None:
        """Drop the files and give the memory back. A second release does nothing."""
        self.files = ()
        if self.memory:
            self.memory.give_back()
            self.memory = None

    async def reserve(self, budget: MemoryBudget | None, wanted_bytes: int, tenant: str | None) -> bool:
        """Whether so much memory is reserved now; waits for it. What was reserved before is given back first."""
        self.release()
        if budget is not None:
            self.memory = await budget.take(wanted_bytes, tenant)
        return budget is None or self.memory is not None


@dataclass(frozen=True)
class StepInput:
    """What one step is given beside the row."""

    now: float  # the ledger's time, seconds since the epoch
    signals: Mapping[str, str]
    clock: Callable[[], float]  # the ledger's
    served: Served  # model, route and plan of the row as this step found it
    strikes: int = 1  # claims in a row that ended without a write, this one included
    intent_is_ours: bool = False  # this claim has written the intent
    late_s: float = 0.0  # how long the row had been due when it was claimed
    resources: CallResources = field(default_factory=CallResources)

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has asked for the job's end."""
        return CANCEL in self.signals

    def later(self) -> "StepInput":
        """The same with the present time: calls, files and waits take theirs."""
        return replace(self, now=self.clock())

    def webhook(self, attempt: int) -> WebhookReport | None:
        """What the provider has reported by webhook of this attempt's end."""
        raw = self.signals.get(webhook_signal(attempt))
        return WebhookReport.load(raw) if raw else None


@dataclass(frozen=True)
class Transition:
    """The row as it is to be written, when it is due again, and why, where the row alone does not say."""

    job: Job
    due_in_s: float = NOW
    why: str = ""
    lease_s: float | None = None  # how long the claim lasts if it goes on; None: the dispatcher's usual lease


@dataclass(frozen=True)
class Context:
    """What all steps of a process share."""

    catalogue: Catalogue
    providers: Mapping[str, Provider]
    disabled: Mapping[str, str]  # what to set, by provider, for those that are missing
    fetcher: Fetcher
    store: Store
    url_s: float
    chance: Callable[[], float]
    webhook: Callable[[str, str, int], str] | None = None  # of provider, job id, attempt; None: polling alone
    health: Health | None = None  # None: every provider may always be asked
    inputs: InputFiles | None = None  # None: no route here wants files inside its calls
    memory: MemoryBudget | None = None  # None: calls may take whatever they want
    signals: Callable[[str], Awaitable[Mapping[str, str]]] | None = None  # on a job's row by now
    own_run: Callable[[str, str], Awaitable[bool]] | None = None  # see `Ledger.own_run`; None: no other job has a run
    checks: Mapping[str, AnswerCheck] = field(default_factory=dict)  # of answers, by task
    file_checks: Mapping[str, FileCheck] = field(default_factory=dict)  # of input files, by task
    is_queued: Callable[[Job], Awaitable[bool]] | None = None  # whether the job's message still waits in its queue
    duplicate_usd: float = DUPLICATE_USD  # the most that a lost submission may cost to be made again without a proof

    def provider(self, name: str) -> Provider:
        """The provider. Raises `ServiceUnavailableError` when it is disabled here."""
        if lack := self.lacks(name):
            raise ServiceUnavailableError(f"{name} is disabled on this worker: {lack}", provider=name)
        return self.providers[name]

    def lacks(self, name: str) -> str | None:
        """What to set for this provider; None for one that is enabled."""
        return None if name in self.providers else self.disabled.get(name, f"this version has no provider {name}")
