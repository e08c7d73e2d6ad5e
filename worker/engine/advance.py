"""One step of one row: a `match` over stages, a short coroutine each. It returns the next row and when that is due.

The dispatcher claims, writes and publishes. Every step may run twice: the intent is on the row before a call that may
cost money, the ticket after it, and files have names that do not change. Lost answers are in `reconcile`, errors and
answers in `outcome`, cancels and deadlines in `cancellation`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import assert_never

import structlog

from worker.engine.arguments import call_arguments
from worker.engine.cancellation import cancelled_instead, end_if_due, end_if_over, is_stopping
from worker.engine.context import Context, StepInput, Transition
from worker.engine.endings import cancel, close, fail, provenance_of
from worker.engine.late_news import with_late_tickets, with_refused_booked, with_refused_searched
from worker.engine.outcome import handle_error, leave_queue, save_answer
from worker.engine.polling import BEHIND_S, estimated_progress, first_poll_s, next_poll_s, observe
from worker.engine.reconcile import reconcile
from worker.engine.rest import stored_rest
from worker.engine.spending import list_price
from worker.engine.submission import prepare_submission
from worker.errors import BrokenPieceError, ExternalServiceError, InternalError, RateLimitError, ServiceUnavailableError
from worker.files.fetch import Fetched
from worker.files.slots import BUSY
from worker.health.verdict import verdict_of
from worker.jobs.file_keys import job_folder
from worker.jobs.job import Job, Receipt, Stage, Ticket
from worker.jobs.status import result_of
from worker.providers.base import Call, Ended, Provider, Queued, Reply, RunFailure, Running
from worker.routing.retry import (
    BROKEN_TRIES,
    FETCH_TRIES,
    FORGOTTEN_POLLS,
    PAUSE_MAX_S,
    RESEND_S,
    SENDINGS,
    WEBHOOK_POLLS,
    asked_pause_s,
    is_inconclusive,
    resend_pause_s,
    retry_pause_s,
)
from worker.testing import crash

log = structlog.get_logger(__name__)

DEADLINE_MARGIN_S = 10.0  # so that a job's own deadline always comes before the provider's
STOPPING_POLL_S = 1.0
BUSY_PAUSE_S = 2.0  # and up to as much again, for a download that got no slot


async def advance(context: Context, job: Job, step_input: StepInput) -> Transition:
    """The next row. Raises only what nobody foresaw."""
    if job.ending is not None:
        return await _close_again(context, job, step_input)
    if step_input.signals:
        job = with_late_tickets(context, job, step_input)
    transition = await end_if_due(context, job, step_input) or await _step(context, job, step_input)
    if step_input.is_cancelled and transition.job.ending == Stage.FAILED:
        transition = close(cancelled_instead(job, transition.job, step_input.now))
    if transition.job.ending in {Stage.FAILED, Stage.CANCELLED}:
        return replace(transition, job=with_refused_booked(context, transition.job, step_input))
    if transition.job.ending is not None or job.stage == Stage.SENT:
        return transition
    left_s = job.created_at + step_input.served.deadline_s - step_input.now
    if transition.due_in_s > left_s > 0:
        return replace(transition, due_in_s=left_s + 0.1)  # a pause does not outlast the deadline
    return transition


async def _step(context: Context, job: Job, step_input: StepInput) -> Transition:
    match job.stage:
        case Stage.SENT:
            return await _send_again(context, job, step_input)
        case Stage.ACCEPTED:
            return await prepare_submission(context, job, step_input)
        case Stage.SUBMITTING if step_input.intent_is_ours:
            return await _submit(context, job, step_input)
        case Stage.SUBMITTING:
            return Transition(job.move(Stage.UNKNOWN, tries=0))
        case Stage.UNKNOWN:
            return await reconcile(context, job, step_input)
        case Stage.WAITING:
            return await _poll(context, job, step_input)
        case Stage.FETCHED:
            return await _store(context, job, step_input)
        case Stage.STORED:
            return await _complete(context, job, step_input)
        case Stage.CLOSING | Stage.COMPLETED | Stage.FAILED | Stage.CANCELLED:
            raise InternalError(f"job {job.id} is {job.stage} and has no ending")
        case _:
            assert_never(job.stage)


async def _close_again(context: Context, job: Job, step_input: StepInput) -> Transition:
    """Nobody has confirmed the ending: its message is sent again, unless it still waits."""
    if await _is_queued(context, job):
        return Transition(job.move(Stage.CLOSING), _wait_s(job.resent_at or job.closed_at, step_input.now))
    again = job.tries + 1
    closing = job.move(Stage.CLOSING, tries=again, resent_at=step_input.now)
    return Transition(closing, resend_pause_s(min(again, 6)))


async def _send_again(context: Context, job: Job, step_input: StepInput) -> Transition:
    """No worker has accepted the row: its message is sent again, unless it still waits."""
    if await _is_queued(context, job):
        return Transition(job.move(Stage.SENT), _wait_s(job.resent_at or job.sent_at, step_input.now))
    if job.tries >= SENDINGS:
        return close(fail(job, InternalError(f"sent {job.tries + 1} times, and no worker accepted it"), step_input.now))
    sent = job.move(Stage.SENT, tries=job.tries + 1, resent_at=step_input.now)
    return Transition(sent, resend_pause_s(job.tries + 1))


async def _is_queued(context: Context, job: Job) -> bool:
    """Whether its message still waits. If the broker cannot be asked it does not: a second message does no harm."""
    if context.is_queued is None:
        return False
    try:
        return await context.is_queued(job)
    except Exception:  # the outer rim: whatever the broker's client raises
        log.warning("queue_not_read", job=job.id, queue=job.queue, exc_info=True)
        return False


def _wait_s(since: float | None, now: float) -> float:
    """When a waiting message is looked for again: after half of its age, so that a long queue is not asked often."""
    return min(max(RESEND_S, (now - (since or now)) / 2), PAUSE_MAX_S)


async def _submit(context: Context, job: Job, step_input: StepInput) -> Transition:
    """The one POST, with the ticket saved right after; or the answer of a provider that answers at once."""
    attempt, served = job.attempts[-1], step_input.served
    call = Call(
        job.id,
        attempt.endpoint,
        call_arguments(job, served.route, context.checks.get(job.task)),
        job.options.priority,
        attempt.number,
        context.webhook(attempt.provider, job.id, attempt.number) if context.webhook else None,
        step_input.resources.files,
        max(0.0, job.created_at + served.deadline_s - step_input.now) + DEADLINE_MARGIN_S,
    )
    crash.point("before_post")
    try:
        taken = await context.provider(attempt.provider).submit(call)
    except ExternalServiceError as error:
        step_input.resources.verdict = verdict_of(error)
        return handle_error(context, job, error, step_input.later())
    crash.point("after_post")
    step_input.resources.verdict = verdict_of(taken.error if isinstance(taken, RunFailure) else None)
    if not isinstance(taken, Ticket):
        job = job.with_attempt(submitted_at=step_input.now, answered=True)
        return await save_answer(context, job, taken, step_input.later())
    job = job.with_attempt(ticket=taken, submitted_at=step_input.now)
    list_price(context, served)  # so that it is known when the run has ended
    pause_s = first_poll_s(served.model.usual_s, webhooks=context.webhook is not None)
    return Transition(job.move(Stage.WAITING, tries=0), pause_s * (1 + 0.2 * context.chance()))


async def _poll(context: Context, job: Job, step_input: StepInput) -> Transition:
    """Ask how far the run is. When it is over, fetch and save the answer."""
    attempt, usual_s = job.attempts[-1], step_input.served.model.usual_s
    elapsed = step_input.now - (attempt.submitted_at or attempt.started_at)
    try:
        provider = context.provider(attempt.provider)
        assert attempt.ticket is not None  # noqa: S101  # WAITING has one
        reported = step_input.webhook(attempt.number)
        is_behind = reported and job.is_brief and step_input.late_s > BEHIND_S  # skip the status; its logs are lost
        run_status = Ended() if is_behind else await provider.poll(attempt.endpoint, attempt.ticket)
        if isinstance(run_status, Ended) or reported:  # fal's status lags behind its webhook
            ended = run_status if isinstance(run_status, Ended) else Ended()
            return await _fetch(context, provider, job, ended, step_input)
    except ExternalServiceError as error:
        return await _poll_failed(context, job, error, step_input)
    list_price(context, step_input.served)  # another worker may have submitted it
    if isinstance(run_status, Queued) and (moved := await leave_queue(context, job, elapsed, step_input)):
        return moved
    is_running = isinstance(run_status, Running)
    working_s = step_input.now - job.observed.queued_at if job.observed.queued_at else elapsed
    observed = observe(run_status, job.observed, estimated_progress(usual_s, working_s), step_input.now)
    webhooks = context.webhook is not None
    pause_s = next_poll_s(usual_s, elapsed, is_running, context.chance(), webhooks, step_input.late_s)
    pause_s = min(pause_s, STOPPING_POLL_S) if is_stopping(job) else pause_s
    if not is_running and job.options.max_queue_s and (left_s := job.options.max_queue_s - elapsed) > 0:
        pause_s = min(pause_s, left_s + 0.1)
    return Transition(job.move(Stage.WAITING, observed=observed, tries=job.tries + 1), pause_s)


async def _poll_failed(context: Context, job: Job, error: ExternalServiceError, step_input: StepInput) -> Transition:
    """A poll failed: the webhook's payload counts instead, or the run is polled again, or it is lost."""
    attempt, served = job.attempts[-1], step_input.served
    is_forgotten = error.kind == "not_found"
    reported = step_input.webhook(attempt.number)
    may_be_taken = is_forgotten or (is_inconclusive(error) and job.tries >= WEBHOOK_POLLS)
    if may_be_taken and reported and reported.status == "OK" and reported.payload is not None:
        why = "by its webhook; the answer cannot be asked for"
        return await save_answer(context, job, Reply(reported.payload), step_input, why)
    if is_inconclusive(error) or (is_forgotten and job.tries < FORGOTTEN_POLLS):
        elapsed = step_input.now - (attempt.submitted_at or attempt.started_at)
        next_s = next_poll_s(served.model.usual_s, elapsed, bool(reported), context.chance())
        pause_s = max(asked_pause_s(error), next_s)
        return Transition(job.move(Stage.WAITING, tries=job.tries + 1), pause_s, f"the look failed: {error.message}")
    return handle_error(context, job, error, step_input)


async def _fetch(context: Context, provider: Provider, job: Job, ended: Ended, step_input: StepInput) -> Transition:
    """Save the provider's answer on the row: the provider forgets it within the hour, or in minutes."""
    attempt, resources = job.attempts[-1], step_input.resources
    assert attempt.ticket is not None  # noqa: S101  # WAITING has one
    if not await resources.reserve(  # until its files are stored
        context.memory, provider.result_bytes, job.options.tenant
    ):
        raise ServiceUnavailableError("no memory for its answer now", provider=attempt.provider)
    outcome = await provider.result(attempt.endpoint, attempt.ticket)
    resources.verdict = verdict_of(outcome.error) if isinstance(outcome, RunFailure) else None
    took_s = outcome.inference_s if isinstance(outcome, Reply) else None
    job = job.with_attempt(inference_s=took_s if ended.inference_s is None else ended.inference_s)
    job = replace(job, observed=replace(job.observed, logs=ended.logs or job.observed.logs))
    return await save_answer(context, job, outcome, step_input)


async def _store(context: Context, job: Job, step_input: StepInput) -> Transition:
    """Bring every piece into our store, whole. A paid piece is worth many tries."""
    try:
        artefacts = await context.fetcher.fetch_all(
            job_folder(job), job.answer or {}, step_input.served.pieces, tenant=job.options.tenant
        )
    except (ServiceUnavailableError, RateLimitError, BrokenPieceError) as error:
        if over := end_if_over(job, step_input.later()):
            return over
        if error.kind == BUSY:
            return Transition(job.move(Stage.FETCHED), BUSY_PAUSE_S * (1 + context.chance()), error.message)
        if job.tries < (BROKEN_TRIES if isinstance(error, BrokenPieceError) else FETCH_TRIES):
            pause_s = retry_pause_s(error, job.tries + 1)
            return Transition(job.move(Stage.FETCHED, tries=job.tries + 1), pause_s, error.message)
        stored = await stored_rest(job, _rest(context, job, step_input))
        if stored is None:
            return close(fail(job, error, step_input.now))
    except ExternalServiceError as error:
        stored = await stored_rest(job, _rest(context, job, step_input))
        if stored is None:
            return handle_error(context, job, error, step_input)
    else:
        stored = job.move(Stage.STORED, artefacts=artefacts)
    job = stored
    return await _complete(context, job, step_input.later()) if job.is_brief else Transition(job)  # one write for both


def _rest(context: Context, job: Job, step_input: StepInput) -> Callable[[], Awaitable[Fetched]]:
    fetch = context.fetcher.fetch_rest
    return partial(fetch, job_folder(job), job.answer or {}, step_input.served.pieces, tenant=job.options.tenant)


async def _complete(context: Context, job: Job, step_input: StepInput) -> Transition:
    """Decide the ending, with the result as the caller reads it."""
    job = await with_refused_searched(context, job, step_input)
    keys = [key for artefact in job.artefacts for key in (artefact.key, artefact.poster_key) if key]
    urls = {key: await context.store.url(key, context.url_s) for key in keys}
    served = step_input.served
    sent = call_arguments(job, served.route, context.checks.get(job.task))
    job = replace(job, result=result_of(job, provenance_of(served, job, sent), urls, step_input.now))
    if step_input.is_cancelled:
        receipt = replace(job.receipt or Receipt(step_input.now, told=True), in_time=False)
        return close(cancel(job, receipt, step_input.now))
    return close(job.move(Stage.CLOSING, ending=Stage.COMPLETED, answer=None, closed_at=step_input.now, tries=0))
