"""Starts and ends requests: a queue for each account, with a limit on concurrent runs.

A waiting job is an entry in its account's queue; a running job is one asyncio task. Ended jobs are kept until their
number or their bytes exceed a limit.
"""

import asyncio
import json
import random
import uuid
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace

from twin.fal.account_queue import AccountQueue
from twin.fal.errors import cancelled, start_timeout
from twin.fal.job import Job, Outcome, Stage, Submission
from twin.pace import Pace
from twin.script import Fault
from twin.shorten import shorten

MAX_KEPT = 5_000
MAX_KEPT_BYTES = 128 * 1024 * 1024
MAX_SEED = 2**32


class Scheduler:
    """All jobs; only the scheduler moves them between stages."""

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
        self._queues: dict[str, AccountQueue] = {}
        self._jobs: dict[str, Job] = {}
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._ended_bytes = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._accepted: Counter[str] = Counter()

    def set_pace(self, pace: Pace) -> None:
        """Set the pace. A higher concurrency starts waiting jobs at once; accepted jobs keep their duration."""
        self._pace = pace
        for account in list(self._queues):
            self._start_ready(account)

    def accept(self, submission: Submission, seconds: float, fault: Fault | None) -> Job:
        """Put a request into its account's queue; direct runs start without the queue time."""
        now = self._clock()
        self._accepted[submission.endpoint] += 1
        seed = submission.input.get("seed")
        short_input = shorten(submission.input)
        job = Job(
            number=self.accepted,
            request_id=str(uuid.uuid4()),
            submission=submission,
            short_input=short_input,
            is_cut=short_input != submission.input,
            accepted_at=now,
            ready_at=now if submission.is_direct else now + self._pace.queue_seconds,
            seconds=seconds,
            seed=seed if isinstance(seed, int) else random.randrange(MAX_SEED),
            fault=fault,
        )
        self._jobs[job.request_id] = job
        self._queue_of(submission.account).add(job)
        if submission.start_timeout_s is not None:
            self._set_timer(f"start {job.request_id}", submission.start_timeout_s, lambda: self._expire(job))
        self._start_ready(submission.account)
        return job

    @property
    def accepted(self) -> int:
        """How many requests were accepted since the start."""
        return self._accepted.total()

    def accepted_count(self, endpoint: str | None) -> int:
        """Return how many requests were accepted since the start, also those dropped; all, or of one endpoint."""
        return self.accepted if endpoint is None else self._accepted[endpoint]

    def has_slot(self, account: str) -> bool:
        """Whether the account has less than its limit of concurrent runs."""
        queue = self._queues.get(account)
        return queue is None or queue.running < self._pace.concurrency

    def find(self, request_id: str) -> Job | None:
        """Return a job by its id; None if it is not stored."""
        return self._jobs.get(request_id)

    def jobs(self) -> list[Job]:
        """Return all stored jobs, oldest first."""
        return sorted(self._jobs.values(), key=lambda job: job.number)

    def position(self, job: Job) -> int:
        """Return how many jobs start before this one."""
        return self._queue_of(job.submission.account).position(job) if job.stage is Stage.QUEUED else 0

    def waiting_count(self, app: str) -> int:
        """Return how many jobs of all accounts wait for one app."""
        return sum(queue.waiting_count(app) for queue in self._queues.values())

    def cancel(self, job: Job) -> bool:
        """Cancel a job that has not ended; return whether it was still waiting."""
        was_waiting = job.stage is Stage.QUEUED
        if task := self._tasks.pop(job.request_id, None):
            task.cancel()
        self._end(job, cancelled())
        return was_waiting

    def finish(self) -> None:
        """End all runs now. A queued job starts when there is a slot, and ends at once; a stuck run stays stuck."""
        now = self._clock()
        for job in self._jobs.values():
            if job.stage is Stage.RUNNING:
                job.seconds = min(job.seconds, now - (job.started_at or now))
            elif job.stage is Stage.QUEUED:
                job.seconds, job.ready_at = 0.0, now
            job.hurried.set()
        for account in list(self._queues):
            self._start_ready(account)

    def clear(self) -> None:
        """Drop all jobs, at any stage, and all counts."""
        for task in self._tasks.values():
            task.cancel()
        for timer in self._timers.values():
            timer.cancel()
        for job in self._jobs.values():
            self._on_drop(job)
        for memory in (self._tasks, self._timers, self._jobs, self._queues, self._ended):
            memory.clear()
        self._accepted.clear()
        self._ended_bytes = 0

    def _queue_of(self, account: str) -> AccountQueue:
        return self._queues.setdefault(account, AccountQueue())

    def _start_ready(self, account: str) -> None:
        queue = self._queue_of(account)
        while queue.running < self._pace.concurrency and (job := queue.next_job()):
            wait_s = job.ready_at - self._clock()
            if wait_s > 0:
                self._set_timer(f"pump {account}", wait_s, lambda: self._start_ready(account))
                return
            queue.remove(job)
            queue.running += 1
            self._start(job)
        if not queue and not queue.running:
            self._queues.pop(account)

    def _start(self, job: Job) -> None:
        self._cancel_timer(f"start {job.request_id}")
        job.started_at = self._clock()
        self._move(job, Stage.RUNNING)
        task = asyncio.get_running_loop().create_task(self._run_job(job))
        self._tasks[job.request_id] = task

    async def _run_job(self, job: Job) -> None:
        outcome = await self._run(job)
        self._tasks.pop(job.request_id, None)
        self._end(job, outcome)

    def _expire(self, job: Job) -> None:
        if job.stage is Stage.QUEUED:
            self._end(job, start_timeout())

    def _end(self, job: Job, outcome: Outcome) -> None:
        account = job.submission.account
        if job.stage is Stage.QUEUED:
            self._queue_of(account).remove(job)
            self._cancel_timer(f"start {job.request_id}")
        else:
            self._queue_of(account).running -= 1
        job.ended_at = self._clock()
        job.outcome = outcome
        self._move(job, Stage.ENDED)
        job.ended.set()
        self._on_end(job)
        job.submission = replace(job.submission, input=job.short_input)
        self._retain(job)
        self._start_ready(account)

    def _move(self, job: Job, stage: Stage) -> None:
        job.stage = stage
        job.changed.set()
        job.changed = asyncio.Event()

    def _retain(self, job: Job) -> None:
        job.size_bytes = len(json.dumps(job.short_input)) + len(json.dumps(job.outcome.body if job.outcome else None))
        self._ended[job.request_id] = job.size_bytes
        self._ended_bytes += job.size_bytes
        while len(self._ended) > self._max_kept or (self._ended_bytes > self._max_kept_bytes and len(self._ended) > 1):
            request_id, size_bytes = self._ended.popitem(last=False)
            self._ended_bytes -= size_bytes
            self._on_drop(self._jobs.pop(request_id))

    def _set_timer(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        self._cancel_timer(name)
        self._timers[name] = asyncio.get_running_loop().call_later(seconds, self._fire_timer, name, then)

    def _fire_timer(self, name: str, then: Callable[[], None]) -> None:
        self._timers.pop(name, None)
        then()

    def _cancel_timer(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()
