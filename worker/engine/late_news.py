"""Attempts that turn out to have been taken, although their answer was lost or was an error.

fal may take a request and then answer 429, or 500 in its own words. Nobody can know that from the answer, so the job is
tried again. Its webhook, or the worker that sent it, may say so later. The list is searched for such attempts before
the next one is sent, and once more when the job has its piece: by then the list has had time to show them. A job goes
on with an attempt that was taken and pays for no other. `reconcile` searches for the last attempt while its outcome is
unknown.
"""

import asyncio
from dataclasses import replace

import structlog

from worker.engine.arguments import call_arguments
from worker.engine.context import NOW, Context, StepInput, Transition
from worker.engine.spending import cost_of_attempt
from worker.errors import ExternalServiceError
from worker.jobs.job import Attempt, Job, Observation, Stage, load_job, load_ticket, run_name
from worker.jobs.signals import outcome_signal, ticket_signal, webhook_signal
from worker.jobs.total_cost import total_cost
from worker.providers.base import LostSubmission, SearchResult
from worker.routing.served import route_of

log = structlog.get_logger(__name__)

SETTLE_MAX_S = 10.0  # the longest pause for the webhook of an attempt that was refused, and perhaps taken
MOST_SEARCHED = 3  # refused attempts of a job, the newest
SEARCH_MAX_S = 5.0  # for the search before the next attempt


def has_late_news(job: Job, step_input: StepInput) -> bool:
    """Whether a signal says what became of the last attempt, though it was given up or refused without a ticket."""
    return bool(job.attempts) and _news_of(job.attempts[-1], step_input) is not None


def taken_before(job: Job) -> Attempt | None:
    """An attempt before the last one that turned out to be taken, and whose run nobody has seen end."""
    return next((each for each in reversed(job.attempts[:-1]) if each.ticket and each.submitted_at is None), None)


def go_on_with(context: Context, job: Job, attempt: Attempt, step_input: StepInput, how: str) -> Transition:
    """Wait for the run of an attempt of the job that has a ticket. It becomes the last one, and is on the bill."""
    job = job.with_last(replace(attempt, submitted_at=attempt.started_at, error=None, ended_at=None))
    job = book_lost_call(context, job, step_input)
    return Transition(job.move(Stage.WAITING, tries=0, observed=Observation()), NOW, how)


def book_lost_call(context: Context, job: Job, step_input: StepInput) -> Job:
    """The job with its lost call on the bill: it was refused, or is of a version that booked nothing when it began."""
    if job.attempts[-1].cost is not None:
        return job
    return job.with_attempt(cost=cost_of_attempt(context, step_input.served.model, job, job.attempts[-1]))


async def find_refused(context: Context, job: Job, step_input: StepInput) -> Attempt | None:
    """The last attempt with its ticket, if it was refused and its provider lists it all the same."""
    if not job.attempts or not may_be_taken(context, last := job.attempts[-1]):
        return None
    try:
        async with asyncio.timeout(SEARCH_MAX_S):
            found = await search_run(context, job, last, step_input)
    except (ExternalServiceError, TimeoutError) as error:
        log.info("refused_attempt_not_searched", job=job.id, attempt=last.number, error=str(error))
        return None
    return replace(last, ticket=found.ticket) if found.ticket else None


def with_late_tickets(context: Context, job: Job, step_input: StepInput) -> Job:
    """The job with the tickets and costs of attempts that turn out to have been taken. All after them are marked.

    Their signals are on the row.
    """
    attempts = list(job.attempts)
    for index in range(len(attempts) - 1):  # reconcile continues with the last one
        attempt = attempts[index]
        news = _news_of(attempt, step_input)
        if news is None:
            continue
        taken = _with_news(context, job, attempt, news, step_input)
        attempts[index] = replace(taken, possible_duplicate=attempt.possible_duplicate or taken.possible_duplicate)
        if taken.was_taken:
            attempts[index + 1 :] = [replace(later, possible_duplicate=True) for later in attempts[index + 1 :]]
    return replace(job, attempts=tuple(attempts))


def _news_of(attempt: Attempt, step_input: StepInput) -> str | None:
    """The name of the signal that says what became of an ended attempt without a ticket; None if we know already."""
    if attempt.was_taken or attempt.ended_at is None:
        return None
    if left_outcome(attempt, step_input):
        return outcome_signal(attempt.number)
    names = (ticket_signal(attempt.number), webhook_signal(attempt.number))
    return next((name for name in names if name in step_input.signals), None)


def left_outcome(attempt: Attempt, step_input: StepInput) -> Job | None:
    """The row as the worker that sent an attempt has left it in a signal. None: nothing, or a refusal that we know.

    Signals stay on the row: a refusal that counted as news each time would be taken over for ever.
    """
    raw = step_input.signals.get(outcome_signal(attempt.number))
    if raw is None:
        return None
    left = load_job(raw)
    theirs = left.attempts[-1]
    is_known = attempt.ended_at is not None and not theirs.was_taken and theirs.error == attempt.error
    return None if is_known else left


def _with_news(context: Context, job: Job, attempt: Attempt, news: str, step_input: StepInput) -> Attempt:
    """The attempt as this signal shows it. Its cost is an estimate unless its own worker saw the answer."""
    raw = step_input.signals[news]
    if news == outcome_signal(attempt.number):
        return load_job(raw).attempts[-1]
    if news == ticket_signal(attempt.number):
        ticket = load_ticket(raw)
    else:
        reported = step_input.webhook(attempt.number)
        provider = context.providers.get(attempt.provider)
        if reported is None or provider is None:
            return attempt
        ticket = provider.ticket_of(attempt.endpoint, reported.request_id)
    cost = attempt.cost or cost_of_attempt(context, step_input.served.model, job, attempt)
    return replace(attempt, ticket=ticket, cost=cost)


def may_be_taken(context: Context, attempt: Attempt) -> bool:
    """Whether this attempt was refused in words that a provider may use after it has taken the job."""
    provider, error = context.providers.get(attempt.provider), attempt.error
    if attempt.was_taken or error is None or provider is None or not provider.lists_requests:
        return False
    return error.status is not None and (error.status == 429 or error.status >= 500)


def settle_s(context: Context, attempt: Attempt, usual_s: float) -> float:
    """How long to wait for the webhook of an attempt that was refused, and perhaps taken; 0 without webhooks."""
    if context.webhook is None or not may_be_taken(context, attempt):
        return 0.0
    return min(1.5 * usual_s + 1.0, SETTLE_MAX_S)


async def with_refused_searched(context: Context, job: Job, step_input: StepInput) -> Job:
    """The job with a mark on each attempt after a refused one, unless the list proves that it was not taken.

    A refused attempt that is found gets its ticket. Both it and one that may have been taken get a possible cost.
    """
    attempts = list(job.attempts)
    refused = [place for place, attempt in enumerate(attempts[:-1]) if may_be_taken(context, attempt)]
    for place in refused[-MOST_SEARCHED:]:
        attempt = attempts[place]
        try:
            found = await search_run(context, job, attempt, step_input)
        except ExternalServiceError:
            found = None
        last = attempts[-1]
        until = found.listed_until if found else None
        is_fresh = until is not None and until >= (last.submitted_at or last.started_at)
        if is_fresh and not (found and found.ticket):
            continue
        if found and found.ticket:
            cost = attempt.cost or cost_of_attempt(context, step_input.served.model, job, attempt)
            attempts[place] = replace(attempt, ticket=found.ticket, cost=cost)
        else:
            attempts[place] = _with_possible_cost(context, job, attempt, step_input)
        attempts[place + 1 :] = [replace(later, possible_duplicate=True) for later in attempts[place + 1 :]]
    return replace(job, attempts=tuple(attempts))


def with_refused_booked(context: Context, job: Job, step_input: StepInput) -> Job:
    """A job that ends without its piece, with a possible cost on each refused attempt that may have been taken.

    While the job goes on they count as free: a limit (`max_usd`) must not end a job because its provider is busy.
    """
    attempts = tuple(
        _with_possible_cost(context, job, attempt, step_input) if may_be_taken(context, attempt) else attempt
        for attempt in job.attempts
    )
    job = replace(job, attempts=attempts)
    if job.receipt and job.receipt.total_cost:
        job = replace(job, receipt=replace(job.receipt, total_cost=total_cost(job)))
    return job


def _with_possible_cost(context: Context, job: Job, attempt: Attempt, step_input: StepInput) -> Attempt:
    """The attempt with bounds: probably nothing was billed, and at most what it may cost."""
    possible = cost_of_attempt(context, step_input.served.model, job, attempt)
    return replace(attempt, cost=attempt.cost or replace(possible, usd=0.0, units=0.0))


async def search_run(context: Context, job: Job, attempt: Attempt, step_input: StepInput) -> SearchResult:
    """What its provider lists of an attempt. Of requests that look like it, the first that no other job has is its own.

    Two jobs may ask for the same, for example two calls of a batch to a model without a seed. Raises as
    `Provider.find` does.
    """
    found = await context.provider(attempt.provider).find(lost_submission(context, job, attempt, step_input))
    for ticket in found.alike:
        if context.own_run is None or await context.own_run(run_name(attempt.provider, ticket), job.id):
            return SearchResult(ticket, found.listed_until)
    return replace(found, alike=())


def lost_submission(context: Context, job: Job, attempt: Attempt, step_input: StepInput) -> LostSubmission:
    """What to search for, as this attempt sent it."""
    route = route_of(step_input.served.model, attempt)
    arguments = call_arguments(job.with_last(attempt), route, context.checks.get(job.task))
    routes = [route for model in context.catalogue.models for route in model.routes]
    return LostSubmission(
        job.id,
        attempt.number,
        attempt.endpoint,
        arguments,
        attempt.started_at,
        is_marked=attempt.seed is not None,
        known=frozenset(before.ticket.request_id for before in job.attempts if before.ticket),
        others=tuple(sorted({route.endpoint for route in routes if route.provider == attempt.provider})),
    )
