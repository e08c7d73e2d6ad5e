"""One row, one step further: a `match` over stages, a short coroutine each. It returns the next row and when it is due.

Writing, claiming and telling the outside is the dispatcher's. Anything here may run twice: before a call that may cost
money the intent is on the row, after it the ticket; files go under names that do not change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from config.catalogue import Catalogue, Model
from config.mapping import arguments_for
from worker.artefacts.base import Store
from worker.artefacts.fetch import Fetcher
from worker.errors import (
    BrokenPieceError,
    DeadlineExceededError,
    ExternalServiceError,
    InternalError,
    KilnhandError,
    ProviderDisabledError,
    RateLimitError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.job import Attempt, Job, Sight, Stage, Trouble, load_ticket
from worker.looking import estimated_progress, first_look_s, next_look_s
from worker.providers.base import Call, Ended, Fault, Provider, Running
from worker.routing import PAUSE_MAX_S, Again, Failed, Unknown, after_attempt, backoff_s, route_for, says_nothing
from worker.served import cost_of, deadline_s, model_of, promised, route_of
from worker.sight import sight_of
from worker.status import result_of

NOW = 0.0  # go on in the same claim
RESEND_S = 10.0  # a closing message that nobody confirmed is sent again after this, then in doubling steps
FETCH_TRIES, BROKEN_TRIES = 30, 2  # a CDN may answer once with a page in the piece's place
TICKET = "ticket"  # the signal that carries a ticket to a row whose writer came too late
RECONCILE_S = 10.0  # how long an unknown submission is waited for: longer than a lease
FORGOTTEN_LOOKS = 3  # times that a provider must deny a request before it is believed
STRIKES = 8  # claims in a row that ended without a write: the row itself kills workers


@dataclass(frozen=True)
class Look:
    """What one step sees beside the row: the ledger's time, signals, and whether this claim wrote the intent."""

    now: float
    signals: Mapping[str, str]
    strikes: int = 1
    intent_is_ours: bool = False


@dataclass(frozen=True)
class Next:
    """The row as it is to be written, and when it is due again."""

    job: Job
    due_in_s: float = NOW


@dataclass(frozen=True)
class Bench:
    """What the steps work with."""

    catalogue: Catalogue
    providers: Mapping[str, Provider]
    disabled_why: str  # what to set, when a provider is missing
    fetcher: Fetcher
    store: Store
    url_s: float
    chance: Callable[[], float]


async def advance(bench: Bench, job: Job, look: Look) -> Next:
    """The next row. Raises only what nobody foresaw."""
    if job.ending is not None:  # CLOSING, and nobody confirmed: the dispatcher sends the message again
        return Next(job.move(Stage.CLOSING, looks=job.looks + 1), RESEND_S * 2.0 ** min(job.looks + 1, 6))
    following = await _over(bench, job, look) or await _step(bench, job, look)
    left_s = job.created_at + deadline_s(bench.catalogue, job) - look.now
    if following.job.ending is None and following.due_in_s > left_s > 0:
        return replace(following, due_in_s=left_s + 0.1)  # a pause does not outlast the deadline
    return following


async def _step(bench: Bench, job: Job, look: Look) -> Next:
    match job.stage:
        case Stage.ACCEPTED:
            return _choose(bench, job, look)
        case Stage.SUBMITTING if look.intent_is_ours:
            return await _submit(bench, job, look)
        case Stage.SUBMITTING:
            return Next(job.move(Stage.UNKNOWN, looks=0))
        case Stage.UNKNOWN:
            return _reconcile(bench, job, look)
        case Stage.WAITING:
            return await _look(bench, job, look)
        case Stage.FETCHED:
            return await _store(bench, job, look)
        case _:  # STORED
            return await _complete(bench, job, look)


def fail(job: Job, error: KilnhandError, now: float) -> Job:
    """The job on its way to its end as a failure."""
    trouble = _trouble(error)
    if job.attempts and job.attempts[-1].ended_at is None:
        job = job.with_attempt(ended_at=now, trouble=trouble)
    return job.move(Stage.CLOSING, ending=Stage.FAILED, trouble=trouble, answer=None, closed_at=now, looks=0)


def _end(job: Job) -> Next:
    """Let a closing job go: it is looked at again only if its closing message was lost."""
    return Next(job, RESEND_S)


async def _over(bench: Bench, job: Job, look: Look) -> Next | None:
    """A job that is cancelled, past its deadline, or deadly to workers ends here."""
    if look.strikes > STRIKES:
        return _end(fail(job, InternalError("the job ended workers again and again; given up"), look.now))
    allowed_s = deadline_s(bench.catalogue, job)
    late = look.now > job.created_at + allowed_s
    if not (late or "cancel" in look.signals) or job.stage not in {Stage.ACCEPTED, Stage.WAITING}:
        return None
    if job.stage == Stage.WAITING and not await _cancelled_there(bench, job):
        return None  # it had ended before: its piece is kept
    if late:
        error = DeadlineExceededError(f"the job did not end within its deadline of {allowed_s:g} s")
        return _end(fail(job, error, look.now))
    return _end(job.move(Stage.CLOSING, ending=Stage.CANCELLED, closed_at=look.now, looks=0))


async def _cancelled_there(bench: Bench, job: Job) -> bool:
    attempt = job.attempts[-1]
    assert attempt.ticket is not None  # noqa: S101  # WAITING has one
    try:
        return await bench.providers[attempt.provider].cancel(attempt.endpoint, attempt.ticket)
    except (ExternalServiceError, KeyError):
        return True  # it could not be told; nobody waits for it any more


def _choose(bench: Bench, job: Job, look: Look) -> Next:
    """Pick the route and write the intent."""
    try:
        route = route_for(model_of(bench.catalogue, job), bench.providers.keys(), bench.disabled_why)
    except ProviderDisabledError as error:
        return _end(fail(job, error, look.now))
    arguments_for(route, job.step.arguments, job.step.extra)  # what cannot be written is found before the intent is
    attempt = Attempt(len(job.attempts) + 1, route.provider, route.endpoint, started_at=look.now)
    return Next(job.move(Stage.SUBMITTING, attempts=(*job.attempts, attempt), looks=0, sight=Sight()))


async def _submit(bench: Bench, job: Job, look: Look) -> Next:
    """The one POST, with the ticket saved right after."""
    attempt, model = job.attempts[-1], model_of(bench.catalogue, job)
    arguments = arguments_for(route_of(model, attempt), job.step.arguments, job.step.extra)
    call = Call(job.id, attempt.endpoint, arguments, job.options.priority)
    try:
        ticket = await bench.providers[attempt.provider].submit(call)
    except ExternalServiceError as error:
        return _after(job, error, look)
    job = job.with_attempt(ticket=ticket, submitted_at=look.now)
    return _wait(bench, job, model)


def _wait(bench: Bench, job: Job, model: Model) -> Next:
    return Next(job.move(Stage.WAITING, looks=0), first_look_s(model.usual_s) * (1 + 0.2 * bench.chance()))


def _after(job: Job, error: ExternalServiceError, look: Look) -> Next:
    """Carry out what an attempt's error leads to."""
    match after_attempt(error, job):
        case Again(after_s):
            job = job.with_attempt(ended_at=look.now, trouble=_trouble(error))
            return Next(job.move(Stage.ACCEPTED, answer=None, sight=Sight()), after_s)
        case Unknown(unknown):
            return Next(job.with_attempt(trouble=_trouble(unknown)).move(Stage.UNKNOWN, looks=0))
        case Failed(final):
            return _end(fail(job, final, look.now))


def _reconcile(bench: Bench, job: Job, look: Look) -> Next:
    """Never submitted again blindly: the provider may be working on it, and may bill it.

    A worker that lost its claim in the middle of the POST leaves the ticket as a signal, so a little is waited for it.
    """
    if raw := look.signals.get(TICKET):
        job = job.with_attempt(ticket=load_ticket(raw), submitted_at=job.attempts[-1].started_at, trouble=None)
        return _wait(bench, job, model_of(bench.catalogue, job))
    if job.looks == 0:
        return Next(job.move(Stage.UNKNOWN, looks=1), RECONCILE_S)
    said = f" ({job.attempts[-1].trouble.message})" if job.attempts[-1].trouble else ""
    error = SubmitUnknownError(
        f"the answer to the submit was lost{said}; the job is not sent again, so that it is not paid twice",
        provider=job.attempts[-1].provider,
    )
    return _end(fail(job, error, look.now))


async def _look(bench: Bench, job: Job, look: Look) -> Next:
    """Ask how far it is; when it is over, fetch and save the answer."""
    attempt, model = job.attempts[-1], model_of(bench.catalogue, job)
    elapsed = look.now - (attempt.submitted_at or attempt.started_at)
    try:
        provider = _provider(bench, attempt.provider)
        assert attempt.ticket is not None  # noqa: S101  # WAITING has one
        sighting = await provider.look(attempt.endpoint, attempt.ticket)
        if isinstance(sighting, Ended):
            return await _fetch(provider, job, sighting, look, model)
    except ExternalServiceError as error:
        if says_nothing(error) or (error.kind == "not_found" and job.looks < FORGOTTEN_LOOKS):
            asked_s = min(error.retry_after_s or 0.0, PAUSE_MAX_S)
            pause = max(asked_s, next_look_s(model.usual_s, elapsed, False, bench.chance()))
            return Next(job.move(Stage.WAITING, looks=job.looks + 1), pause)
        return _after(job, error, look)
    running = isinstance(sighting, Running)
    working_s = look.now - job.sight.queued_at if job.sight.queued_at else elapsed
    sight = sight_of(sighting, job.sight, estimated_progress(model.usual_s, working_s), look.now)
    pause = next_look_s(model.usual_s, elapsed, running, bench.chance())
    return Next(job.move(Stage.WAITING, sight=sight, looks=job.looks + 1), pause)


async def _fetch(provider: Provider, job: Job, ended: Ended, look: Look, model: Model) -> Next:
    """Save the provider's answer on the row: it forgets it within the hour, or in minutes."""
    attempt = job.attempts[-1]
    assert attempt.ticket is not None  # noqa: S101  # WAITING has one
    outcome = await provider.result(attempt.endpoint, attempt.ticket)
    job = job.with_attempt(
        ended_at=look.now, inference_s=ended.inference_s, cost=cost_of(model, job, outcome.billed_units)
    )
    if isinstance(outcome, Fault):
        return _after(job, outcome.error, look)
    sight = Sight(True, progress=1.0, progress_estimated=False, logs=ended.logs or job.sight.logs)
    return Next(job.move(Stage.FETCHED, answer=outcome.output, sight=sight, looks=0))


async def _store(bench: Bench, job: Job, look: Look) -> Next:
    """Bring every piece into our store, whole. A paid piece is worth many tries."""
    try:
        artefacts = await bench.fetcher.fetch_all(job.id, job.answer or {}, promised(bench.catalogue, job))
    except (ServiceUnavailableError, RateLimitError, BrokenPieceError) as error:
        if job.looks < (BROKEN_TRIES if isinstance(error, BrokenPieceError) else FETCH_TRIES):
            pause = max(min(error.retry_after_s or 0.0, PAUSE_MAX_S), backoff_s(job.looks + 1))
            return Next(job.move(Stage.FETCHED, looks=job.looks + 1), pause)
        return _end(fail(job, error, look.now))
    except ExternalServiceError as error:
        return _after(job, error, look)
    return Next(job.move(Stage.STORED, artefacts=artefacts))


async def _complete(bench: Bench, job: Job, look: Look) -> Next:
    """Decide the ending, with the result as the caller will read it."""
    urls = {artefact.key: await bench.store.url(artefact.key, bench.url_s) for artefact in job.artefacts}
    result = result_of(job, urls, look.now)
    return _end(
        job.move(Stage.CLOSING, ending=Stage.COMPLETED, result=result, answer=None, closed_at=look.now, looks=0)
    )


def _provider(bench: Bench, name: str) -> Provider:
    if name not in bench.providers:
        raise ServiceUnavailableError(f"{name} is disabled on this worker: {bench.disabled_why}", provider=name)
    return bench.providers[name]


def _trouble(error: KilnhandError) -> Trouble:
    if isinstance(error, ExternalServiceError):
        return Trouble(error.code, error.message, error.provider, error.status, error.kind)
    return Trouble(error.code, error.message)
