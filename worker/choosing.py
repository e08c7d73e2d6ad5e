"""From accepted to the intent: which route, whether its provider may be asked now, and the files that go with the call.

What becomes of the request on a route is `config.plan`; how well providers are, `worker.health`. A job that nobody may
serve just now is held back, and goes elsewhere as soon as it may.

Before a provider is asked the claim takes room in memory for the whole call (`worker.memory`), so that no probe's lease
runs while it waits. Where half of the claims wait already the row is put back for a moment instead, so that those whose
calls need no room find claims. How large files are is not known before they come: a usual size is taken to be theirs,
and those that turn out larger are brought anew with room for the largest.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import replace

from config.mapping import arguments_for, files_for
from worker.errors import (
    ExternalServiceError,
    KilnhandError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    error_class,
)
from worker.health.base import Go, Wait
from worker.health.report import report
from worker.health.verdict import IGNORED
from worker.job import Attempt, Job, Sight, Stage
from worker.memory import MB
from worker.providers.base import Media
from worker.routing import (
    PAUSE_MAX_S,
    Again,
    Elsewhere,
    Way,
    Ways,
    after_attempt,
    backoff_s,
    is_possible_duplicate,
    leads_elsewhere,
    name_of,
    nowhere,
    ways,
)
from worker.served import model_of
from worker.turn import NOW, Bench, Hand, Look, Next, fail, let_go, trouble_of
from worker.uploading import pictures_to_upload, upload, uploaded

BRIEF_S = 2.0  # a provider that may be asked again so soon is waited for, rather than going elsewhere
HELD_MAX_S = 75.0  # a job waits so long for a circuit to close; ten refusals take as long
FILE_TRIES = 5  # of bringing the files of a call, before anything is sent
FILES_MOST_BYTES = 100 * MB  # of one call together
FILE_USUAL_BYTES = 4 * MB  # a photo
NO_ROOM_S = 2.0  # and up to as much again, before a row asks for room anew
ASK_LEASE_S = 5.0  # on top of the call's own time


async def choose(bench: Bench, job: Job, look: Look) -> Next:
    """Pick the route and write the intent."""
    began = time.monotonic()
    model = model_of(bench.catalogue, job)
    found = ways(model, job, bench.lacks)
    if not found.open:
        error = nowhere(model, job, found)
        return let_go(fail(job, why_nowhere(job, error, found.shut) if job.attempts else error, look.now))
    waits = list[Wait]()
    for way in found.open:
        most_bytes = _call_bytes(bench, job, way, _most_bytes(bench, job, way, look.hand))
        if not await look.hand.take_room(bench.memory, most_bytes):
            pause_s = NO_ROOM_S * (1 + bench.chance())
            return Next(job.move(Stage.ACCEPTED, held_back_at=None), pause_s, "no memory for it now")
        answer = await _may_go(bench, way)
        if isinstance(answer, Go):
            return await _intend(bench, job, look.later(began), way, answer)
        waits.append(answer)
        if answer.after_s <= BRIEF_S and answer.why in {"full", "paused"}:
            break
    return _held_back(bench, job, look, found, waits)


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


def why_nowhere(job: Job, error: KilnhandError, shut: Sequence[str] = ()) -> KilnhandError:
    """The error that a job ends with: the first route's last one, or `error` before any; and why no other served it."""
    last = {name_of(attempt): attempt for attempt in job.attempts if attempt.trouble}
    first, *others = [attempt.trouble for attempt in last.values() if attempt.trouble] or [trouble_of(error)]
    notes = [f"{name.split()[0]} failed too: {each.message}" for name, each in zip([*last][1:], others, strict=True)]
    message, cls = "; ".join([first.message, *notes, *shut]), error_class(first.code)
    if issubclass(cls, ExternalServiceError):
        return cls(message, provider=first.provider, status=first.status, kind=first.kind)
    return cls(message)


def _call_bytes(bench: Bench, job: Job, way: Way, file_bytes: int) -> int:
    arguments = arguments_for(way.route, job.step.arguments, job.step.extra)
    return bench.provider(way.route.provider).call_bytes(way.route.endpoint, arguments, file_bytes)


def _most_bytes(bench: Bench, job: Job, way: Way, hand: Hand) -> int:
    """What the files that must be brought for this call may have together."""
    refs = [*files_for(way.route, job.step.arguments), *pictures_to_upload(bench, job, way)]
    if refs and hand.is_large:
        return FILES_MOST_BYTES
    return min(FILES_MOST_BYTES, sum(len(ref) if _is_data(ref) else FILE_USUAL_BYTES for ref in refs))


def _is_data(ref: str) -> bool:
    """Whether it is the file itself, which is never larger than its text."""
    return ref[:5].lower() == "data:"


async def _may_go(bench: Bench, way: Way) -> Go | Wait:
    if bench.health is None:
        return Go()
    lease_s = bench.provider(way.route.provider).call_s + ASK_LEASE_S
    return await bench.health.ask(way.route.provider, way.route.endpoint, lease_s)


async def _intend(bench: Bench, job: Job, look: Look, way: Way, go: Go) -> Next:
    """The intent, with what the call needs and no row should hold kept in hand."""
    began = time.monotonic()
    attempt = Attempt(
        len(job.attempts) + 1,
        way.route.provider,
        way.route.endpoint,
        started_at=look.now,
        seed=_seed(bench, way, job),
        possible_duplicate=is_possible_duplicate(job),
        equivalence=way.plan.equivalence,
    )
    urls = uploaded(job, way.route.provider)
    try:
        arguments_for(way.route, job.step.arguments, job.step.extra)  # found before the intent
        most_bytes = _most_bytes(bench, job, way, look.hand)
        look.hand.files = await _files(bench, job, way, most_bytes)
        await upload(bench, job, way, urls, most_bytes)
    except ExternalServiceError as error:
        await tell(bench, attempt, Hand(go, verdict=IGNORED))
        if error.kind == "too_large" and error.provider is None and 0 < most_bytes < FILES_MOST_BYTES:
            look.hand.is_large = True
            return Next(job.move(Stage.ACCEPTED), NOW, "its files are large")
        if error.provider == attempt.provider:
            return _not_uploaded(bench, job, look, replace(attempt, urls=urls), error)
        return _without_files(job, look, way, error)
    except BaseException:
        await tell(bench, attempt, Hand(go, verdict=IGNORED))  # nothing is sent: its flight is over
        raise
    if look.hand.room:
        look.hand.room.shrink(_call_bytes(bench, job, way, sum(len(file.data) for file in look.hand.files)))
    look.hand.go = go
    bad = job.bad if job.attempts and name_of(job.attempts[-1]) == name_of(attempt) else None
    fresh = {"looks": 0, "sight": Sight(), "held_back_at": None, "bad": bad}
    attempt = replace(attempt, started_at=look.later(began).now, urls=urls)
    return Next(job.move(Stage.SUBMITTING, attempts=(*job.attempts, attempt), **fresh))


def _without_files(job: Job, look: Look, way: Way, error: ExternalServiceError) -> Next:
    """A file of the call cannot be had: now, or at all."""
    if isinstance(error, ServiceUnavailableError | RateLimitError) and job.looks < FILE_TRIES:
        pause_s = backoff_s(job.looks + 1)
        return Next(job.move(Stage.ACCEPTED, looks=job.looks + 1), pause_s, f"a file of it: {error.message}")
    why = f"{way.route.provider} was not asked: {error.message}"
    return let_go(fail(job, why_nowhere(job, error, [why]) if job.attempts else error, look.now))


def _not_uploaded(bench: Bench, job: Job, look: Look, attempt: Attempt, error: ExternalServiceError) -> Next:
    """The provider did not take a file of the call: an attempt that ended before anything was submitted."""
    failed = replace(attempt, ended_at=look.now, trouble=trouble_of(error))
    job = replace(job, attempts=(*job.attempts, failed), looks=0, held_back_at=None)
    left = replace(job, given_up=(*job.given_up, name_of(failed)))
    others = ways(model_of(bench.catalogue, job), left, bench.lacks)
    match after_attempt(error, job, elsewhere=bool(others.open)):
        case Again(after_s):
            return Next(job.move(Stage.ACCEPTED), after_s, error.message)
        case Elsewhere():
            return Next(left.move(Stage.ACCEPTED), NOW, f"elsewhere: {error.message}")
        case _:
            shut = others.shut if leads_elsewhere(error, job) else ()
            return let_go(fail(job, why_nowhere(job, error, shut), look.now))


async def _files(bench: Bench, job: Job, way: Way, most_bytes: int) -> tuple[Media, ...]:
    refs = files_for(way.route, job.step.arguments)
    if not refs:
        return ()
    name = next(name for name in way.route.files if name in job.step.arguments)
    if bench.inputs is None:
        raise RequestRefusedError(f"{name}: files cannot be brought on this worker", kind="inputs")
    return await bench.inputs.bring(refs, most_bytes=most_bytes, name=name)


def _seed(bench: Bench, way: Way, job: Job) -> int | None:
    """A seed where the caller left it open: by it a submission can be told from others with the same words."""
    if "seed" not in way.route.takes or "seed" in job.step.arguments or "seed" in job.step.extra:
        return None
    return int(bench.chance() * 2**31)


def _held_back(bench: Bench, job: Job, look: Look, found: Ways, waits: list[Wait]) -> Next:
    """Nobody may be asked just now: the job waits, within bounds."""
    most_s = _patience_s(waits)
    since = None if most_s is None else _held_since(job, found.open[0], look.now)
    left_s = math.inf if most_s is None or since is None else since + most_s - look.now
    if left_s <= 0:
        return let_go(fail(job, _held_too_long(job, found, waits[0]), look.now))
    pause_s = max(0.2, min(wait.after_s for wait in waits)) * (1 + 0.5 * bench.chance())
    why = "; ".join(f"{way.route.provider} is {wait.why}" for way, wait in zip(found.open, waits, strict=False))
    return Next(replace(job.move(Stage.ACCEPTED), held_back_at=since), min(pause_s, left_s + 0.1), why)


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


def _held_too_long(job: Job, found: Ways, first: Wait) -> KilnhandError:
    provider = found.open[0].route.provider
    words = "its circuit is open" if first.why in {"open", "probing"} else f"it is {first.why}"
    error = ServiceUnavailableError(f"{provider} may not be asked: {words}", provider=provider)
    return why_nowhere(job, error, [error.message, *found.shut] if job.attempts else found.shut)
