"""From accepted to the intent: which route, whether its provider may be asked now, and the files that go with the call.

`worker.routing` says which routes are open, `worker.health` whether a provider may be asked. A job that no provider may
serve now waits, and goes elsewhere as soon as it may.

Files are fetched before the health permit is taken, so that no probe's lease runs while they come. After a long wait
the row's signals and its deadline are read again: a job that is cancelled or late by then is not sent.
"""

import math
from dataclasses import replace

from worker.engine.cancellation import end_if_due
from worker.engine.context import NOW, RECLAIM_S, CallResources, Context, StepInput, Transition
from worker.engine.endings import close, fail, final_error
from worker.engine.held_back import clock, why_held_back
from worker.engine.input_files import fetch_files, has_files, reserve_memory, retry_soon
from worker.engine.late_news import find_refused, go_on_with, has_late_news, taken_before
from worker.engine.spending import affordable_routes, next_cost
from worker.errors import AuthenticationError, ExternalServiceError, KilnhandError, ServiceUnavailableError
from worker.health.base import Permit, Wait
from worker.health.report import log_changes
from worker.health.verdict import IGNORED
from worker.jobs.job import Attempt, Job, Observation, Stage
from worker.providers.base import Provider
from worker.routing.retry import BRIEF_S, HELD_MAX_S, PAUSE_MAX_S, is_possible_duplicate
from worker.routing.routes import RouteOption, RouteOptions, name_of, no_route_error

PERMIT_LEASE_S = 5.0  # on top of the call's own time
CALL_LEASE_MARGIN_S = 30.0  # on top of the call's own time: to store its files, and for a process that was frozen
KEY_PAUSE_S = 15.0  # longest pause while a key is refused: a worker with a corrected key may start at any moment
READ_AGAIN_AFTER_S = 1.0  # a claim knows of the signals that came before it; after so long they are read again


async def prepare_submission(context: Context, job: Job, step_input: StepInput) -> Transition:
    """Pick the route and write the intent. An attempt that turns out to be taken goes first."""
    if has_late_news(job, step_input):
        return Transition(job.move(Stage.UNKNOWN, tries=0), NOW, "the attempt before was taken after all")
    if taken := taken_before(job):
        return go_on_with(context, job, taken, step_input, f"attempt {taken.number} was taken after all")
    model = step_input.served.model
    options = affordable_routes(context, model, job)
    if not options.open:
        error = no_route_error(model, job, options)
        is_last = options.too_dear or not job.attempts  # its message has the errors of the attempts
        return close(fail(job, error if is_last else final_error(job, error, options.refused), step_input.now))
    waits = list[Wait]()
    for option in options.open:
        if not await reserve_memory(context, job, step_input.resources, option):
            return retry_soon(context, job, "no memory for it now")
        needs_files = has_files(context, job, option)
        wait = await _shut(context, option) if needs_files else None
        if needs_files and wait is None:
            fetched = await fetch_files(context, job, step_input, option)
            if isinstance(fetched, Transition):
                return fetched
            job = fetched
        answer = wait or await _ask_permit(context, option)
        later = step_input.later()
        if isinstance(answer, Permit):
            return await _write_intent(context, job, later, option, answer, waited_s=later.now - step_input.now)
        waits.append(answer)
        if answer.after_s <= BRIEF_S and answer.why in {"full", "paused"}:
            break
    return await _hold_back(context, job, step_input.later(), options, waits)


async def report_health(context: Context, attempt: Attempt, resources: CallResources) -> None:
    """Report what came of a call to the health that all workers share. The row is written first: it has the ticket.

    The call is over, so its memory is given back.
    """
    resources.release()
    verdict, permit = resources.verdict, resources.permit
    if context.health is None or verdict is None:
        return
    resources.verdict = resources.permit = None
    log_changes(await context.health.record(attempt.provider, attempt.endpoint, verdict, permit))


async def _ask_permit(context: Context, option: RouteOption) -> Permit | Wait:
    if context.health is None:
        return Permit()
    lease_s = context.provider(option.route.provider).call_s + PERMIT_LEASE_S
    return await context.health.acquire(option.route.provider, option.route.endpoint, lease_s)


async def _shut(context: Context, option: RouteOption) -> Wait | None:
    """Why nobody may ask the provider now. Looking takes nothing of its rate or its probe."""
    return await context.health.peek(option.route.provider, option.route.endpoint) if context.health else None


async def _write_intent(
    context: Context, job: Job, step_input: StepInput, option: RouteOption, permit: Permit, waited_s: float
) -> Transition:
    """The row with the attempt to come, and the permit among the claim's resources."""
    cost = next_cost(context, step_input.served.model, job, option.route)
    attempt = replace(_attempt(context, job, step_input, option), cost=cost)
    try:
        if instead := await _instead(context, job, step_input, waited_s):
            await report_health(context, attempt, CallResources(permit, verdict=IGNORED))
            return instead
    except BaseException:  # nothing is sent, so the permit is returned
        await report_health(context, attempt, CallResources(permit, verdict=IGNORED))
        raise
    step_input.resources.permit = permit
    is_same_route = bool(job.attempts) and name_of(job.attempts[-1]) == name_of(attempt)
    fresh = {"tries": 0, "observed": Observation(), "held_back_at": None}
    bad_answer = job.bad_answer if is_same_route else None
    submitting = job.move(Stage.SUBMITTING, attempts=(*job.attempts, attempt), bad_answer=bad_answer, **fresh)
    is_free = cost.upper_usd == 0
    return Transition(submitting, lease_s=None if is_free else _call_lease_s(context.provider(attempt.provider)))


async def _instead(context: Context, job: Job, step_input: StepInput, waited_s: float) -> Transition | None:
    """What happens instead of an attempt: the job is over, or the attempt before it was taken after all."""
    if waited_s > READ_AGAIN_AFTER_S and await _is_over(context, job, step_input):
        return Transition(job.move(Stage.ACCEPTED), RECLAIM_S, "it is over before it was sent")
    if found := await find_refused(context, job, step_input):
        return go_on_with(context, job, found, step_input, "its provider refused it, and lists it all the same")
    return None


def _call_lease_s(provider: Provider) -> float | None:
    """The lease of a call whose answer nobody else can find: as long as the call may take.

    So no other worker takes the row while this process lives, however long it or Redis is frozen in the meantime.
    A provider that lists its requests has the usual lease: a lost submission is searched for at once. So has a call
    that costs nothing, such as work of the worker itself: it is made again.
    """
    return None if provider.lists_requests else provider.call_s + CALL_LEASE_MARGIN_S


async def _is_over(context: Context, job: Job, step_input: StepInput) -> bool:
    """Whether the job was cancelled, or is late, since this claim began."""
    new = await context.signals(job.id) if context.signals else {}
    read_again = replace(step_input, signals={**step_input.signals, **new})
    return await end_if_due(context, job, read_again) is not None


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
    """A seed where the caller left it open: it tells a submission from others with the same words."""
    if "seed" not in option.route.takes or "seed" in job.step.arguments or "seed" in job.step.extra:
        return None
    return int(context.chance() * 2**31)


async def _hold_back(
    context: Context, job: Job, step_input: StepInput, options: RouteOptions, waits: list[Wait]
) -> Transition:
    """No provider may be asked now: the job waits, within bounds."""
    most_s = _patience_s(waits)
    since = None if most_s is None else _held_since(job, options.open[0], step_input.now)
    left_s = math.inf if most_s is None or since is None else since + most_s - step_input.now
    if left_s <= 0:
        return close(fail(job, await _held_too_long(context, job, options, waits[0]), step_input.now))
    pause_s = max(0.2, min(wait.after_s for wait in waits)) * (1 + 0.5 * context.chance())
    if any(wait.cause in {"locked", "forbidden"} for wait in waits):
        pause_s = min(pause_s, KEY_PAUSE_S)
    pairs = zip(options.open, waits, strict=False)
    why = "; ".join(why_held_back(option.route, wait, step_input.now) for option, wait in pairs)
    if min(wait.after_s for wait in waits) > left_s:
        why += f"; without a change the job fails at {clock(step_input.now + left_s)}"
    return Transition(replace(job.move(Stage.ACCEPTED), held_back_at=since), min(pause_s, left_s + 0.1), why)


def _held_since(job: Job, first: RouteOption, now: float) -> float:
    """Since when no provider could serve it. Refusals before the circuit opened count."""
    refused = [a.started_at for a in job.attempts if name_of(a) == name_of(first.route) and not a.was_taken]
    return min([job.held_back_at if job.held_back_at is not None else now, *refused[:1]])


def _patience_s(waits: list[Wait]) -> float | None:
    """How long the job is held back; None for one that only waits for its turn, which comes."""
    whys = {wait.why for wait in waits}
    if "full" in whys:
        return None
    return PAUSE_MAX_S if "paused" in whys else HELD_MAX_S


async def _held_too_long(context: Context, job: Job, options: RouteOptions, first: Wait) -> KilnhandError:
    """The job's own first error, or why its first provider may not be asked: `AuthenticationError` for a lock."""
    provider = options.open[0].route.provider
    states = await context.health.states() if context.health else ()
    is_locked = any((state.provider, state.model, state.cause) == (provider, None, "locked") for state in states)
    words = "its circuit is open" if first.why in {"open", "probing"} else f"it is {first.why}"
    cls: type[ExternalServiceError] = ServiceUnavailableError
    if is_locked:
        cls, words = AuthenticationError, "it refuses our key, or has locked our account"
    error = cls(f"{provider} may not be asked: {words}", provider=provider)
    return final_error(job, error, [error.message, *options.refused] if job.attempts else options.refused)
