"""A submission whose answer was lost: does the provider work on it? It is never submitted again blindly.

Three sources may say: the worker that lost its claim during the POST leaves the ticket as a signal; the provider's
webhook names the request; the provider may list it. If none does within a bounded wait, a new attempt is made and
marked as a possible duplicate: that is the one window that nothing closes.
"""

from worker.engine.arguments import call_arguments
from worker.engine.context import NOW, Context, StepInput, Transition
from worker.engine.endings import close, error_record, fail
from worker.engine.polling import search_again_s, unknown_wait_s
from worker.engine.spending import cost_of_attempt
from worker.errors import ExternalServiceError, SubmitUnknownError
from worker.jobs.job import Job, Observation, Stage, Ticket, load_ticket
from worker.jobs.signals import ticket_signal
from worker.providers.base import LostSubmission
from worker.routing.retry import may_risk_duplicate


async def reconcile(context: Context, job: Job, step_input: StepInput) -> Transition:
    """Found: the row waits for its run. Not yet: it is searched again. Never: a new attempt, or the end."""
    ticket, how = await _ticket(context, job, step_input)
    if ticket:
        job = job.with_attempt(ticket=ticket, submitted_at=job.attempts[-1].started_at, error=None)
        return Transition(job.move(Stage.WAITING, tries=0), NOW, f"the submission is found: {how}")
    waited_s, allowed_s = step_input.now - job.attempts[-1].started_at, _allowed_s(context, job, step_input)
    if waited_s < allowed_s:
        pause_s = min(search_again_s(waited_s), allowed_s - waited_s + 0.1)
        return Transition(job.move(Stage.UNKNOWN, tries=job.tries + 1), pause_s, how)
    return _give_up(context, job, step_input, waited_s)


def book_lost_call(context: Context, job: Job, step_input: StepInput) -> Job:
    """The job with its lost call on the bill: an attempt of a version that booked nothing when it began."""
    if job.attempts[-1].cost is not None:
        return job
    served = step_input.served
    return job.with_attempt(cost=cost_of_attempt(context, served.model, job, served.route))


async def _ticket(context: Context, job: Job, step_input: StepInput) -> tuple[Ticket | None, str]:
    """The ticket and where it came from; or None and what was tried."""
    attempt = job.attempts[-1]
    if raw := step_input.signals.get(ticket_signal(attempt.number)):
        return load_ticket(raw), "by the worker that sent it"
    try:
        provider = context.provider(attempt.provider)
        if reported := step_input.webhook(attempt.number):
            return provider.ticket_of(attempt.endpoint, reported.request_id), "by its webhook"
        sent = call_arguments(job, step_input.served.route, context.checks.get(job.task))
        known = frozenset(before.ticket.request_id for before in job.attempts if before.ticket)
        lost = LostSubmission(attempt.endpoint, sent, attempt.started_at, attempt.seed is not None, known)
        ticket = await provider.find(lost)
        return ticket, "in the provider's list" if ticket else "not in the provider's list yet"
    except ExternalServiceError as error:
        return None, f"the provider's list cannot be read: {error.message}"


def _allowed_s(context: Context, job: Job, step_input: StepInput) -> float:
    """How long a submission is searched for. A provider without a list: only until its call must be over."""
    attempt = job.attempts[-1]
    provider = context.providers.get(attempt.provider)
    if provider is None or provider.lists_requests:
        return unknown_wait_s(step_input.served.model.usual_s)
    return 0.0 if attempt.error else provider.call_s


def _give_up(context: Context, job: Job, step_input: StepInput, waited_s: float) -> Transition:
    attempt = job.attempts[-1]
    said = f" ({attempt.error.message})" if attempt.error else ""
    error = SubmitUnknownError(
        f"the answer to the submit was lost{said}, and for {waited_s:.0f} s nobody could say whether it was taken",
        provider=attempt.provider,
    )
    job = job.with_attempt(ended_at=step_input.now, error=error_record(error))
    job = book_lost_call(context, job, step_input)
    if may_risk_duplicate(job):
        why = "never found: it may have been taken, and paid for"
        return Transition(job.move(Stage.ACCEPTED, tries=0, observed=Observation()), NOW, why)
    return close(fail(job, error, step_input.now))
