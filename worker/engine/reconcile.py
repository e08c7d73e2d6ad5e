"""A submission whose answer was lost: is the provider working on it? Never submitted again blindly.

Three may tell: the worker that lost its claim in the middle of the POST leaves the ticket as a signal; the provider's
webhook names the request; the provider may list it. If nobody tells within a bounded wait, a new attempt is made and
marked as a possible duplicate: that is the one window that nothing closes.
"""

from worker.engine.arguments import told
from worker.engine.context import NOW, Bench, Look, Next, fail, let_go, trouble_of
from worker.engine.polling import search_again_s, unknown_wait_s
from worker.errors import ExternalServiceError, SubmitUnknownError
from worker.jobs.job import Job, Sight, Stage, Ticket, load_ticket
from worker.jobs.signals import ticket_signal
from worker.money.cost import model_of
from worker.money.worst_case import possible_cost
from worker.providers.base import Sought
from worker.routing.routes import may_risk_duplicate


async def reconcile(bench: Bench, job: Job, look: Look) -> Next:
    """Found: the row waits. Not yet: it is looked for again. Never: a new attempt, or the end."""
    found, how = await _ticket(bench, job, look)
    if found:
        job = job.with_attempt(ticket=found, submitted_at=job.attempts[-1].started_at, trouble=None)
        return Next(job.move(Stage.WAITING, looks=0), NOW, f"the submission is found: {how}")
    waited_s, allowed_s = look.now - job.attempts[-1].started_at, _allowed_s(bench, job)
    if waited_s < allowed_s:
        pause_s = min(search_again_s(waited_s), allowed_s - waited_s + 0.1)
        return Next(job.move(Stage.UNKNOWN, looks=job.looks + 1), pause_s, how)
    return _given_up(bench, job, look, waited_s)


async def _ticket(bench: Bench, job: Job, look: Look) -> tuple[Ticket | None, str]:
    """The ticket and how it came; or None and what was tried."""
    attempt = job.attempts[-1]
    if raw := look.signals.get(ticket_signal(attempt.number)):
        return load_ticket(raw), "by the worker that sent it"
    try:
        provider = bench.provider(attempt.provider)
        if heard := look.heard(attempt.number):
            return provider.ticket_of(attempt.endpoint, heard.request_id), "by its webhook"
        arguments = told(model_of(bench.catalogue, job), job)
        known = frozenset(before.ticket.request_id for before in job.attempts if before.ticket)
        sought = Sought(attempt.endpoint, arguments, attempt.started_at, attempt.seed is not None, known)
        found = await provider.find(sought)
        return found, "in the provider's list" if found else "not in the provider's list yet"
    except ExternalServiceError as error:
        return None, f"the provider's list cannot be read: {error.message}"


def _allowed_s(bench: Bench, job: Job) -> float:
    """How long a submission is looked for. Where nobody lists it, only until its call must be over."""
    attempt = job.attempts[-1]
    provider = bench.providers.get(attempt.provider)
    if provider is None or provider.lists_requests:
        return unknown_wait_s(model_of(bench.catalogue, job).usual_s)
    return 0.0 if attempt.trouble else provider.call_s


def _given_up(bench: Bench, job: Job, look: Look, waited_s: float) -> Next:
    attempt = job.attempts[-1]
    said = f" ({attempt.trouble.message})" if attempt.trouble else ""
    error = SubmitUnknownError(
        f"the answer to the submit was lost{said}, and for {waited_s:.0f} s nobody could say whether it was taken",
        provider=attempt.provider,
    )
    job = booked(bench, job.with_attempt(ended_at=look.now, trouble=trouble_of(error)))
    if may_risk_duplicate(job):
        why = "never found: it may have been taken, and paid for"
        return Next(job.move(Stage.ACCEPTED, looks=0, sight=Sight()), NOW, why)
    return let_go(fail(job, error, look.now))


def booked(bench: Bench, job: Job) -> Job:
    """The job with its lost call on the bill. A queue that lists its requests would have shown it: it is not booked."""
    provider = bench.providers.get(job.attempts[-1].provider)
    if provider is not None and provider.lists_requests:
        return job
    model = model_of(bench.catalogue, job)
    return job.with_attempt(cost=possible_cost(model, job, told(model, job)))
