"""When each request starts and ends: a queue for each account and a limit on runs at once.

A waiting job is a number in a lane; a running one is one task that sleeps once. Finished jobs are kept for a while,
bounded by number and bytes.
"""

import asyncio
import json
import random
import uuid
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace

from twin.fal.errors import cancelled, start_timeout
from twin.fal.job import Job, Outcome, Stage, Submission
from twin.fal.lane import Lane
from twin.pace import Pace
from twin.script import Fault
from twin.shorten import shorten

MAX_KEPT = 5_000
MAX_KEPT_BYTES = 128 * 1024 * 1024
MAX_SEED = 2**32


class Scheduler:
    """Owns every job: it alone changes them."""

    def __init__(
        self,
        run: Callable[[Job], Awaitable[Outcome]],
        on_end: Callable[[Job], None],
        on_drop: Callable[[Job], None],
        clock: Callable[[], float],
        max_kept: int = MAX_KEPT,
        max_kept_bytes: int = MAX_KEPT_BYTES,
    ) -> None:
        self._run, self._on_end, self._on_drop, self._clock = run, on_end, on_drop, clock
        self._max_kept, self._max_kept_bytes = max_kept, max_kept_bytes
        self._pace = Pace()
        self._lanes: dict[str, Lane] = {}
        self._jobs: dict[str, Job] = {}
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._ended_bytes = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._accepted: Counter[str] = Counter()

    def set_pace(self, pace: Pace) -> None:
        """Take a new pace; a higher limit starts waiting jobs at once, times of jobs already taken stay."""
        self._pace = pace
        for account in list(self._lanes):
            self._pump(account)

    def accept(self, submission: Submission, seconds: float, fault: Fault | None) -> Job:
        """Take a request into its account's queue; direct ones start at once."""
        now = self._clock()
        self._accepted[submission.endpoint] += 1
        seed = submission.input.get("seed")
        record = shorten(submission.input)
        job = Job(
            number=self.accepted,
            request_id=str(uuid.uuid4()),
            submission=submission,
            record=record,
            is_cut=record != submission.input,
            accepted_at=now,
            ready_at=now if submission.is_direct else now + self._pace.queue_seconds,
            seconds=seconds,
            seed=seed if isinstance(seed, int) else random.randrange(MAX_SEED),
            fault=fault,
        )
        self._jobs[job.request_id] = job
        self._lane(submission.account).add(job)
        if submission.start_timeout_s is not None:
            self._later(f"start {job.request_id}", submission.start_timeout_s, lambda: self._expire(job))
        self._pump(submission.account)
        return job

    @property
    def accepted(self) -> int:
        """How many requests were ever taken."""
        return self._accepted.total()

    def accepted_count(self, endpoint: str | None) -> int:
        """Return how many requests were ever taken, of one endpoint or of all; dropping old ones does not lower it."""
        return self.accepted if endpoint is None else self._accepted[endpoint]

    def has_slot(self, account: str) -> bool:
        """Whether a run of this account could start now."""
        lane = self._lanes.get(account)
        return lane is None or lane.running < self._pace.concurrency

    def find(self, request_id: str) -> Job | None:
        """Return a job that is still known."""
        return self._jobs.get(request_id)

    def jobs(self) -> list[Job]:
        """Return every job that is still known, oldest first."""
        return sorted(self._jobs.values(), key=lambda job: job.number)

    def position(self, job: Job) -> int:
        """Return how many jobs start before this one."""
        return self._lane(job.submission.account).position(job) if job.stage is Stage.QUEUED else 0

    def waiting_at(self, app: str) -> int:
        """Return how many jobs wait for one app, of all accounts."""
        return sum(lane.waiting_at(app) for lane in self._lanes.values())

    def cancel(self, job: Job) -> bool:
        """End a job that has not ended; say whether it was still waiting."""
        was_waiting = job.stage is Stage.QUEUED
        if task := self._tasks.pop(job.request_id, None):
            task.cancel()
        self._end(job, cancelled())
        return was_waiting

    def clear(self) -> None:
        """Drop every job, wherever it stands, and every count."""
        for task in self._tasks.values():
            task.cancel()
        for timer in self._timers.values():
            timer.cancel()
        for job in self._jobs.values():
            self._on_drop(job)
        for memory in (self._tasks, self._timers, self._jobs, self._lanes, self._ended):
            memory.clear()
        self._accepted.clear()
        self._ended_bytes = 0

    def _lane(self, account: str) -> Lane:
        return self._lanes.setdefault(account, Lane())

    def _pump(self, account: str) -> None:
        lane = self._lane(account)
        while lane.running < self._pace.concurrency and (job := lane.head()):
            wait_s = job.ready_at - self._clock()
            if wait_s > 0:
                self._later(f"pump {account}", wait_s, lambda: self._pump(account))
                return
            lane.remove(job)
            lane.running += 1
            self._start(job)
        if not lane and not lane.running:
            self._lanes.pop(account)

    def _start(self, job: Job) -> None:
        self._forget_timer(f"start {job.request_id}")
        job.started_at = self._clock()
        self._move(job, Stage.RUNNING)
        task = asyncio.get_running_loop().create_task(self._live(job))
        self._tasks[job.request_id] = task

    async def _live(self, job: Job) -> None:
        outcome = await self._run(job)
        self._tasks.pop(job.request_id, None)
        self._end(job, outcome)

    def _expire(self, job: Job) -> None:
        if job.stage is Stage.QUEUED:
            self._end(job, start_timeout())

    def _end(self, job: Job, outcome: Outcome) -> None:
        account = job.submission.account
        if job.stage is Stage.QUEUED:
            self._lane(account).remove(job)
            self._forget_timer(f"start {job.request_id}")
        else:
            self._lane(account).running -= 1
        job.ended_at = self._clock()
        job.outcome = outcome
        self._move(job, Stage.ENDED)
        job.ended.set()
        self._on_end(job)
        job.submission = replace(job.submission, input=job.record)
        self._keep(job)
        self._pump(account)

    def _move(self, job: Job, stage: Stage) -> None:
        job.stage = stage
        job.changed.set()
        job.changed = asyncio.Event()

    def _keep(self, job: Job) -> None:
        job.weight = len(json.dumps(job.record)) + len(json.dumps(job.outcome.body if job.outcome else None))
        self._ended[job.request_id] = job.weight
        self._ended_bytes += job.weight
        while len(self._ended) > self._max_kept or (self._ended_bytes > self._max_kept_bytes and len(self._ended) > 1):
            request_id, weight = self._ended.popitem(last=False)
            self._ended_bytes -= weight
            self._on_drop(self._jobs.pop(request_id))

    def _later(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        self._forget_timer(name)
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, self._fire_timer, name, then)

    def _fire_timer(self, name: str, then: Callable[[], None]) -> None:
        self._timers.pop(name, None)
        then()

    def _forget_timer(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()
