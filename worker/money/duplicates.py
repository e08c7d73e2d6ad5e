"""Submissions that nobody could find, so that the job may have been paid twice; and what their bills say. Pure.

A submission is in doubt if its answer was lost and it was never found. The job was then submitted again, marked as a
possible duplicate, or it ended as `SubmitUnknownError`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from worker.jobs.job import Attempt, Job
from worker.jobs.status import State, state_of
from worker.money.bills import Bill
from worker.money.booked import Booked, booked_attempts, is_lost


@dataclass(frozen=True)
class Doubt:
    """An attempt that may have been taken without our knowledge. Times are seconds since the epoch.

    `lower_usd` and `upper_usd` are what it may have cost, `upper_usd` is None without a limit. `repeated_by` is the
    attempt that was made after it, if any; `another_was_paid` says so of any other attempt of its job.
    """

    job_id: str
    attempt: int
    at: float
    task: str
    model: str
    tenant: str | None
    provider: str
    endpoint: str
    state: State
    seed: int | None
    repeated_by: int | None
    another_was_paid: bool
    known_requests: frozenset[str]
    lower_usd: float
    upper_usd: float | None


@dataclass(frozen=True)
class Finding:
    """A doubt, and what could be found out. `was_paid`: this attempt; None if nobody can say.

    `was_paid_twice`: this attempt, and another one of its job.
    """

    doubt: Doubt
    was_paid: bool | None
    why: str
    request_ids: tuple[str, ...] = ()
    usd: float | None = None

    @property
    def was_paid_twice(self) -> bool | None:
        """Whether the job was paid at least twice."""
        return False if not self.doubt.another_was_paid else self.was_paid


def doubts(job: Job) -> Iterator[Doubt]:
    """The attempts of a job that are in doubt, oldest first."""
    suspects = _suspects(job)
    booked = {one.number: one for one in booked_attempts(job)} if suspects else {}
    for attempt in suspects:
        later = [one for one in job.attempts if one.number > attempt.number]
        yield _doubt(job, attempt, booked[attempt.number], later)


def _suspects(job: Job) -> list[Attempt]:
    """Lost attempts. Where none is recorded as lost, the attempts without a ticket before one that is marked."""
    marked = [one.number for one in job.attempts if one.possible_duplicate]
    is_open = job.ending is None
    lost = [one for one in job.attempts if is_lost(one) and not (is_open and one is job.attempts[-1])]
    if lost or not marked:
        return lost
    return [one for one in job.attempts if one.ticket is None and not one.answered and one.number < marked[0]]


def _doubt(job: Job, attempt: Attempt, booked: Booked, later: Sequence[Attempt]) -> Doubt:
    seed = attempt.seed if attempt.seed is not None else job.step.arguments.get("seed")
    return Doubt(
        job_id=job.id,
        attempt=attempt.number,
        at=attempt.started_at,
        task=job.task,
        model=job.step.model,
        tenant=job.options.tenant,
        provider=attempt.provider,
        endpoint=attempt.endpoint,
        state=state_of(job),
        seed=seed if isinstance(seed, int) else None,
        repeated_by=later[0].number if later else None,
        another_was_paid=any(_may_be_paid(one) for one in job.attempts if one is not attempt),
        known_requests=frozenset(one.ticket.request_id for one in job.attempts if one.ticket),
        lower_usd=booked.lower,
        upper_usd=booked.upper if booked.is_booked else None,
    )


def _may_be_paid(attempt: Attempt) -> bool:
    return attempt.was_taken and (attempt.cost is None or attempt.cost.usd != 0)


def judge(doubt: Doubt, bills: Iterable[Bill], now: float, lag_s: float) -> Finding:
    """What the bills with this job's tag say about the attempt. A bill may come `lag_s` late."""
    found = [bill for bill in bills if bill.request_id not in doubt.known_requests and bill.attempt == doubt.attempt]
    if found:
        sums = [bill.usd for bill in found if bill.usd is not None]
        usd = round(sum(sums), 9) if len(sums) == len(found) else None
        return Finding(doubt, True, "fal has billed it", tuple(bill.request_id for bill in found), usd)
    if doubt.at > now - lag_s:
        return Finding(doubt, None, "its bill may still come")
    return Finding(doubt, False, "fal has not billed it")
