"""From accepted to the intent: which route, whether its provider may be asked now, and the files that go with the call.

`worker.routing.plan` says what becomes of the request on a route, `worker.health` how well providers are. A job that
nobody may serve just now is held back, and goes elsewhere as soon as it may.

Files are brought (`input_files`) where nothing keeps their call back, and only then may it go: no probe's lease
runs while they come. After a long wait the row's signals and its deadline are looked at anew: what is over by
then is not sent.
"""

import math
from dataclasses import replace

from worker.engine.cancellation import end_if_due
from worker.engine.context import CallResources, Context, StepInput, Transition, close, fail, final_error
from worker.engine.input_files import fetch_files, has_files, reserve_memory, retry_soon
from worker.errors import AuthenticationError, ExternalServiceError, KilnhandError, ServiceUnavailableError
from worker.health.base import Permit, Wait
from worker.health.report import report
from worker.health.verdict import IGNORED
from worker.jobs.job import Attempt, Job, Observation, Stage
from worker.money.cost import model_of
from worker.routing.routes import (
    PAUSE_MAX_S,
    RouteOption,
    RouteOptions,
    is_possible_duplicate,
    name_of,
    no_route_error,
    route_options,
)

BRIEF_S = 2.0  # a provider that may be asked again so soon is waited for, rather than going elsewhere
HELD_MAX_S = 75.0  # a job waits so long for a circuit to close; ten refusals take as long
ASK_LEASE_S = 5.0  # on top of the call's own time
LISTEN_AFTER_S = 1.0  # a claim knows of the signals that came before it; after so long it asks again
LISTEN_S = 0.001  # a row that is over comes due at once, for a claim that knows why


async def prepare_submission(context: Context, job: Job, step_input: StepInput) -> Transition:
    """Pick the route and write the intent."""
    model = model_of(context.catalogue, job)
    found = route_options(model, job, context.lacks)
    if not found.open:
        error = no_route_error(model, job, found)
        return close(fail(job, final_error(job, error, found.shut) if job.attempts else error, step_input.now))
    waits = list[Wait]()
    for option in found.open:
        if not await reserve_memory(context, job, step_input.resources, option):
            return retry_soon(context, job, "no memory for it now")
        files = has_files(context, job, option)
        wait = await _shut(context, option) if files else None
        if files and wait is None:
            brought = await fetch_files(context, job, step_input, option)
            if isinstance(brought, Transition):
                return brought
            job = brought
        answer = wait or await _may_go(context, option)
        now = step_input.later()
        if isinstance(answer, Permit):
            return await _intend(context, job, now, option, answer, waited_s=now.now - step_input.now)
        waits.append(answer)
        if answer.after_s <= BRIEF_S and answer.why in {"full", "paused"}:
            break
    return await _held_back(context, job, step_input.later(), found, waits)


async def report_health(context: Context, attempt: Attempt, resources: CallResources) -> None:
    """What came of a call, for the health that all workers share. A row is written first: its ticket is worth money.

    So the call is over, and what it took in memory is given back.
    """
    resources.empty()
    verdict, permit = resources.verdict, resources.permit
    if context.health is None or verdict is None:
        return
    resources.verdict = resources.permit = None
    report(await context.health.record(attempt.provider, attempt.endpoint, verdict, permit))


async def _may_go(context: Context, option: RouteOption) -> Permit | Wait:
    if context.health is None:
        return Permit()
    lease_s = context.provider(option.route.provider).call_s + ASK_LEASE_S
    return await context.health.ask(option.route.provider, option.route.endpoint, lease_s)


async def _shut(context: Context, option: RouteOption) -> Wait | None:
    return await context.health.shut(option.route.provider, option.route.endpoint) if context.health else None


async def _intend(
    context: Context, job: Job, step_input: StepInput, option: RouteOption, permit: Permit, waited_s: float
) -> Transition:
    """The intent. What the call needs and no row should hold is in hand."""
    attempt = _attempt(context, job, step_input, option)
    try:
        if waited_s > LISTEN_AFTER_S and await _is_over(context, job, step_input):
            await report_health(context, attempt, CallResources(permit, verdict=IGNORED))
            return Transition(job.move(Stage.ACCEPTED), LISTEN_S, "it is over before it was sent")
    except BaseException:
        await report_health(
            context, attempt, CallResources(permit, verdict=IGNORED)
        )  # nothing is sent: its flight is over
        raise
    step_input.resources.permit = permit
    bad_answer = job.bad_answer if job.attempts and name_of(job.attempts[-1]) == name_of(attempt) else None
    fresh = {"tries": 0, "observed": Observation(), "held_back_at": None, "bad_answer": bad_answer}
    return Transition(job.move(Stage.SUBMITTING, attempts=(*job.attempts, attempt), **fresh))


async def _is_over(context: Context, job: Job, step_input: StepInput) -> bool:
    """Whether the job was cancelled, or its time has passed, while files came or others had the memory."""
    heard = await context.signals(job.id) if context.signals else {}
    return await end_if_due(context, job, replace(step_input, signals={**step_input.signals, **heard})) is not None


def _attempt(context: Context, job: Job, step_input: StepInput, option: RouteOption) -> Attempt:
    return Attempt(
        len(job.attempts) + 1,
        option.route.provider,
        option.route.endpoint,
        started_at=step_input.now,
        seed=_seed(context, option, job),
        possible_duplicate=is_possible_duplicate(job),
        equivalence=option.plan.equivalence,
    )


def _seed(context: Context, option: RouteOption, job: Job) -> int | None:
    """A seed where the caller left it open: by it a submission can be told from others with the same words."""
    if "seed" not in option.route.takes or "seed" in job.step.arguments or "seed" in job.step.extra:
        return None
    return int(context.chance() * 2**31)


async def _held_back(
    context: Context, job: Job, step_input: StepInput, found: RouteOptions, waits: list[Wait]
) -> Transition:
    """Nobody may be asked just now: the job waits, within bounds."""
    most_s = _patience_s(waits)
    since = None if most_s is None else _held_since(job, found.open[0], step_input.now)
    left_s = math.inf if most_s is None or since is None else since + most_s - step_input.now
    if left_s <= 0:
        return close(fail(job, await _held_too_long(context, job, found, waits[0]), step_input.now))
    pause_s = max(0.2, min(wait.after_s for wait in waits)) * (1 + 0.5 * context.chance())
    why = "; ".join(_why(option, wait) for option, wait in zip(found.open, waits, strict=False))
    return Transition(replace(job.move(Stage.ACCEPTED), held_back_at=since), min(pause_s, left_s + 0.1), why)


def _why(option: RouteOption, wait: Wait) -> str:
    """Why this provider may not be asked now, for the job's story."""
    match wait.why:
        case "open":
            return f"{option.route.provider}'s circuit is open"
        case "probing":
            return f"{option.route.provider}'s circuit is open, and another job tries whether it is well again"
        case _:
            return f"{option.route.provider} is {wait.why}"


def _held_since(job: Job, first: RouteOption, now: float) -> float:
    """Since when nobody could serve it: refusals before the circuit opened count."""
    refused = [a.started_at for a in job.attempts if name_of(a) == name_of(first.route) and not a.was_taken]
    return min([job.held_back_at if job.held_back_at is not None else now, *refused[:1]])


def _patience_s(waits: list[Wait]) -> float | None:
    """How long the job is held back; None for one that only waits for its turn, which comes."""
    whys = {wait.why for wait in waits}
    if "full" in whys:
        return None
    return PAUSE_MAX_S if "paused" in whys else HELD_MAX_S


async def _held_too_long(context: Context, job: Job, found: RouteOptions, first: Wait) -> KilnhandError:
    """The job's own first error, or what keeps its first provider shut: a lock that somebody has to see to, or not."""
    provider = found.open[0].route.provider
    states = await context.health.states() if context.health else ()
    locked = any((state.provider, state.model, state.cause) == (provider, None, "locked") for state in states)
    words = "its circuit is open" if first.why in {"open", "probing"} else f"it is {first.why}"
    cls: type[ExternalServiceError] = ServiceUnavailableError
    if locked:
        cls, words = AuthenticationError, "it refuses our key, or has locked our account"
    error = cls(f"{provider} may not be asked: {words}", provider=provider)
    return final_error(job, error, [error.message, *found.shut] if job.attempts else found.shut)
