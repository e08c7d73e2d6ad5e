"""A submission whose answer was lost: does the provider work on it? It is never submitted again blindly.

Four sources may say: the worker that sent it leaves what it got (`kept_outcome`); the provider's webhook names the
request; the provider lists it; its bill has our tags. That nobody has it is proven by a search alone: a list that was
read, and that shows a request which ended after ours must have. Time proves nothing. `worker.routing.retry` says
whether a submission is made again that was not found.
"""

from dataclasses import dataclass, replace
from typing import Literal

from worker.engine.context import NOW, Context, StepInput, Transition
from worker.engine.endings import close, error_record, fail
from worker.engine.kept_outcome import OutcomeStore
from worker.engine.late_news import book_lost_call, go_on_with, left_outcome, search_run, taken_before
from worker.engine.polling import search_again_s, unknown_wait_s
from worker.errors import AuthenticationError, ExternalServiceError, SubmitUnknownError
from worker.jobs.job import Job, Observation, Stage, Ticket, load_ticket
from worker.jobs.signals import ticket_signal
from worker.jobs.total_cost import booked_cost
from worker.routing.retry import (
    FAILED_SEARCHES,
    FORBIDDEN_SEARCHES,
    SEARCHES,
    UNFRESH_S,
    backoff_s,
    may_submit_again,
)

_OUTCOME_FIELDS = (
    "attempts", "given_up", "bad_answer", "observed", "answer", "artefacts", "ending", "error", "closed_at",
)  # fmt: skip
Verdict = Literal["absent", "unproven", "open"]  # it is nowhere; nobody can say; it is searched again


@dataclass(frozen=True)
class _Search:
    """What a search came to, and in which words."""

    how: str
    ticket: Ticket | None = None
    verdict: Verdict = "open"


async def reconcile(context: Context, job: Job, step_input: StepInput) -> Transition:
    """Found: the job goes on from there. Not yet: it is searched again. Never: a new attempt, or the end."""
    attempt = job.attempts[-1]
    if left := left_outcome(attempt, step_input):
        return _continue_from(job, left, "by the worker that sent it")
    found = await _search(context, job, step_input)
    if found.ticket:
        taken = replace(attempt, ticket=found.ticket)
        return go_on_with(context, job, taken, step_input, f"the submission is found: {found.how}")
    if found.verdict == "open":
        pause_s = search_again_s(step_input.now - attempt.started_at)
        left_s = attempt.started_at + _allowed_s(context, job, step_input) - step_input.now
        pause_s = min(pause_s, left_s + 0.1) if left_s > 0 else pause_s
        return Transition(job.move(Stage.UNKNOWN, tries=job.tries + 1), pause_s, found.how)
    try:
        kept = await OutcomeStore(context.store).get(job)
    except ExternalServiceError as error:
        pause_s = search_again_s(step_input.now - attempt.started_at)
        return Transition(job.move(Stage.UNKNOWN, tries=job.tries + 1), pause_s, f"the store: {error.message}")
    if kept:
        return _continue_from(job, kept, "in the store")
    return _give_up(context, job, step_input, is_absent=found.verdict == "absent")


async def _search(context: Context, job: Job, step_input: StepInput) -> _Search:
    """What the signals and the provider's list say now."""
    attempt, tries = job.attempts[-1], job.tries
    waited_s, allowed_s = step_input.now - attempt.started_at, _allowed_s(context, job, step_input)
    is_over = waited_s >= allowed_s
    if raw := step_input.signals.get(ticket_signal(attempt.number)):
        return _Search("by the worker that sent it", load_ticket(raw))
    try:
        provider = context.provider(attempt.provider)
        if reported := step_input.webhook(attempt.number):
            return _Search("by its webhook", provider.ticket_of(attempt.endpoint, reported.request_id))
        if not provider.lists_requests:
            return _Search("the provider lists no requests", verdict="unproven" if is_over else "open")
        found = await search_run(context, job, attempt, step_input)
    except AuthenticationError as error:
        return _Search(error.message, verdict="unproven" if is_over and tries >= FORBIDDEN_SEARCHES else "open")
    except ExternalServiceError as error:
        how = f"the provider's list cannot be read: {error.message}"
        return _Search(how, verdict="unproven" if is_over and tries >= FAILED_SEARCHES else "open")
    if found.ticket:
        return _Search("at the provider", found.ticket)
    is_fresh = found.listed_until is not None and found.listed_until >= attempt.started_at + allowed_s
    if is_over and is_fresh:
        return _Search("not in the provider's list, which is fresh", verdict="absent")
    is_searched = waited_s >= allowed_s + UNFRESH_S and tries >= SEARCHES
    how = "not in the provider's list, which shows no later request" if is_over else "not in the provider's list yet"
    return _Search(how, verdict="unproven" if is_searched else "open")


def _allowed_s(context: Context, job: Job, step_input: StepInput) -> float:
    """How long after the submission its run may still go on. A call without a ticket: until it must be over.

    One that costs nothing is not waited for.
    """
    attempt = job.attempts[-1]
    provider = context.providers.get(attempt.provider)
    if provider is None or provider.lists_requests:
        return unknown_wait_s(step_input.served.model.usual_s)
    return 0.0 if attempt.error or booked_cost(attempt).upper_usd == 0 else provider.call_s


def _continue_from(job: Job, left: Job, how: str) -> Transition:
    """The row as the worker that sent the submission would have written it. `left` is what it left."""
    taken_over = {name: getattr(left, name) for name in _OUTCOME_FIELDS}
    job = job.move(left.stage, tries=0, **taken_over)
    if job.ending is not None:
        return close(job)
    pause_s = backoff_s(len(job.attempts)) if job.stage == Stage.ACCEPTED else NOW
    return Transition(job, pause_s, f"what came of the submission is found: {how}")


def _give_up(context: Context, job: Job, step_input: StepInput, *, is_absent: bool) -> Transition:
    attempt, waited_s = job.attempts[-1], step_input.now - job.attempts[-1].started_at
    said = f" ({attempt.error.message})" if attempt.error else ""
    error = SubmitUnknownError(
        f"the answer to the submit was lost{said}, and for {waited_s:.0f} s nobody could say whether it was taken",
        provider=attempt.provider,
    )
    job = job.with_attempt(ended_at=step_input.now, error=error_record(error))
    job = book_lost_call(context, job, step_input)
    if taken := taken_before(job):
        return go_on_with(context, job, taken, step_input, f"attempt {taken.number} was taken after all")
    possible_usd = booked_cost(job.attempts[-1]).upper_usd
    if may_submit_again(job, is_absent=is_absent, possible_usd=possible_usd, most_usd=context.duplicate_usd):
        why = "nobody has it: it was not taken" if is_absent else "never found: it may have been taken, and paid for"
        return Transition(job.move(Stage.ACCEPTED, tries=0, observed=Observation()), NOW, why)
    return close(fail(job, error, step_input.now))
