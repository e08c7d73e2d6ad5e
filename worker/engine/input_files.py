"""Before a call: room in memory for all of it, and its files, in hand or put where its provider can fetch them.

A claim takes room before it asks a provider's health. Where half of the claims wait for it already the row is put back
for a moment, so that those whose calls need none find claims; the same where enough large files are on their way. How
large files are is not known before they come: a usual size is taken to be theirs, and those that turn out larger are
brought anew with room for the largest. What was uploaded stays on the row, whatever becomes of the rest.
"""

from dataclasses import replace

from config.mapping import arguments_for, files_for
from worker.engine.context import (
    NOW,
    CallResources,
    Context,
    StepInput,
    Transition,
    close,
    error_record,
    fail,
    final_error,
)
from worker.engine.uploads import large_to_upload, pictures_to_upload, upload, uploaded
from worker.errors import ExternalServiceError, RateLimitError, RequestRefusedError, ServiceUnavailableError
from worker.files.input_refs import is_inline
from worker.files.memory_budget import MB
from worker.jobs.job import Attempt, Job, Stage
from worker.money.cost import model_of
from worker.providers.base import Media
from worker.routing.routes import (
    Again,
    Elsewhere,
    RouteOption,
    after_attempt,
    backoff_s,
    leads_elsewhere,
    name_of,
    route_options,
)

FILE_TRIES = 5  # of bringing the files of a call, before anything is sent
FILES_MOST_BYTES = 100 * MB  # of one call together
FILE_USUAL_BYTES = 4 * MB  # a photo
PUT_BACK_S = 2.0  # and up to as much again


async def reserve_memory(context: Context, job: Job, resources: CallResources, option: RouteOption) -> bool:
    """Whether room for the whole call is in hand now; waits for it."""
    return await resources.take_room(
        context.memory, _call_bytes(context, job, option, _most_bytes(context, job, option, resources))
    )


def retry_soon(context: Context, job: Job, why: str) -> Transition:
    """The row comes again in a moment."""
    return Transition(job.move(Stage.ACCEPTED, held_back_at=None), PUT_BACK_S * (1 + context.chance()), why)


def has_files(context: Context, job: Job, option: RouteOption) -> bool:
    """Whether files must be brought for the call, or put where the provider can fetch them."""
    pictures, large = pictures_to_upload(context, job, option), large_to_upload(context, job, option)
    return bool(files_for(option.route, job.step.arguments) or pictures or large)


async def fetch_files(context: Context, job: Job, step_input: StepInput, option: RouteOption) -> Job | Transition:
    """The job with what was uploaded for it, its other files in hand; or what follows when they cannot be had."""
    is_large = context.inputs is not None and bool(large_to_upload(context, job, option))
    if is_large and context.inputs and not context.inputs.begin_large():
        return retry_soon(context, job, "other large files are on their way now")
    urls = uploaded(job, option.route.provider)
    most_bytes = _most_bytes(context, job, option, step_input.resources)
    try:
        step_input.resources.files = await _files(context, job, option, most_bytes)
        await upload(context, job, option, urls, most_bytes)
    except ExternalServiceError as error:
        job = _with(job, option, urls)
        if error.kind == "too_large" and error.provider is None and 0 < most_bytes < FILES_MOST_BYTES:
            step_input.resources.is_large = True
            return Transition(job.move(Stage.ACCEPTED), NOW, "its files are large")
        if error.provider == option.route.provider:
            return _not_uploaded(context, job, step_input, option, error)
        return _without_files(job, step_input.later(), option, error)
    finally:
        if is_large and context.inputs:
            context.inputs.end_large()
    if step_input.resources.room:
        step_input.resources.room.shrink(
            _call_bytes(context, job, option, sum(len(file.data) for file in step_input.resources.files))
        )
    return _with(job, option, urls)


def _with(job: Job, option: RouteOption, urls: dict[str, str]) -> Job:
    return replace(job, uploads={**job.uploads, option.route.provider: urls}) if urls else job


def _call_bytes(context: Context, job: Job, option: RouteOption, file_bytes: int) -> int:
    arguments = arguments_for(option.route, job.step.arguments, job.step.extra)
    return context.provider(option.route.provider).call_bytes(option.route.endpoint, arguments, file_bytes)


def _most_bytes(context: Context, job: Job, option: RouteOption, resources: CallResources) -> int:
    """What the files that must be brought for this call may have together. A data: URI is no larger than its text."""
    refs = [*files_for(option.route, job.step.arguments), *pictures_to_upload(context, job, option)]
    if refs and resources.is_large:
        return FILES_MOST_BYTES
    return min(FILES_MOST_BYTES, sum(len(ref) if is_inline(ref) else FILE_USUAL_BYTES for ref in refs))


async def _files(context: Context, job: Job, option: RouteOption, most_bytes: int) -> tuple[Media, ...]:
    refs = files_for(option.route, job.step.arguments)
    if not refs:
        return ()
    name = next(name for name in option.route.files if name in job.step.arguments)
    if context.inputs is None:
        raise RequestRefusedError(f"{name}: files cannot be brought on this worker", kind="inputs")
    return await context.inputs.bring(refs, most_bytes=most_bytes, name=name)


def _without_files(job: Job, step_input: StepInput, option: RouteOption, error: ExternalServiceError) -> Transition:
    """A file of the call cannot be had: now, or at all."""
    if isinstance(error, ServiceUnavailableError | RateLimitError) and job.tries < FILE_TRIES:
        pause_s = backoff_s(job.tries + 1)
        return Transition(job.move(Stage.ACCEPTED, tries=job.tries + 1), pause_s, f"a file of it: {error.message}")
    why = f"{option.route.provider} was not asked: {error.message}"
    return close(fail(job, final_error(job, error, [why]) if job.attempts else error, step_input.now))


def _not_uploaded(
    context: Context, job: Job, step_input: StepInput, option: RouteOption, error: ExternalServiceError
) -> Transition:
    """The provider did not take a file of the call: an attempt that ended before anything was submitted."""
    now = step_input.later().now
    route, number, nearness = option.route, len(job.attempts) + 1, option.plan.equivalence
    failed = Attempt(number, route.provider, route.endpoint, step_input.now, equivalence=nearness)
    failed = replace(failed, ended_at=now, error=error_record(error))
    job = replace(job, attempts=(*job.attempts, failed), tries=0, held_back_at=None)
    left = replace(job, given_up=(*job.given_up, name_of(failed)))
    others = route_options(model_of(context.catalogue, job), left, context.lacks)
    match after_attempt(error, job, elsewhere=bool(others.open)):
        case Again(after_s):
            return Transition(job.move(Stage.ACCEPTED), after_s, error.message)
        case Elsewhere():
            return Transition(left.move(Stage.ACCEPTED), NOW, f"elsewhere: {error.message}")
        case _:
            shut = others.shut if leads_elsewhere(error, job) else ()
            return close(fail(job, final_error(job, error, shut), now))
