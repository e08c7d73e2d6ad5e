"""A submission whose answer was lost: is the provider working on it? Never submitted again blindly.

Three may tell: the worker that lost its claim in the middle of the POST leaves the ticket as a signal; the provider's
webhook names the request; the provider may list it. If nobody tells within a bounded wait, a new attempt is made and
marked as a possible duplicate: that is the one window that nothing closes.
"""

from worker.engine.arguments import call_arguments
from worker.engine.context import NOW, Context, StepInput, Transition, close, error_record, fail
from worker.engine.polling import search_again_s, unknown_wait_s
from worker.errors import ExternalServiceError, SubmitUnknownError
from worker.jobs.job import Job, Observation, Stage, Ticket, load_ticket
from worker.jobs.signals import ticket_signal
from worker.money.cost import model_of
from worker.money.worst_case import possible_cost
from worker.providers.base import LostSubmission
from worker.routing.routes import may_risk_duplicate


async def reconcile(context: Context, job: Job, step_input: StepInput) -> Transition:
    """Found: the row waits. Not yet: it is looked for again. Never: a new attempt, or the end."""
    found, how = await _ticket(context, job, step_input)
    if found:
        job = job.with_attempt(ticket=found, submitted_at=job.attempts[-1].started_at, error=None)
        return Transition(job.move(Stage.WAITING, tries=0), NOW, f"the submission is found: {how}")
    waited_s, allowed_s = step_input.now - job.attempts[-1].started_at, _allowed_s(context, job)
    if waited_s < allowed_s:
        pause_s = min(search_again_s(waited_s), allowed_s - waited_s + 0.1)
        return Transition(job.move(Stage.UNKNOWN, tries=job.tries + 1), pause_s, how)
    return _given_up(context, job, step_input, waited_s)


async def _ticket(context: Context, job: Job, step_input: StepInput) -> tuple[Ticket | None, str]:
    """The ticket and how it came; or None and what was tried."""
    attempt = job.attempts[-1]
    if raw := step_input.signals.get(ticket_signal(attempt.number)):
        return load_ticket(raw), "by the worker that sent it"
    try:
        provider = context.provider(attempt.provider)
        if heard := step_input.heard(attempt.number):
            return provider.ticket_of(attempt.endpoint, heard.request_id), "by its webhook"
        arguments = call_arguments(model_of(context.catalogue, job), job)
        known = frozenset(before.ticket.request_id for before in job.attempts if before.ticket)
        sought = LostSubmission(attempt.endpoint, arguments, attempt.started_at, attempt.seed is not None, known)
        found = await provider.find(sought)
        return found, "in the provider's list" if found else "not in the provider's list yet"
    except ExternalServiceError as error:
        return None, f"the provider's list cannot be read: {error.message}"


def _allowed_s(context: Context, job: Job) -> float:
    """How long a submission is looked for. Where nobody lists it, only until its call must be over."""
    attempt = job.attempts[-1]
    provider = context.providers.get(attempt.provider)
    if provider is None or provider.lists_requests:
        return unknown_wait_s(model_of(context.catalogue, job).usual_s)
    return 0.0 if attempt.error else provider.call_s


def _given_up(context: Context, job: Job, step_input: StepInput, waited_s: float) -> Transition:
    attempt = job.attempts[-1]
    said = f" ({attempt.error.message})" if attempt.error else ""
    error = SubmitUnknownError(
        f"the answer to the submit was lost{said}, and for {waited_s:.0f} s nobody could say whether it was taken",
        provider=attempt.provider,
    )
    job = book_lost_call(context, job.with_attempt(ended_at=step_input.now, error=error_record(error)))
    if may_risk_duplicate(job):
        why = "never found: it may have been taken, and paid for"
        return Transition(job.move(Stage.ACCEPTED, tries=0, observed=Observation()), NOW, why)
    return close(fail(job, error, step_input.now))


def book_lost_call(context: Context, job: Job) -> Job:
    """The job with its lost call on the bill. A queue that lists its requests would have shown it: it is not booked."""
    provider = context.providers.get(job.attempts[-1].provider)
    if provider is not None and provider.lists_requests:
        return job
    model = model_of(context.catalogue, job)
    return job.with_attempt(cost=possible_cost(model, job, call_arguments(model, job)))
