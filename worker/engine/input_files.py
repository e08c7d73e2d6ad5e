"""What a call needs before it is made: memory for all of it, and its files, in hand or uploaded to its provider.

A file that the provider can fetch is not touched. Any other is uploaded, and the row keeps the provider's URL, so that
no later attempt there uploads it again, whatever happens to the rest.

A claim reserves memory before it asks a provider's health. Where half of the claims wait for memory, or enough large
files are on their way, the row is released for a moment, so that other jobs find claims. The size of a file is not
known before it comes: a usual size is assumed, and larger files are fetched again with memory for the largest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from config.mapping import arguments_for
from config.model import Model
from worker.engine.checked_files import check_files, is_checked
from worker.engine.context import NOW, CallResources, Context, StepInput, Transition
from worker.engine.endings import close, error_record, fail, final_error
from worker.engine.spending import affordable_routes
from worker.errors import ExternalServiceError, RateLimitError, RequestRefusedError, ServiceUnavailableError
from worker.files.fit import ImageLimits
from worker.files.input_refs import is_inline, row_name
from worker.files.inputs import InputFiles
from worker.files.least_size import check_size, checked_upload, least_side
from worker.files.media import Media
from worker.files.memory_budget import MB
from worker.files.slots import BUSY
from worker.files.spool import DISK
from worker.jobs.file_arguments import FileArgument
from worker.jobs.job import Attempt, FileKind, Job, Kind, Stage
from worker.routing.retry import FETCH_TRIES, FILE_TRIES, Again, Elsewhere, after_attempt, backoff_s, leads_elsewhere
from worker.routing.routes import RouteOption, name_of

FILES_MOST_BYTES = 100 * MB  # of one call together
FILE_USUAL_BYTES = 4 * MB  # a photo
RETRY_SOON_S = 2.0  # and up to as much again
_AS_PIECE: Mapping[FileKind, Kind] = {
    "image": "image", "mask": "image", "video": "video", "audio": "audio", "weights": "weights", "archive": "file",
    "file": "file",
}  # fmt: skip


async def reserve_memory(context: Context, job: Job, resources: CallResources, option: RouteOption) -> bool:
    """Whether memory for the whole call is reserved now; waits for it."""
    wanted_bytes = _call_bytes(context, job, option, _most_bytes(context, job, option, resources))
    return await resources.reserve(context.memory, wanted_bytes, job.options.tenant)


def retry_soon(context: Context, job: Job, why: str) -> Transition:
    """The row comes again in a moment."""
    pause_s = RETRY_SOON_S * (1 + context.chance())
    return Transition(job.move(Stage.ACCEPTED, held_back_at=None), pause_s, why)


def has_files(context: Context, job: Job, option: RouteOption) -> bool:
    """Whether files must be fetched for the call, or uploaded to its provider."""
    to_upload = pictures_to_upload(context, job, option) or large_to_upload(context, job, option)
    return bool(option.files.in_call or to_upload)


async def fetch_files(context: Context, job: Job, step_input: StepInput, option: RouteOption) -> Job | Transition:
    """The job with its uploads, and its other files among the resources; or what follows when they cannot come."""
    is_large = context.inputs is not None and bool(large_to_upload(context, job, option))
    tenant = job.options.tenant
    if is_large and context.inputs and not context.inputs.begin_large(tenant):
        return retry_soon(context, job, "other large files are on their way now")
    resources, urls = step_input.resources, uploaded(job, option.route.provider)
    most_bytes = _most_bytes(context, job, option, resources)
    try:
        seen: Mapping[str, Media] = {}
        if _is_check_due(context, job, option):
            job, seen = await check_files(context, job, most_bytes)
        model = step_input.served.model
        resources.files = await _files(context, model, job, option, most_bytes, seen)
        await upload(context, model, job, option, urls, most_bytes, seen)
    except ExternalServiceError as error:
        job = _with_uploads(job, option, urls)
        if error.kind == "too_large" and error.provider is None and 0 < most_bytes < FILES_MOST_BYTES:
            resources.is_large = True
            return Transition(job.move(Stage.ACCEPTED), NOW, "its files are large")
        if error.provider == option.route.provider:
            return _upload_failed(context, job, step_input, option, error)
        if error.kind == BUSY:
            return retry_soon(context, job, error.message)
        return _fetch_failed(job, step_input.later(), option, error)
    finally:
        if is_large and context.inputs:
            context.inputs.end_large(tenant)
    if resources.memory:
        file_bytes = sum(len(file.data) for file in resources.files)
        resources.memory.shrink(_call_bytes(context, job, option, file_bytes))
    return _with_uploads(job, option, urls)


def _with_uploads(job: Job, option: RouteOption, urls: dict[str, str]) -> Job:
    return replace(job, uploads={**job.uploads, option.route.provider: urls}) if urls else job


def _call_bytes(context: Context, job: Job, option: RouteOption, file_bytes: int) -> int:
    arguments = arguments_for(option.route, job.step.arguments, job.step.extra)
    return context.provider(option.route.provider).call_bytes(option.route.endpoint, arguments, file_bytes)


def _most_bytes(context: Context, job: Job, option: RouteOption, resources: CallResources) -> int:
    """The most that the files to fetch for this call may have together. A data: URI is no larger than its text."""
    files = [*option.files.in_call, *pictures_to_upload(context, job, option)]
    if files and resources.is_large:
        return FILES_MOST_BYTES
    sizes = (len(file.ref) if is_inline(file.ref) else FILE_USUAL_BYTES for file in files)
    return min(FILES_MOST_BYTES, sum(sizes))


def _is_check_due(context: Context, job: Job, option: RouteOption) -> bool:
    """Whether files that the task checks itself are about to be sent."""
    files = [*option.files.in_call, *pictures_to_upload(context, job, option)]
    return any(is_checked(context, job, file) for file in files)


async def _files(
    context: Context, model: Model, job: Job, option: RouteOption, most_bytes: int, seen: Mapping[str, Media]
) -> tuple[Media, ...]:
    files = option.files.in_call
    if not files:
        return ()
    if context.inputs is None:
        raise RequestRefusedError(f"{files[0].parameter}: files cannot be brought on this worker", kind="inputs")
    rest = [file for file in files if file.path not in seen]
    refs, labels = [file.ref for file in rest], [file.path for file in rest]
    fit = ImageLimits(content_types=option.route.pictures) if option.route.pictures else None
    kind: Kind = "file" if any(file.kind == "archive" for file in rest) else "image"  # an archive comes alone
    tenant = job.options.tenant
    found = await context.inputs.bring(refs, most_bytes=most_bytes, kind=kind, fit=fit, labels=labels, tenant=tenant)
    brought = {**seen, **{file.path: each for file, each in zip(rest, found, strict=True)}}
    for file in files:
        check_size(brought[file.path], _least_side(model, option, [file]), file.path)
    return tuple(brought[file.path] for file in files)


def _fetch_failed(job: Job, step_input: StepInput, option: RouteOption, error: ExternalServiceError) -> Transition:
    """A file of the call cannot be fetched: now, or at all. A full disk of ours is waited for longer than a server."""
    most = FETCH_TRIES if error.kind == DISK else FILE_TRIES
    if isinstance(error, ServiceUnavailableError | RateLimitError) and job.tries < most:
        pause_s = backoff_s(job.tries + 1)
        why = f"an input file could not be fetched, attempt {job.tries + 2} of {most + 1} follows: {error.message}"
        return Transition(job.move(Stage.ACCEPTED, tries=job.tries + 1), pause_s, why)
    why = f"{option.route.provider} was not asked: {error.message}"
    return close(fail(job, final_error(job, error, [why]) if job.attempts else error, step_input.now))


def _upload_failed(
    context: Context, job: Job, step_input: StepInput, option: RouteOption, error: ExternalServiceError
) -> Transition:
    """The provider did not take a file of the call: an attempt that ended before anything was submitted."""
    now, route, number = step_input.later().now, option.route, len(job.attempts) + 1
    failed = Attempt(number, route.provider, route.endpoint, step_input.now, equivalence=option.plan.equivalence)
    failed = replace(failed, ended_at=now, error=error_record(error))
    job = replace(job, attempts=(*job.attempts, failed), tries=0, held_back_at=None)
    left = replace(job, given_up=(*job.given_up, name_of(failed)))
    others = affordable_routes(context, step_input.served.model, left)
    match after_attempt(error, job, elsewhere=bool(others.open)):
        case Again(after_s):
            return Transition(job.move(Stage.ACCEPTED), after_s, error.message)
        case Elsewhere():
            return Transition(left.move(Stage.ACCEPTED), NOW, f"elsewhere: {error.message}")
        case _:
            refused = others.refused if leads_elsewhere(error, job) else ()
            return close(fail(job, final_error(job, error, refused), now))


def uploaded(job: Job, provider: str) -> dict[str, str]:
    """What the provider was given before: its URLs, by our references as a row keeps them."""
    return dict(job.uploads.get(provider, {}))


def pictures_to_upload(context: Context, job: Job, option: RouteOption) -> list[FileArgument]:
    """Pictures that the provider cannot fetch, or that the task checks first, and that it was not given before."""
    if not option.files.pictures or context.inputs is None:
        return []
    inputs, before = context.inputs, uploaded(job, option.route.provider)
    return [
        file
        for file in option.files.pictures
        if row_name(file.ref) not in before and (inputs.must_be_brought(file.ref) or is_checked(context, job, file))
    ]


def large_to_upload(context: Context, job: Job, option: RouteOption) -> list[FileArgument]:
    """Weights, archives, videos and sounds that the provider cannot fetch, and was not given before."""
    if not option.files.large or context.inputs is None:
        return []
    inputs, before = context.inputs, uploaded(job, option.route.provider)
    return [
        file
        for file in option.files.large
        if row_name(file.ref) not in before and (is_inline(file.ref) or inputs.must_be_brought(file.ref))
    ]


async def upload(
    context: Context,
    model: Model,
    job: Job,
    option: RouteOption,
    urls: dict[str, str],
    most_bytes: int,
    seen: Mapping[str, Media] | None = None,
) -> None:
    """Upload what the provider cannot fetch, and add each URL to `urls` (see `uploaded`) as soon as it is known.

    Pictures may have `most_bytes` together; other files are not in memory. What is in `urls` stays uploaded, whatever
    follows. `seen` are the files that were brought for a check. Raises what `InputFiles` and the provider's `upload`
    raise.
    """
    if context.inputs is not None:
        await _pictures(context, model, job, option, urls, most_bytes, seen or {})
        await _large(context, context.inputs, job, option, urls)


async def _pictures(
    context: Context,
    model: Model,
    job: Job,
    option: RouteOption,
    urls: dict[str, str],
    most_bytes: int,
    seen: Mapping[str, Media],
) -> None:
    provider, inputs = context.provider(option.route.provider), context.inputs
    wanted = pictures_to_upload(context, job, option)
    for file in wanted:
        if file.path in seen:
            check_size(seen[file.path], _least_side(model, option, [file]), file.path)
            urls[row_name(file.ref)] = await provider.upload(seen[file.path])
    files = [file for file in wanted if file.path not in seen]
    if files and inputs is not None:
        refs, labels = [file.ref for file in files], [_label(job, file) for file in files]
        put = checked_upload(provider.upload, _least_side(model, option, files), ", ".join(labels))
        found = await inputs.as_urls(refs, put, most_bytes=most_bytes, labels=labels, tenant=job.options.tenant)
        urls |= zip(map(row_name, refs), found, strict=True)


def _least_side(model: Model, option: RouteOption, files: Iterable[FileArgument]) -> int | None:
    """The least side in pixels that the pictures of these files need."""
    sides = (least_side(model, option.route, file.parameter) for file in files)
    return max((side for side in sides if side), default=None)


async def _large(context: Context, inputs: InputFiles, job: Job, option: RouteOption, urls: dict[str, str]) -> None:
    """One after the other."""
    for file in large_to_upload(context, job, option):
        if row_name(file.ref) not in urls:
            put = context.provider(option.route.provider).upload
            kind, name, tenant = _AS_PIECE[file.kind], _label(job, file), job.options.tenant
            is_any = file.kind == "file"
            url = await inputs.hand_over(file.ref, put, kind=kind, name=name, tenant=tenant, is_any=is_any)
            urls[row_name(file.ref)] = url


def _label(job: Job, file: FileArgument) -> str:
    """What messages call the file: the field of the request that holds it, as its caller knows it."""
    return field_of(job.request, file.ref) or file.path


def field_of(request: Any, ref: str, name: str = "") -> str:
    """The field of a request that holds the reference, as its caller knows it: `loras.0.url`."""
    if isinstance(request, Mapping):
        places = [(str(key), value) for key, value in request.items()]
    elif isinstance(request, list | tuple):
        places = [(str(n), value) for n, value in enumerate(request)]
    else:
        return name if request == ref else ""
    found = (field_of(value, ref, f"{name}.{place}" if name else place) for place, value in places)
    return next(filter(None, found), "")
