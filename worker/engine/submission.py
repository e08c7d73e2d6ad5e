"""From accepted to the intent: which route, whether its provider may be asked now, and the files that go with the call.

`worker.routing.plan` says what becomes of the request on a route, `worker.health` how well providers are. A job that
nobody may serve just now is held back, and goes elsewhere as soon as it may.

Files are brought (`input_files`) where nothing keeps their call back, and only then may it go: no probe's lease
runs while they come. After a long wait the row's signals and its deadline are looked at anew: what is over by
then is not sent.
"""

import math
from dataclasses import replace

from worker.engine.cancellation import over
from worker.engine.context import Bench, Hand, Look, Next, fail, let_go, why_nowhere
from worker.engine.input_files import bring, has_files, put_back, take_room
from worker.errors import AuthenticationError, ExternalServiceError, KilnhandError, ServiceUnavailableError
from worker.health.base import Go, Wait
from worker.health.report import report
from worker.health.verdict import IGNORED
from worker.jobs.job import Attempt, Job, Sight, Stage
from worker.money.cost import model_of
from worker.routing.routes import (
    PAUSE_MAX_S,
    Way,
    Ways,
    is_possible_duplicate,
    name_of,
    nowhere,
    ways,
)

BRIEF_S = 2.0  # a provider that may be asked again so soon is waited for, rather than going elsewhere
HELD_MAX_S = 75.0  # a job waits so long for a circuit to close; ten refusals take as long
ASK_LEASE_S = 5.0  # on top of the call's own time
LISTEN_AFTER_S = 1.0  # a claim knows of the signals that came before it; after so long it asks again
LISTEN_S = 0.001  # a row that is over comes due at once, for a claim that knows why


async def choose(bench: Bench, job: Job, look: Look) -> Next:
    """Pick the route and write the intent."""
    model = model_of(bench.catalogue, job)
    found = ways(model, job, bench.lacks)
    if not found.open:
        error = nowhere(model, job, found)
        return let_go(fail(job, why_nowhere(job, error, found.shut) if job.attempts else error, look.now))
    waits = list[Wait]()
    for way in found.open:
        if not await take_room(bench, job, look.hand, way):
            return put_back(bench, job, "no memory for it now")
        files = has_files(bench, job, way)
        wait = await _shut(bench, way) if files else None
        if files and wait is None:
            brought = await bring(bench, job, look, way)
            if isinstance(brought, Next):
                return brought
            job = brought
        answer = wait or await _may_go(bench, way)
        now = look.later()
        if isinstance(answer, Go):
            return await _intend(bench, job, now, way, answer, waited_s=now.now - look.now)
        waits.append(answer)
        if answer.after_s <= BRIEF_S and answer.why in {"full", "paused"}:
            break
    return await _held_back(bench, job, look.later(), found, waits)


async def tell(bench: Bench, attempt: Attempt, hand: Hand) -> None:
    """What came of a call, for the health that all workers share. A row is written first: its ticket is worth money.

    So the call is over, and what it took in memory is given back.
    """
    hand.empty()
    verdict, go = hand.verdict, hand.go
    if bench.health is None or verdict is None:
        return
    hand.verdict = hand.go = None
    report(await bench.health.tell(attempt.provider, attempt.endpoint, verdict, go))


async def _may_go(bench: Bench, way: Way) -> Go | Wait:
    if bench.health is None:
        return Go()
    lease_s = bench.provider(way.route.provider).call_s + ASK_LEASE_S
    return await bench.health.ask(way.route.provider, way.route.endpoint, lease_s)


async def _shut(bench: Bench, way: Way) -> Wait | None:
    return await bench.health.shut(way.route.provider, way.route.endpoint) if bench.health else None


async def _intend(bench: Bench, job: Job, look: Look, way: Way, go: Go, waited_s: float) -> Next:
    """The intent. What the call needs and no row should hold is in hand."""
    attempt = _attempt(bench, job, look, way)
    try:
        if waited_s > LISTEN_AFTER_S and await _is_over(bench, job, look):
            await tell(bench, attempt, Hand(go, verdict=IGNORED))
            return Next(job.move(Stage.ACCEPTED), LISTEN_S, "it is over before it was sent")
    except BaseException:
        await tell(bench, attempt, Hand(go, verdict=IGNORED))  # nothing is sent: its flight is over
        raise
    look.hand.go = go
    bad = job.bad if job.attempts and name_of(job.attempts[-1]) == name_of(attempt) else None
    fresh = {"looks": 0, "sight": Sight(), "held_back_at": None, "bad": bad}
    return Next(job.move(Stage.SUBMITTING, attempts=(*job.attempts, attempt), **fresh))


async def _is_over(bench: Bench, job: Job, look: Look) -> bool:
    """Whether the job was cancelled, or its time has passed, while files came or others had the memory."""
    heard = await bench.signals(job.id) if bench.signals else {}
    return await over(bench, job, replace(look, signals={**look.signals, **heard})) is not None


def _attempt(bench: Bench, job: Job, look: Look, way: Way) -> Attempt:
    return Attempt(
        len(job.attempts) + 1,
        way.route.provider,
        way.route.endpoint,
        started_at=look.now,
        seed=_seed(bench, way, job),
        possible_duplicate=is_possible_duplicate(job),
        equivalence=way.plan.equivalence,
    )


def _seed(bench: Bench, way: Way, job: Job) -> int | None:
    """A seed where the caller left it open: by it a submission can be told from others with the same words."""
    if "seed" not in way.route.takes or "seed" in job.step.arguments or "seed" in job.step.extra:
        return None
    return int(bench.chance() * 2**31)


async def _held_back(bench: Bench, job: Job, look: Look, found: Ways, waits: list[Wait]) -> Next:
    """Nobody may be asked just now: the job waits, within bounds."""
    most_s = _patience_s(waits)
    since = None if most_s is None else _held_since(job, found.open[0], look.now)
    left_s = math.inf if most_s is None or since is None else since + most_s - look.now
    if left_s <= 0:
        return let_go(fail(job, await _held_too_long(bench, job, found, waits[0]), look.now))
    pause_s = max(0.2, min(wait.after_s for wait in waits)) * (1 + 0.5 * bench.chance())
    why = "; ".join(_why(way, wait) for way, wait in zip(found.open, waits, strict=False))
    return Next(replace(job.move(Stage.ACCEPTED), held_back_at=since), min(pause_s, left_s + 0.1), why)


def _why(way: Way, wait: Wait) -> str:
    """Why this provider may not be asked now, for the job's story."""
    match wait.why:
        case "open":
            return f"{way.route.provider}'s circuit is open"
        case "probing":
            return f"{way.route.provider}'s circuit is open, and another job tries whether it is well again"
        case _:
            return f"{way.route.provider} is {wait.why}"


def _held_since(job: Job, first: Way, now: float) -> float:
    """Since when nobody could serve it: refusals before the circuit opened count."""
    refused = [a.started_at for a in job.attempts if name_of(a) == name_of(first.route) and not a.was_taken]
    return min([job.held_back_at if job.held_back_at is not None else now, *refused[:1]])


def _patience_s(waits: list[Wait]) -> float | None:
    """How long the job is held back; None for one that only waits for its turn, which comes."""
    whys = {wait.why for wait in waits}
    if "full" in whys:
        return None
    return PAUSE_MAX_S if "paused" in whys else HELD_MAX_S


async def _held_too_long(bench: Bench, job: Job, found: Ways, first: Wait) -> KilnhandError:
    """The job's own first error, or what keeps its first provider shut: a lock that somebody has to see to, or not."""
    provider = found.open[0].route.provider
    states = await bench.health.states() if bench.health else ()
    locked = any((state.provider, state.model, state.cause) == (provider, None, "locked") for state in states)
    words = "its circuit is open" if first.why in {"open", "probing"} else f"it is {first.why}"
    cls: type[ExternalServiceError] = ServiceUnavailableError
    if locked:
        cls, words = AuthenticationError, "it refuses our key, or has locked our account"
    error = cls(f"{provider} may not be asked: {words}", provider=provider)
    return why_nowhere(job, error, [error.message, *found.shut] if job.attempts else found.shut)
