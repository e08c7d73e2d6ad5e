"""Files that a task checks itself before anything is sent: brought whole, and sent as the check leaves them."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from worker.engine.context import Context
from worker.errors import RequestRefusedError
from worker.files.media import Media
from worker.jobs.file_arguments import FileArgument, file_arguments
from worker.jobs.job import Job


def is_checked(context: Context, job: Job, file: FileArgument) -> bool:
    """Whether the job's task wants to see this file before it is sent."""
    check = context.file_checks.get(job.task)
    return check is not None and context.inputs is not None and file.parameter in check.looks_at(job.request)


async def check_files(context: Context, job: Job, most_bytes: int) -> tuple[Job, Mapping[str, Media]]:
    """The job with the step that its files allow, and the files to send, by the paths of their arguments.

    Raises `RequestRefusedError` for what the task or the catalogue refuses, and what `InputFiles.bring` raises.
    """
    check, inputs = context.file_checks[job.task], context.inputs
    files = [file for file in file_arguments(job.step) if is_checked(context, job, file)]
    if inputs is None or not files:
        return job, {}
    refs, labels = [file.ref for file in files], [file.path for file in files]
    brought = await inputs.bring(refs, most_bytes=most_bytes, labels=labels, tenant=job.options.tenant)
    media = {file.path: each for file, each in zip(files, brought, strict=True)}
    prepared = await inputs.in_turn(partial(check.prepare, job.request, job.step, media))
    model = context.catalogue.find_for(job.task, job.step.model)
    if problems := context.catalogue.problems(model, prepared.step.arguments):
        raise RequestRefusedError("; ".join(f"{field}: {problem}" for field, problem in problems), kind="arguments")
    return replace(job, step=prepared.step), {**media, **prepared.changed}
