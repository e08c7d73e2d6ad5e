"""One row, one step further: a `match` over stages, a short coroutine each. It returns the next row and when it is due.

Writing, claiming and telling the outside is the dispatcher's. Anything here may run twice: before a call that may cost
money the intent is on the row, after it the ticket; files go under names that do not change. What a lost answer leads
to is in `reconcile`, what came of an attempt in `outcome`, cancels and deadlines in `cancellation`.
"""

from dataclasses import replace

from worker.engine.arguments import told
from worker.engine.cancellation import cancelled_instead, is_stopping, over
from worker.engine.context import RESEND_S, Bench, Look, Next, cancelled, fail, let_go
from worker.engine.outcome import after, answered, leave_queue
from worker.engine.polling import BEHIND_S, estimated_progress, first_look_s, next_look_s
from worker.engine.progress import sight_of
from worker.engine.provenance import provenance_of
from worker.engine.reconcile import reconcile
from worker.engine.submission import choose
from worker.errors import BrokenPieceError, ExternalServiceError, InternalError, RateLimitError, ServiceUnavailableError
from worker.health.verdict import verdict_of
from worker.jobs.job import Job, Receipt, Stage, Ticket
from worker.jobs.status import result_of
from worker.money.cost import deadline_s, estimated_cost, model_of, promised
from worker.providers.base import Call, Ended, Fault, Provider, Queued, Reply, Running
from worker.routing.routes import PAUSE_MAX_S, backoff_s, says_nothing
from worker.testing import crash

FETCH_TRIES, BROKEN_TRIES = 30, 2  # a CDN may answer once with a page in the piece's place
HEARD_LOOKS = 5  # that may fail before a webhook's word is taken without the bill that comes with the answer
FORGOTTEN_LOOKS = 3  # times that a provider must deny a request before it is believed
SENDINGS = 20  # of a message that no worker accepts: about an hour and a half
STOPPING_LOOK_S = 1.0


async def advance(bench: Bench, job: Job, look: Look) -> Next:
    """The next row. Raises only what nobody foresaw."""
    if job.ending is not None:  # CLOSING, and nobody confirmed: the dispatcher sends the message again
        return Next(job.move(Stage.CLOSING, looks=job.looks + 1), RESEND_S * 2.0 ** min(job.looks + 1, 6))
    following = await over(bench, job, look) or await _step(bench, job, look)
    if look.is_cancelled and following.job.ending == Stage.FAILED:
        return let_go(cancelled_instead(job, following.job, look.now))
    if following.job.ending is not None or job.stage == Stage.SENT:
        return following
    left_s = job.created_at + deadline_s(bench.catalogue, job) - look.now
    if following.due_in_s > left_s > 0:
        return replace(following, due_in_s=left_s + 0.1)  # a pause does not outlast the deadline
    return following


async def _step(bench: Bench, job: Job, look: Look) -> Next:
    match job.stage:
        case Stage.SENT:
            return _send_again(job, look)
        case Stage.ACCEPTED:
            return await choose(bench, job, look)
        case Stage.SUBMITTING if look.intent_is_ours:
            return await _submit(bench, job, look)
        case Stage.SUBMITTING:
            return Next(job.move(Stage.UNKNOWN, looks=0))
        case Stage.UNKNOWN:
            return await reconcile(bench, job, look)
        case Stage.WAITING:
            return await _look(bench, job, look)
        case Stage.FETCHED:
            return await _store(bench, job, look)
        case _:  # STORED
            return await _complete(bench, job, look)


def _send_again(job: Job, look: Look) -> Next:
    """The message of a row that no worker has accepted goes out again."""
    if job.looks >= SENDINGS:
        return let_go(fail(job, InternalError(f"sent {job.looks + 1} times, and no worker accepted it"), look.now))
    return Next(job.move(Stage.SENT, looks=job.looks + 1), min(RESEND_S * 2.0 ** (job.looks + 1), PAUSE_MAX_S))


async def _submit(bench: Bench, job: Job, look: Look) -> Next:
    """The one POST, with the ticket saved right after, or the answer of a provider that answers at once."""
    attempt, model = job.attempts[-1], model_of(bench.catalogue, job)
    call = Call(
        job.id,
        attempt.endpoint,
        told(model, job),
        job.options.priority,
        attempt.number,
        bench.webhook(attempt.provider, job.id, attempt.number) if bench.webhook else None,
        look.hand.files,
    )
    crash.point("before_post")
    try:
        taken = await bench.provider(attempt.provider).submit(call)
    except ExternalServiceError as error:
        look.hand.verdict = verdict_of(error)
        return after(bench, job, error, look.later())
    crash.point("after_post")
    look.hand.verdict = verdict_of(taken.error if isinstance(taken, Fault) else None)
    if not isinstance(taken, Ticket):
        job = job.with_attempt(submitted_at=look.now, answered=True)
        return await answered(bench, job, taken, look.later())
    job = job.with_attempt(ticket=taken, submitted_at=look.now)
    pause_s = first_look_s(model.usual_s, webhooks=bench.webhook is not None)
    return Next(job.move(Stage.WAITING, looks=0), pause_s * (1 + 0.2 * bench.chance()))


async def _look(bench: Bench, job: Job, look: Look) -> Next:
    """Ask how far it is; when it is over, fetch and save the answer."""
    attempt, model = job.attempts[-1], model_of(bench.catalogue, job)
    elapsed = look.now - (attempt.submitted_at or attempt.started_at)
    try:
        provider = bench.provider(attempt.provider)
        assert attempt.ticket is not None  # noqa: S101  # WAITING has one
        heard = look.heard(attempt.number)
        is_spared = heard and job.is_brief and look.late_s > BEHIND_S  # of a picture's logs, when there is much to do
        sighting = Ended() if is_spared else await provider.look(attempt.endpoint, attempt.ticket)
        if isinstance(sighting, Ended) or heard:  # the status lags behind the webhook
            return await _fetch(bench, provider, job, sighting if isinstance(sighting, Ended) else Ended(), look)
    except ExternalServiceError as error:
        return await _not_seen(bench, job, error, look)
    if isinstance(sighting, Queued) and (moved := await leave_queue(bench, job, elapsed, look)):
        return moved
    running = isinstance(sighting, Running)
    working_s = look.now - job.sight.queued_at if job.sight.queued_at else elapsed
    sight = sight_of(sighting, job.sight, estimated_progress(model.usual_s, working_s), look.now)
    webhooks = bench.webhook is not None
    pause = next_look_s(model.usual_s, elapsed, running, bench.chance(), webhooks, look.late_s)
    pause = min(pause, STOPPING_LOOK_S) if is_stopping(job) else pause
    if not running and job.options.max_queue_s and (left_s := job.options.max_queue_s - elapsed) > 0:
        pause = min(pause, left_s + 0.1)
    return Next(job.move(Stage.WAITING, sight=sight, looks=job.looks + 1), pause)


async def _not_seen(bench: Bench, job: Job, error: ExternalServiceError, look: Look) -> Next:
    """A look that failed: what the webhook has brought counts instead, or it is looked again, or the run is lost."""
    attempt, model = job.attempts[-1], model_of(bench.catalogue, job)
    is_forgotten = error.kind == "not_found"
    heard = look.heard(attempt.number)
    may_be_taken = is_forgotten or (says_nothing(error) and job.looks >= HEARD_LOOKS)
    if may_be_taken and heard and heard.status == "OK" and heard.payload is not None:
        job = job.with_attempt(cost=estimated_cost(model, job))
        return await answered(
            bench, job, Reply(heard.payload), look, why="by its webhook; the answer cannot be asked for"
        )
    if says_nothing(error) or (is_forgotten and job.looks < FORGOTTEN_LOOKS):
        asked_s = min(error.retry_after_s or 0.0, PAUSE_MAX_S)
        elapsed = look.now - (attempt.submitted_at or attempt.started_at)
        pause = max(asked_s, next_look_s(model.usual_s, elapsed, bool(heard), bench.chance()))
        return Next(job.move(Stage.WAITING, looks=job.looks + 1), pause, f"the look failed: {error.message}")
    return after(bench, job, error, look)


async def _fetch(bench: Bench, provider: Provider, job: Job, ended: Ended, look: Look) -> Next:
    """Save the provider's answer on the row: it forgets it within the hour, or in minutes."""
    attempt = job.attempts[-1]
    assert attempt.ticket is not None  # noqa: S101  # WAITING has one
    if not await look.hand.take_room(bench.memory, provider.result_bytes):  # until its files are stored
        raise ServiceUnavailableError("no memory for its answer now", provider=attempt.provider)
    outcome = await provider.result(attempt.endpoint, attempt.ticket)
    look.hand.verdict = verdict_of(outcome.error) if isinstance(outcome, Fault) else None
    took_s = outcome.inference_s if isinstance(outcome, Reply) else None
    job = job.with_attempt(inference_s=took_s if ended.inference_s is None else ended.inference_s)
    job = replace(job, sight=replace(job.sight, logs=ended.logs or job.sight.logs))
    return await answered(bench, job, outcome, look)


async def _store(bench: Bench, job: Job, look: Look) -> Next:
    """Bring every piece into our store, whole. A paid piece is worth many tries."""
    try:
        artefacts = await bench.fetcher.fetch_all(job.id, job.answer or {}, promised(bench.catalogue, job))
    except (ServiceUnavailableError, RateLimitError, BrokenPieceError) as error:
        if job.looks < (BROKEN_TRIES if isinstance(error, BrokenPieceError) else FETCH_TRIES):
            pause = max(min(error.retry_after_s or 0.0, PAUSE_MAX_S), backoff_s(job.looks + 1))
            return Next(job.move(Stage.FETCHED, looks=job.looks + 1), pause, error.message)
        return let_go(fail(job, error, look.now))
    except ExternalServiceError as error:
        return after(bench, job, error, look)
    job = job.move(Stage.STORED, artefacts=artefacts)
    return await _complete(bench, job, look.later()) if job.is_brief else Next(job)  # one write for both


async def _complete(bench: Bench, job: Job, look: Look) -> Next:
    """Decide the ending, with the result as the caller will read it."""
    urls = {artefact.key: await bench.store.url(artefact.key, bench.url_s) for artefact in job.artefacts}
    provenance = provenance_of(model_of(bench.catalogue, job), job)
    job = replace(job, result=result_of(job, provenance, urls, look.now))
    if look.is_cancelled:
        receipt = replace(job.receipt or Receipt(look.now, told=True), in_time=False)
        return let_go(cancelled(job, receipt, look.now))
    return let_go(job.move(Stage.CLOSING, ending=Stage.COMPLETED, answer=None, closed_at=look.now, looks=0))
