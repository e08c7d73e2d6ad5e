"""One row, one step further: a `match` over stages, a short coroutine each. It returns the next row and when it is due.

Writing, claiming and telling the outside is the dispatcher's. Anything here may run twice: before a call that may cost
money the intent is on the row, after it the ticket; files go under names that do not change. What a lost answer leads
to is in `reconcile`, what came of an attempt in `outcome`, cancels and deadlines in `cancellation`.
"""

from dataclasses import replace

from worker.engine.arguments import call_arguments
from worker.engine.cancellation import cancelled_instead, end_if_due, is_stopping
from worker.engine.context import RESEND_S, Context, StepInput, Transition, cancel, close, fail
from worker.engine.outcome import handle_error, leave_queue, save_answer
from worker.engine.polling import BEHIND_S, estimated_progress, first_poll_s, next_poll_s
from worker.engine.progress import observe
from worker.engine.provenance import provenance_of
from worker.engine.reconcile import reconcile
from worker.engine.submission import prepare_submission
from worker.errors import BrokenPieceError, ExternalServiceError, InternalError, RateLimitError, ServiceUnavailableError
from worker.health.verdict import verdict_of
from worker.jobs.job import Job, Receipt, Stage, Ticket
from worker.jobs.status import result_of
from worker.money.cost import deadline_s, estimated_cost, model_of, promised_pieces
from worker.providers.base import Call, Ended, Provider, Queued, Reply, RunFailure, Running
from worker.routing.routes import PAUSE_MAX_S, backoff_s, is_inconclusive
from worker.testing import crash

FETCH_TRIES, BROKEN_TRIES = 30, 2  # a CDN may answer once with a page in the piece's place
HEARD_LOOKS = 5  # that may fail before a webhook's word is taken without the bill that comes with the answer
FORGOTTEN_LOOKS = 3  # times that a provider must deny a request before it is believed
SENDINGS = 20  # of a message that no worker accepts: about an hour and a half
STOPPING_LOOK_S = 1.0


async def advance(context: Context, job: Job, step_input: StepInput) -> Transition:
    """The next row. Raises only what nobody foresaw."""
    if job.ending is not None:  # CLOSING, and nobody confirmed: the dispatcher sends the message again
        return Transition(job.move(Stage.CLOSING, tries=job.tries + 1), RESEND_S * 2.0 ** min(job.tries + 1, 6))
    transition = await end_if_due(context, job, step_input) or await _step(context, job, step_input)
    if step_input.is_cancelled and transition.job.ending == Stage.FAILED:
        return close(cancelled_instead(job, transition.job, step_input.now))
    if transition.job.ending is not None or job.stage == Stage.SENT:
        return transition
    left_s = job.created_at + deadline_s(context.catalogue, job) - step_input.now
    if transition.due_in_s > left_s > 0:
        return replace(transition, due_in_s=left_s + 0.1)  # a pause does not outlast the deadline
    return transition


async def _step(context: Context, job: Job, step_input: StepInput) -> Transition:
    match job.stage:
        case Stage.SENT:
            return _send_again(job, step_input)
        case Stage.ACCEPTED:
            return await prepare_submission(context, job, step_input)
        case Stage.SUBMITTING if step_input.intent_is_ours:
            return await _submit(context, job, step_input)
        case Stage.SUBMITTING:
            return Transition(job.move(Stage.UNKNOWN, tries=0))
        case Stage.UNKNOWN:
            return await reconcile(context, job, step_input)
        case Stage.WAITING:
            return await _look(context, job, step_input)
        case Stage.FETCHED:
            return await _store(context, job, step_input)
        case _:  # STORED
            return await _complete(context, job, step_input)


def _send_again(job: Job, step_input: StepInput) -> Transition:
    """The message of a row that no worker has accepted goes out again."""
    if job.tries >= SENDINGS:
        return close(fail(job, InternalError(f"sent {job.tries + 1} times, and no worker accepted it"), step_input.now))
    return Transition(job.move(Stage.SENT, tries=job.tries + 1), min(RESEND_S * 2.0 ** (job.tries + 1), PAUSE_MAX_S))


async def _submit(context: Context, job: Job, step_input: StepInput) -> Transition:
    """The one POST, with the ticket saved right after, or the answer of a provider that answers at once."""
    attempt, model = job.attempts[-1], model_of(context.catalogue, job)
    call = Call(
        job.id,
        attempt.endpoint,
        call_arguments(model, job),
        job.options.priority,
        attempt.number,
        context.webhook(attempt.provider, job.id, attempt.number) if context.webhook else None,
        step_input.resources.files,
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
    pause_s = first_poll_s(model.usual_s, webhooks=context.webhook is not None)
    return Transition(job.move(Stage.WAITING, tries=0), pause_s * (1 + 0.2 * context.chance()))


async def _look(context: Context, job: Job, step_input: StepInput) -> Transition:
    """Ask how far it is; when it is over, fetch and save the answer."""
    attempt, model = job.attempts[-1], model_of(context.catalogue, job)
    elapsed = step_input.now - (attempt.submitted_at or attempt.started_at)
    try:
        provider = context.provider(attempt.provider)
        assert attempt.ticket is not None  # noqa: S101  # WAITING has one
        heard = step_input.heard(attempt.number)
        is_spared = (
            heard and job.is_brief and step_input.late_s > BEHIND_S
        )  # of a picture's logs, when there is much to do
        run_status = Ended() if is_spared else await provider.poll(attempt.endpoint, attempt.ticket)
        if isinstance(run_status, Ended) or heard:  # the status lags behind the webhook
            return await _fetch(
                context, provider, job, run_status if isinstance(run_status, Ended) else Ended(), step_input
            )
    except ExternalServiceError as error:
        return await _not_seen(context, job, error, step_input)
    if isinstance(run_status, Queued) and (moved := await leave_queue(context, job, elapsed, step_input)):
        return moved
    running = isinstance(run_status, Running)
    working_s = step_input.now - job.observed.queued_at if job.observed.queued_at else elapsed
    sight = observe(run_status, job.observed, estimated_progress(model.usual_s, working_s), step_input.now)
    webhooks = context.webhook is not None
    pause = next_poll_s(model.usual_s, elapsed, running, context.chance(), webhooks, step_input.late_s)
    pause = min(pause, STOPPING_LOOK_S) if is_stopping(job) else pause
    if not running and job.options.max_queue_s and (left_s := job.options.max_queue_s - elapsed) > 0:
        pause = min(pause, left_s + 0.1)
    return Transition(job.move(Stage.WAITING, observed=sight, tries=job.tries + 1), pause)


async def _not_seen(context: Context, job: Job, error: ExternalServiceError, step_input: StepInput) -> Transition:
    """A look that failed: what the webhook has brought counts instead, or it is looked again, or the run is lost."""
    attempt, model = job.attempts[-1], model_of(context.catalogue, job)
    is_forgotten = error.kind == "not_found"
    heard = step_input.heard(attempt.number)
    may_be_taken = is_forgotten or (is_inconclusive(error) and job.tries >= HEARD_LOOKS)
    if may_be_taken and heard and heard.status == "OK" and heard.payload is not None:
        job = job.with_attempt(cost=estimated_cost(model, job))
        return await save_answer(
            context, job, Reply(heard.payload), step_input, why="by its webhook; the answer cannot be asked for"
        )
    if is_inconclusive(error) or (is_forgotten and job.tries < FORGOTTEN_LOOKS):
        asked_s = min(error.retry_after_s or 0.0, PAUSE_MAX_S)
        elapsed = step_input.now - (attempt.submitted_at or attempt.started_at)
        pause = max(asked_s, next_poll_s(model.usual_s, elapsed, bool(heard), context.chance()))
        return Transition(job.move(Stage.WAITING, tries=job.tries + 1), pause, f"the look failed: {error.message}")
    return handle_error(context, job, error, step_input)


async def _fetch(context: Context, provider: Provider, job: Job, ended: Ended, step_input: StepInput) -> Transition:
    """Save the provider's answer on the row: it forgets it within the hour, or in minutes."""
    attempt = job.attempts[-1]
    assert attempt.ticket is not None  # noqa: S101  # WAITING has one
    if not await step_input.resources.take_room(context.memory, provider.result_bytes):  # until its files are stored
        raise ServiceUnavailableError("no memory for its answer now", provider=attempt.provider)
    outcome = await provider.result(attempt.endpoint, attempt.ticket)
    step_input.resources.verdict = verdict_of(outcome.error) if isinstance(outcome, RunFailure) else None
    took_s = outcome.inference_s if isinstance(outcome, Reply) else None
    job = job.with_attempt(inference_s=took_s if ended.inference_s is None else ended.inference_s)
    job = replace(job, observed=replace(job.observed, logs=ended.logs or job.observed.logs))
    return await save_answer(context, job, outcome, step_input)


async def _store(context: Context, job: Job, step_input: StepInput) -> Transition:
    """Bring every piece into our store, whole. A paid piece is worth many tries."""
    try:
        artefacts = await context.fetcher.fetch_all(job.id, job.answer or {}, promised_pieces(context.catalogue, job))
    except (ServiceUnavailableError, RateLimitError, BrokenPieceError) as error:
        if job.tries < (BROKEN_TRIES if isinstance(error, BrokenPieceError) else FETCH_TRIES):
            pause = max(min(error.retry_after_s or 0.0, PAUSE_MAX_S), backoff_s(job.tries + 1))
            return Transition(job.move(Stage.FETCHED, tries=job.tries + 1), pause, error.message)
        return close(fail(job, error, step_input.now))
    except ExternalServiceError as error:
        return handle_error(context, job, error, step_input)
    job = job.move(Stage.STORED, artefacts=artefacts)
    return await _complete(context, job, step_input.later()) if job.is_brief else Transition(job)  # one write for both


async def _complete(context: Context, job: Job, step_input: StepInput) -> Transition:
    """Decide the ending, with the result as the caller will read it."""
    urls = {artefact.key: await context.store.url(artefact.key, context.url_s) for artefact in job.artefacts}
    provenance = provenance_of(model_of(context.catalogue, job), job)
    job = replace(job, result=result_of(job, provenance, urls, step_input.now))
    if step_input.is_cancelled:
        receipt = replace(job.receipt or Receipt(step_input.now, told=True), in_time=False)
        return close(cancel(job, receipt, step_input.now))
    return close(job.move(Stage.CLOSING, ending=Stage.COMPLETED, answer=None, closed_at=step_input.now, tries=0))
