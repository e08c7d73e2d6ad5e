"""Before a call: room in memory for all of it, and its files, in hand or put where its provider can fetch them.

A claim takes room before it asks a provider's health. Where half of the claims wait for it already the row is put back
for a moment, so that those whose calls need none find claims; the same where enough large files are on their way. How
large files are is not known before they come: a usual size is taken to be theirs, and those that turn out larger are
brought anew with room for the largest. What was uploaded stays on the row, whatever becomes of the rest.
"""

from dataclasses import replace

from config.mapping import arguments_for, files_for
from worker.engine.context import NOW, Bench, Hand, Look, Next, fail, let_go, trouble_of, why_nowhere
from worker.engine.uploads import large_to_upload, pictures_to_upload, upload, uploaded
from worker.errors import ExternalServiceError, RateLimitError, RequestRefusedError, ServiceUnavailableError
from worker.files.input_refs import is_inline
from worker.files.memory import MB
from worker.jobs.job import Attempt, Job, Stage
from worker.money.cost import model_of
from worker.providers.base import Media
from worker.routing.routes import (
    Again,
    Elsewhere,
    Way,
    after_attempt,
    backoff_s,
    leads_elsewhere,
    name_of,
    ways,
)

FILE_TRIES = 5  # of bringing the files of a call, before anything is sent
FILES_MOST_BYTES = 100 * MB  # of one call together
FILE_USUAL_BYTES = 4 * MB  # a photo
PUT_BACK_S = 2.0  # and up to as much again


async def take_room(bench: Bench, job: Job, hand: Hand, way: Way) -> bool:
    """Whether room for the whole call is in hand now; waits for it."""
    return await hand.take_room(bench.memory, _call_bytes(bench, job, way, _most_bytes(bench, job, way, hand)))


def put_back(bench: Bench, job: Job, why: str) -> Next:
    """The row comes again in a moment."""
    return Next(job.move(Stage.ACCEPTED, held_back_at=None), PUT_BACK_S * (1 + bench.chance()), why)


def has_files(bench: Bench, job: Job, way: Way) -> bool:
    """Whether files must be brought for the call, or put where the provider can fetch them."""
    pictures, large = pictures_to_upload(bench, job, way), large_to_upload(bench, job, way)
    return bool(files_for(way.route, job.step.arguments) or pictures or large)


async def bring(bench: Bench, job: Job, look: Look, way: Way) -> Job | Next:
    """The job with what was uploaded for it, its other files in hand; or what follows when they cannot be had."""
    is_large = bench.inputs is not None and bool(large_to_upload(bench, job, way))
    if is_large and bench.inputs and not bench.inputs.begin_large():
        return put_back(bench, job, "other large files are on their way now")
    urls = uploaded(job, way.route.provider)
    most_bytes = _most_bytes(bench, job, way, look.hand)
    try:
        look.hand.files = await _files(bench, job, way, most_bytes)
        await upload(bench, job, way, urls, most_bytes)
    except ExternalServiceError as error:
        job = _with(job, way, urls)
        if error.kind == "too_large" and error.provider is None and 0 < most_bytes < FILES_MOST_BYTES:
            look.hand.is_large = True
            return Next(job.move(Stage.ACCEPTED), NOW, "its files are large")
        if error.provider == way.route.provider:
            return _not_uploaded(bench, job, look, way, error)
        return _without_files(job, look.later(), way, error)
    finally:
        if is_large and bench.inputs:
            bench.inputs.end_large()
    if look.hand.room:
        look.hand.room.shrink(_call_bytes(bench, job, way, sum(len(file.data) for file in look.hand.files)))
    return _with(job, way, urls)


def _with(job: Job, way: Way, urls: dict[str, str]) -> Job:
    return replace(job, uploads={**job.uploads, way.route.provider: urls}) if urls else job


def _call_bytes(bench: Bench, job: Job, way: Way, file_bytes: int) -> int:
    arguments = arguments_for(way.route, job.step.arguments, job.step.extra)
    return bench.provider(way.route.provider).call_bytes(way.route.endpoint, arguments, file_bytes)


def _most_bytes(bench: Bench, job: Job, way: Way, hand: Hand) -> int:
    """What the files that must be brought for this call may have together. A data: URI is no larger than its text."""
    refs = [*files_for(way.route, job.step.arguments), *pictures_to_upload(bench, job, way)]
    if refs and hand.is_large:
        return FILES_MOST_BYTES
    return min(FILES_MOST_BYTES, sum(len(ref) if is_inline(ref) else FILE_USUAL_BYTES for ref in refs))


async def _files(bench: Bench, job: Job, way: Way, most_bytes: int) -> tuple[Media, ...]:
    refs = files_for(way.route, job.step.arguments)
    if not refs:
        return ()
    name = next(name for name in way.route.files if name in job.step.arguments)
    if bench.inputs is None:
        raise RequestRefusedError(f"{name}: files cannot be brought on this worker", kind="inputs")
    return await bench.inputs.bring(refs, most_bytes=most_bytes, name=name)


def _without_files(job: Job, look: Look, way: Way, error: ExternalServiceError) -> Next:
    """A file of the call cannot be had: now, or at all."""
    if isinstance(error, ServiceUnavailableError | RateLimitError) and job.looks < FILE_TRIES:
        pause_s = backoff_s(job.looks + 1)
        return Next(job.move(Stage.ACCEPTED, looks=job.looks + 1), pause_s, f"a file of it: {error.message}")
    why = f"{way.route.provider} was not asked: {error.message}"
    return let_go(fail(job, why_nowhere(job, error, [why]) if job.attempts else error, look.now))


def _not_uploaded(bench: Bench, job: Job, look: Look, way: Way, error: ExternalServiceError) -> Next:
    """The provider did not take a file of the call: an attempt that ended before anything was submitted."""
    now = look.later().now
    route, number, nearness = way.route, len(job.attempts) + 1, way.plan.equivalence
    failed = Attempt(number, route.provider, route.endpoint, look.now, equivalence=nearness)
    failed = replace(failed, ended_at=now, trouble=trouble_of(error))
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
            return let_go(fail(job, why_nowhere(job, error, shut), now))
