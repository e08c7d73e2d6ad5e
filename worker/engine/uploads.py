"""Files that a provider could not fetch by the names they are given, put where it can, before anything is submitted.

What a provider can fetch by itself is not touched. A row keeps the provider's URLs, so that no later attempt there
uploads again.
"""

from collections.abc import Mapping
from typing import Any, Literal

from config.mapping import large_files_for, pictures_for
from worker.engine.context import Context
from worker.files.input_refs import is_inline, row_name
from worker.files.inputs import InputFiles
from worker.jobs.job import Job
from worker.routing.routes import RouteOption


def uploaded(job: Job, provider: str) -> dict[str, str]:
    """What the provider was given before: its URLs, by our references as a row keeps them."""
    return dict(job.uploads.get(provider, {}))


def pictures_to_upload(context: Context, job: Job, option: RouteOption) -> list[str]:
    """References to pictures that the provider could not fetch, and was not given before."""
    inputs, before = context.inputs, uploaded(job, option.route.provider)
    named = pictures_for(option.route, job.step.arguments)
    return [ref for ref in named if inputs and inputs.must_be_brought(ref) and ref not in before]


def large_to_upload(context: Context, job: Job, option: RouteOption) -> list[tuple[str, Literal["weights", "file"]]]:
    """References to weights and archives that the provider could not fetch, and was not given before."""
    inputs, before = context.inputs, uploaded(job, option.route.provider)
    named = large_files_for(option.route, job.step.arguments) if inputs else ()
    return [
        (ref, kind)
        for ref, kind in named
        if inputs and row_name(ref) not in before and (is_inline(ref) or inputs.must_be_brought(ref))
    ]


async def upload(context: Context, job: Job, option: RouteOption, urls: dict[str, str], most_bytes: int) -> None:
    """Put what the provider could not fetch where it can, and add it to `urls`, which are `uploaded`, one by one.

    Pictures may have `most_bytes` together; weights and archives are not in memory. What is in `urls` stays uploaded,
    whatever follows. Raises what `InputFiles` and the provider's `upload` raise.
    """
    if context.inputs is not None:
        await _pictures(context, context.inputs, job, option, urls, most_bytes)
        await _large(context, context.inputs, job, option, urls)


async def _pictures(
    context: Context, inputs: InputFiles, job: Job, option: RouteOption, urls: dict[str, str], most_bytes: int
) -> None:
    if refs := pictures_to_upload(context, job, option):
        put = context.provider(option.route.provider).upload
        found = await inputs.as_urls(refs, put, most_bytes=most_bytes, name="image")
        urls |= zip(refs, found, strict=True)


async def _large(context: Context, inputs: InputFiles, job: Job, option: RouteOption, urls: dict[str, str]) -> None:
    """Weights and archives, one after the other."""
    for ref, kind in large_to_upload(context, job, option):
        if row_name(ref) not in urls:
            put = context.provider(option.route.provider).upload
            urls[row_name(ref)] = await inputs.hand_over(ref, put, kind=kind, name=field_of(job.request, ref) or kind)


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
