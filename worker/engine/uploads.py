"""Files that a provider cannot fetch by their references are uploaded to it before anything is submitted.

A file that the provider can fetch is not touched. A row keeps the provider's URLs, so that no later attempt there
uploads again.
"""

from collections.abc import Mapping
from typing import Any

from worker.engine.context import Context
from worker.files.input_refs import is_inline, row_name
from worker.files.inputs import InputFiles
from worker.jobs.file_arguments import FileArgument
from worker.jobs.job import FileKind, Job, Kind
from worker.routing.files import large_files_to_fetch, pictures_to_fetch
from worker.routing.routes import RouteOption

_AS_PIECE: Mapping[FileKind, Kind] = {
    "image": "image", "mask": "image", "video": "video", "audio": "audio", "weights": "weights", "archive": "file",
}  # fmt: skip


def uploaded(job: Job, provider: str) -> dict[str, str]:
    """What the provider was given before: its URLs, by our references as a row keeps them."""
    return dict(job.uploads.get(provider, {}))


def pictures_to_upload(context: Context, job: Job, option: RouteOption) -> list[FileArgument]:
    """Pictures that the provider cannot fetch, and was not given before."""
    inputs, before = context.inputs, uploaded(job, option.route.provider)
    files = pictures_to_fetch(option.route, job.step)
    return [file for file in files if inputs and inputs.must_be_brought(file.ref) and file.ref not in before]


def large_to_upload(context: Context, job: Job, option: RouteOption) -> list[FileArgument]:
    """Weights, archives, videos and sounds that the provider cannot fetch, and was not given before."""
    inputs, before = context.inputs, uploaded(job, option.route.provider)
    files = large_files_to_fetch(option.route, job.step) if inputs else ()
    return [
        file
        for file in files
        if inputs and row_name(file.ref) not in before and (is_inline(file.ref) or inputs.must_be_brought(file.ref))
    ]


async def upload(context: Context, job: Job, option: RouteOption, urls: dict[str, str], most_bytes: int) -> None:
    """Upload what the provider cannot fetch, and add each URL to `urls` (see `uploaded`) as soon as it is known.

    Pictures may have `most_bytes` together; other files are not in memory. What is in `urls` stays uploaded, whatever
    follows. Raises what `InputFiles` and the provider's `upload` raise.
    """
    if context.inputs is not None:
        await _pictures(context, context.inputs, job, option, urls, most_bytes)
        await _large(context, context.inputs, job, option, urls)


async def _pictures(
    context: Context, inputs: InputFiles, job: Job, option: RouteOption, urls: dict[str, str], most_bytes: int
) -> None:
    if files := pictures_to_upload(context, job, option):
        put = context.provider(option.route.provider).upload
        refs, labels = [file.ref for file in files], [_label(job, file) for file in files]
        found = await inputs.as_urls(refs, put, most_bytes=most_bytes, labels=labels)
        urls |= zip(refs, found, strict=True)


async def _large(context: Context, inputs: InputFiles, job: Job, option: RouteOption, urls: dict[str, str]) -> None:
    """One after the other."""
    for file in large_to_upload(context, job, option):
        if row_name(file.ref) not in urls:
            put = context.provider(option.route.provider).upload
            url = await inputs.hand_over(file.ref, put, kind=_AS_PIECE[file.kind], name=_label(job, file))
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
