"""A world: everything that one seed makes, run from its first call until it is quiet."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.simulation import callers
from tests.simulation.broker import Broker
from tests.simulation.decisions import Decisions
from tests.simulation.fal import FalServer
from tests.simulation.fibers import FiberStoppedError
from tests.simulation.gateway import Gateway
from tests.simulation.ledger import SharedLedger
from tests.simulation.lost_writes import LOSES, LostWrites
from tests.simulation.payments import DIED, Paid, Payments
from tests.simulation.plan import Plan
from tests.simulation.promises import Promises, Violation
from tests.simulation.redis_server import RedisServer
from tests.simulation.results import Results
from tests.simulation.seams import Seams
from tests.simulation.swarm import CRASH_POINT_FAULTS, swarm
from tests.simulation.virtual_loop import CrashedError, Process, StalledError, VirtualLoop, current_process
from tests.simulation.worker_process import Worker
from worker.health.base import Policy
from worker.health.memory import MemoryHealth
from worker.jobs.job import Stage

DUPLICATE_USD = 0.01  # the setting's default: a lost submission that costs more is not made again without a proof
FAULTS_S = 240.0  # faults happen so long after the first call
QUIET_S = 10_800.0  # every job ends within this time after the last fault
STEP_S = 20.0  # how often the world looks whether it is done
GOES_ON = frozenset({"no_resend_storm"})  # a violation of another promise ends the world


@dataclass(frozen=True)
class Case:
    """What makes a world: with `faults` exactly these happen."""

    seed: int
    plan: Plan
    faults: Mapping[str, str] | None = None


@dataclass
class Course:
    """What a world came to."""

    case: Case
    violations: tuple[Violation, ...]
    faults: dict[str, str]
    moves: set[tuple[Stage, Stage]]
    points: set[str]
    virtual_s: float
    turns: int
    story: list[str] = field(default_factory=list)


class World:
    """See the module."""

    goes_on = GOES_ON

    def __init__(self, case: Case, seams: Seams, *, tells: bool = False) -> None:
        self.case, self.seed, self.plan, self.seams = case, case.seed, case.plan, seams
        self.loop = VirtualLoop()
        faults = swarm(case.seed)
        kinds = faults.kinds | {LOSES.name} if case.plan.is_lossy else faults.kinds
        self.decisions = Decisions(case.seed, case.faults, faults.rate, kinds, faults.focus)
        self.server = RedisServer(self.loop, self.decisions)
        self.ledger = SharedLedger(self.server, is_scripted=case.plan.is_scripted)
        self.broker = Broker(self.server)
        self.payments = Payments()
        self.promises = Promises(self)
        self.results = Results(self.loop.time, self._on_state)
        self.stored: dict[str, float] = {}
        self.objects: dict[str, bytes] = {}
        self.health = MemoryHealth(self.loop.time, Policy())
        self.gateway = Gateway(self)
        self.fal = FalServer(self.loop, self.decisions, self.payments, self.gateway.receive)
        self.fal.list_lag_s, self.fal.list_fails = case.plan.list_lag_s, case.plan.list_fails
        self.fal.list_is_forbidden = case.plan.list_is_forbidden
        self.fal.before_take = self.before_take
        self.workers: dict[str, Worker] = {}
        self.callers: dict[str, Any] = {}
        self.promised: set[str] = set()
        self.refused: set[str] = set()
        self.noted: set[str] = set()  # ids whose cancel came before their row
        self.open_calls: set[str] = {order.name for order in case.plan.orders}
        self.points: set[str] = set()
        self.story: list[str] | None = [] if tells else None
        self.lost_writes = LostWrites(self) if case.plan.is_lossy else None
        self.server.after = self._after_command

    def run(self) -> Course:
        """Run it to its end."""
        with self.seams.running(self):
            began = self.loop.time()
            try:
                self.loop.run_until_complete(self._live())
                self.promises.at_the_end()
            except StalledError:
                self.promises.broken("no_job_lost", "stalled", "-", "nothing happens any more")
            finally:
                self._bury()
        found = sorted(self.promises.found.values(), key=lambda each: each.promise in GOES_ON)
        if self.lost_writes:
            found = [each for each in found if self.lost_writes.counts(each)]
        return Course(
            self.case,
            tuple(found),
            dict(self.decisions.taken),
            self.promises.moves,
            self.points,
            self.loop.time() - began,
            self.loop.turns,
            self.story or [],
        )

    async def _live(self) -> None:
        for number in range(1, self.plan.workers + 1):
            self.loop.outside_later(self.plan.late_workers_s, self._start_worker, f"w{number}")
        for order in self.plan.orders:
            callers.start(self, order)
        await self._sleep(max(order.at_s for order in self.plan.orders) + 30.0)
        end = self.loop.time() + FAULTS_S - 30.0
        while self.loop.time() < end and not self._is_done():
            await self._sleep(STEP_S)
        self.decisions.is_open = False
        end = self.loop.time() + QUIET_S
        while self.loop.time() < end and not self._is_done():
            await self._sleep(STEP_S)
        await self._sleep(2.0)

    async def _sleep(self, seconds: float) -> None:
        woken = self.loop.create_future()
        self.loop.outside_later(seconds, woken.set_result, None)
        await woken

    def _is_done(self) -> bool:
        if not self.lost_writes and any(promise not in GOES_ON for promise, *_ in self.promises.found):
            return True
        bare = [order.name for order in self.plan.orders if order.kind == "bare"]
        if self.open_calls or self.server.is_busy or any(self.broker.has(job) for job in bare):
            return False
        return all(row.job.is_final for row in self.ledger.memory.rows.values()) and all(
            self.results.state(job) in ("SUCCESS", "FAILURE", "REVOKED") for job in self.promised
        )

    def _bury(self) -> None:
        """End what is left: nothing of this world may run in the next one."""
        processes = [worker.process for worker in self.workers.values()]
        for process in [*processes, *self.callers.values(), self.gateway.process]:
            process.is_dead = True
            for fiber in list(process.fibers):
                fiber.stop(FiberStoppedError())
        for task in self.loop.tasks:
            if not task.done():
                _close(task)
        self.loop.close()

    def _start_worker(self, name: str) -> None:
        worker = self.workers[name] = Worker(self, name)
        worker.process.on_crash = lambda: self._crashed(worker)
        self.tell(f"{name} starts")
        worker.start()

    def _crashed(self, worker: Worker) -> None:
        name = worker.process.name
        self.broker.gone(worker.process)
        for paid in self.payments.taken:  # a call whose outcome is on no row dies with it
            row = self.ledger.memory.rows.get(paid.job)
            if paid.process is worker.process and row is not None and row.job.stage == Stage.SUBMITTING:
                paid.how = paid.how or DIED
        share = self.decisions.chance(f"{name} restart")
        away_s = 0.5 + 12 * share if share < self.plan.soon else 30 + 200 * (share - self.plan.soon)
        self.tell(f"{name} ends, and starts again after {away_s:.1f} s")
        self.loop.outside_later(away_s, self._start_worker, name)

    def _after_command(self) -> None:
        self.promises.after_command()
        if self.lost_writes:
            self.lost_writes.after_command()
        self.ledger.notify()

    def at_crash_point(self, process: Process, name: str) -> None:
        """A crash point of `worker.testing.crash` is reached."""
        self.points.add(name)
        process.check()
        fault, _ = self.decisions.fault(f"{process.name} at {name}", CRASH_POINT_FAULTS)
        if fault:
            process.crash()
            raise CrashedError

    def before_take(self, job_id: str) -> None:
        """A provider is about to take a submission."""
        self.tell(f"{job_id} is submitted by {getattr(current_process(), 'name', '-')}")
        self.promises.before_take(job_id)

    def _on_state(self, job_id: str, state: str, result: Any) -> None:
        self.tell(f"{job_id} is {state}")
        self.promises.on_state(job_id, state, result)

    def broadcast_revoke(self, job_id: str) -> None:
        """Every worker that runs hears of it."""
        self.tell(f"{job_id} is revoked")
        for worker in list(self.workers.values()):
            if worker.service is not None and not worker.process.is_dead:
                self.loop.outside_later(0.01, lambda one=worker: one.process.call(one.revoke, job_id))

    def remembered_revokes(self, new: Worker) -> list[str]:
        """What the other workers tell one that starts."""
        others = [each for each in self.workers.values() if each is not new and each.service is not None]
        live = [each for each in others if not each.process.is_dead and not each.process.is_frozen]
        return [job_id for each in live for job_id in each.revoked]

    def webhook_url(self, provider: str, job_id: str, attempt: int) -> str:
        """Where fal reports."""
        return f"https://gateway/{job_id}/{attempt}"

    def may_be_repeated(self, paid: Paid, at: float) -> bool:
        """Whether a submission may be paid again at this time: nobody could know of it (docs/reliability.md)."""
        if "after it was taken" in paid.how:
            return self.gateway.reported.get(paid.request_id, at) >= at - 1.0
        order = next(order for order in self.plan.orders if paid.job in order.jobs)
        if paid.provider == "fal":
            is_unknowable = self.plan.list_is_forbidden and self.gateway.reported.get(paid.request_id, at) >= at
        else:
            is_unknowable = paid.how in {DIED, "answer lost"}
        is_cheap = paid.usd <= DUPLICATE_USD
        return is_unknowable and (order.duplicates == "allow" or (order.duplicates is None and is_cheap))

    def tell(self, text: str) -> None:
        """Add a line to the story."""
        if self.story is not None:
            self.story.append(f"{self.loop.time() - 1_700_000_000:9.2f}  {text}")


def _close(task: Any) -> None:
    """Unwind a task that will not go on. What it awaits on its way is not awaited."""
    task._log_destroy_pending = False
    with contextlib.suppress(RuntimeError, CrashedError):
        task.get_coro().close()
