"""Submissions that nobody could find, so that the job may have been paid twice; and what their bills say. Pure.

A submission is in doubt if its answer was lost, and it was never found or found too late. It is also in doubt if it was
refused in words that a provider may use after it has taken the job. The job was then submitted again, marked as a
possible duplicate, or it ended as `SubmitUnknownError`.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from worker.jobs.job import Attempt, Job
from worker.jobs.status import State, state_of
from worker.money.bills import Bill
from worker.money.booked import Booked, booked_attempts


@dataclass(frozen=True)
class Doubt:
    """An attempt that may have been taken without our knowledge. Times are seconds since the epoch.

    `lower_usd` and `upper_usd` are what it may have cost, `upper_usd` is None without a limit. `repeated_by` is the
    attempt that was made after it, if any; `another_was_paid` says so of any other attempt of its job. `request_id` is
    known if it was found too late. With a `seed` of ours, the provider's list of requests can show it.
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
    request_id: str | None
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
    booked = {one.number: one for one in booked_attempts(job)}
    for attempt in _suspects(job, {one.number for one in booked.values() if one.is_lost}):
        later = [one for one in job.attempts if one.number > attempt.number]
        yield _doubt(job, attempt, booked[attempt.number], later)


def _suspects(job: Job, lost: Set[int]) -> list[Attempt]:
    """Lost attempts; before a marked one, also those that were found too late, or refused and perhaps taken."""
    last_marked = max((one.number for one in job.attempts if one.possible_duplicate), default=0)
    is_open = job.ending is None
    return [
        one
        for one in job.attempts
        if (one.number in lost and not (is_open and one is job.attempts[-1]))
        or (one.number < last_marked and (_was_found_late(one) or _was_refused(one)))
    ]


def _was_found_late(attempt: Attempt) -> bool:
    """Whether its ticket came after the job was submitted again: the row has no time of its submission."""
    return attempt.ticket is not None and attempt.error is not None and attempt.submitted_at is None


def _was_refused(attempt: Attempt) -> bool:
    """Whether it was refused with words that a provider may use after it has taken the job."""
    status = attempt.error.status if attempt.error else None
    return attempt.ticket is None and not attempt.answered and status is not None and (status == 429 or status >= 500)


def _doubt(job: Job, attempt: Attempt, booked: Booked, later: Sequence[Attempt]) -> Doubt:
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
        seed=attempt.seed,
        repeated_by=later[0].number if later else None,
        another_was_paid=any(_may_be_paid(one) for one in job.attempts if one is not attempt),
        request_id=attempt.ticket.request_id if attempt.ticket else None,
        known_requests=frozenset(one.ticket.request_id for one in job.attempts if one.ticket and one is not attempt),
        lower_usd=booked.lower,
        upper_usd=booked.upper if booked.is_booked else None,
    )


def _may_be_paid(attempt: Attempt) -> bool:
    return attempt.was_taken and (attempt.cost is None or attempt.cost.usd != 0)


def _is_of(doubt: Doubt, bill: Bill) -> bool:
    if bill.request_id == doubt.request_id:
        return True
    return bill.attempt == doubt.attempt and bill.request_id not in doubt.known_requests


def judge(doubt: Doubt, bills: Iterable[Bill], now: float, lag_s: float) -> Finding:
    """What the bills with this job's tag say about the attempt. A bill may come `lag_s` late."""
    found = [bill for bill in bills if _is_of(doubt, bill)]
    if found:
        sums = [bill.usd for bill in found if bill.usd is not None]
        usd = round(sum(sums), 9) if len(sums) == len(found) else None
        return Finding(doubt, True, "fal has billed it", tuple(bill.request_id for bill in found), usd)
    if doubt.at > now - lag_s:
        return Finding(doubt, None, "its bill may still come")
    return Finding(doubt, False, "fal has not billed it")
