"""One row, one step further: a `match` over stages, a short coroutine each. It returns the next row and when it is due.

Writing, claiming and telling the outside is the dispatcher's. Anything here may run twice: before a call that may cost
money the intent is on the row, after it the ticket; files go under names that do not change. What a lost answer leads
to is `worker.reconcile`, cancels and deadlines are `worker.stopping`.
"""

from dataclasses import replace
from typing import Any

from config.catalogue import Route
from config.mapping import arguments_for
from worker import crash
from worker.errors import (
    BrokenPieceError,
    ExternalServiceError,
    InternalError,
    ProviderDisabledError,
    RateLimitError,
    ServiceUnavailableError,
)
from worker.job import Attempt, Job, Receipt, Sight, Stage, Ticket
from worker.looking import estimated_progress, first_look_s, next_look_s
from worker.providers.base import Call, Ended, Fault, Provider, Reply, Running
from worker.reconcile import marked, reconcile
from worker.routing import (
    PAUSE_MAX_S,
    Again,
    Failed,
    Unknown,
    after_attempt,
    backoff_s,
    is_possible_duplicate,
    route_for,
    says_nothing,
)
from worker.served import cost_of, deadline_s, estimated_cost, model_of, promised, route_of
from worker.sight import sight_of
from worker.status import result_of
from worker.stopping import cancelled_instead, is_stopping, over, stopped
from worker.turn import NOW, RESEND_S, Bench, Look, Next, cancelled, fail, let_go, trouble_of

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
            return _choose(bench, job, look)
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


def _choose(bench: Bench, job: Job, look: Look) -> Next:
    """Pick the route and write the intent."""
    try:
        route = route_for(model_of(bench.catalogue, job), bench.providers.keys(), bench.disabled_why)
    except ProviderDisabledError as error:
        return let_go(fail(job, error, look.now))
    arguments_for(route, job.step.arguments, job.step.extra)  # what cannot be written is found before the intent is
    attempt = Attempt(
        len(job.attempts) + 1,
        route.provider,
        route.endpoint,
        started_at=look.now,
        seed=_seed(bench, route, job),
        possible_duplicate=is_possible_duplicate(job),
    )
    return Next(job.move(Stage.SUBMITTING, attempts=(*job.attempts, attempt), looks=0, sight=Sight()))


def _seed(bench: Bench, route: Route, job: Job) -> int | None:
    """A seed where the caller left it open: by it a submission can be told from others with the same words."""
    if "seed" not in route.takes or "seed" in job.step.arguments or "seed" in job.step.extra:
        return None
    return int(bench.chance() * 2**31)


async def _submit(bench: Bench, job: Job, look: Look) -> Next:
    """The one POST, with the ticket saved right after."""
    attempt, model = job.attempts[-1], model_of(bench.catalogue, job)
    given: dict[str, Any] = marked(attempt, dict(job.step.arguments))
    call = Call(
        job.id,
        attempt.endpoint,
        arguments_for(route_of(model, attempt), given, job.step.extra),
        job.options.priority,
        attempt.number,
        bench.webhook(attempt.provider, job.id, attempt.number) if bench.webhook else None,
    )
    crash.point("before_post")
    try:
        taken = await bench.provider(attempt.provider).submit(call)
    except ExternalServiceError as error:
        return _after(bench, job, error, look)
    crash.point("after_post")
    if not isinstance(taken, Ticket):
        return _answered(bench, job.with_attempt(submitted_at=look.now), taken, look)
    job = job.with_attempt(ticket=taken, submitted_at=look.now)
    pause_s = first_look_s(model.usual_s, webhooks=bench.webhook is not None)
    return Next(job.move(Stage.WAITING, looks=0), pause_s * (1 + 0.2 * bench.chance()))


def _after(bench: Bench, job: Job, error: ExternalServiceError, look: Look) -> Next:
    """Carry out what an attempt's error leads to."""
    if job.stage == Stage.WAITING and (end := stopped(bench, job, error, look)):
        return end
    match after_attempt(error, job):
        case Again(after_s):
            job = job.with_attempt(ended_at=look.now, trouble=trouble_of(error))
            return Next(job.move(Stage.ACCEPTED, answer=None, sight=Sight()), after_s)
        case Unknown(unknown):
            return Next(job.with_attempt(trouble=trouble_of(unknown)).move(Stage.UNKNOWN, looks=0))
        case Failed(final):
            return let_go(fail(job, final, look.now))


async def _look(bench: Bench, job: Job, look: Look) -> Next:
    """Ask how far it is; when it is over, fetch and save the answer."""
    attempt, model = job.attempts[-1], model_of(bench.catalogue, job)
    elapsed = look.now - (attempt.submitted_at or attempt.started_at)
    try:
        provider = bench.provider(attempt.provider)
        assert attempt.ticket is not None  # noqa: S101  # WAITING has one
        sighting = await provider.look(attempt.endpoint, attempt.ticket)
        if isinstance(sighting, Ended):
            return await _fetch(bench, provider, job, sighting, look)
        if look.heard(attempt.number):  # the status lags behind the webhook
            return await _fetch(bench, provider, job, Ended(), look)
    except ExternalServiceError as error:
        return _not_seen(bench, job, error, look)
    running = isinstance(sighting, Running)
    working_s = look.now - job.sight.queued_at if job.sight.queued_at else elapsed
    sight = sight_of(sighting, job.sight, estimated_progress(model.usual_s, working_s), look.now)
    webhooks = bench.webhook is not None
    pause = next_look_s(model.usual_s, elapsed, running, bench.chance(), webhooks, look.late_s)
    pause = min(pause, STOPPING_LOOK_S) if is_stopping(job) else pause
    return Next(job.move(Stage.WAITING, sight=sight, looks=job.looks + 1), pause)


def _not_seen(bench: Bench, job: Job, error: ExternalServiceError, look: Look) -> Next:
    """A look that failed: what the webhook has brought counts instead, or it is looked again, or the run is lost."""
    attempt, model = job.attempts[-1], model_of(bench.catalogue, job)
    is_forgotten = error.kind == "not_found"
    heard = look.heard(attempt.number)
    may_be_taken = is_forgotten or (says_nothing(error) and job.looks >= HEARD_LOOKS)
    if may_be_taken and heard and heard.status == "OK" and heard.payload is not None:
        job = job.with_attempt(cost=estimated_cost(model, job))
        return _answered(bench, job, Reply(heard.payload), look, why="by its webhook; the answer cannot be asked for")
    if says_nothing(error) or (is_forgotten and job.looks < FORGOTTEN_LOOKS):
        asked_s = min(error.retry_after_s or 0.0, PAUSE_MAX_S)
        elapsed = look.now - (attempt.submitted_at or attempt.started_at)
        pause = max(asked_s, next_look_s(model.usual_s, elapsed, bool(heard), bench.chance()))
        return Next(job.move(Stage.WAITING, looks=job.looks + 1), pause, f"the look failed: {error.message}")
    return _after(bench, job, error, look)


async def _fetch(bench: Bench, provider: Provider, job: Job, ended: Ended, look: Look) -> Next:
    """Save the provider's answer on the row: it forgets it within the hour, or in minutes."""
    attempt = job.attempts[-1]
    assert attempt.ticket is not None  # noqa: S101  # WAITING has one
    outcome = await provider.result(attempt.endpoint, attempt.ticket)
    job = job.with_attempt(inference_s=ended.inference_s)
    job = replace(job, sight=replace(job.sight, logs=ended.logs or job.sight.logs))
    return _answered(bench, job, outcome, look)


def _answered(bench: Bench, job: Job, outcome: Reply | Fault, look: Look, why: str = "") -> Next:
    """The run is over: its cost is booked, and what it brought is saved."""
    cost = cost_of(model_of(bench.catalogue, job), job, outcome.billed_units)
    job = job.with_attempt(ended_at=look.now, cost=cost or job.attempts[-1].cost)
    if isinstance(outcome, Fault):
        return _after(bench, job, outcome.error, look)
    receipt = replace(job.receipt, in_time=False) if job.receipt else None
    sight = Sight(True, progress=1.0, progress_estimated=False, logs=job.sight.logs)
    return Next(job.move(Stage.FETCHED, answer=outcome.output, sight=sight, looks=0, receipt=receipt), NOW, why)


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
        return _after(bench, job, error, look)
    return Next(job.move(Stage.STORED, artefacts=artefacts))


async def _complete(bench: Bench, job: Job, look: Look) -> Next:
    """Decide the ending, with the result as the caller will read it."""
    urls = {artefact.key: await bench.store.url(artefact.key, bench.url_s) for artefact in job.artefacts}
    job = replace(job, result=result_of(job, urls, look.now))
    if look.is_cancelled:
        receipt = replace(job.receipt or Receipt(look.now, told=True), in_time=False)
        return let_go(cancelled(job, receipt, look.now))
    return let_go(job.move(Stage.CLOSING, ending=Stage.COMPLETED, answer=None, closed_at=look.now, looks=0))
