"""Runs a model: checks the input, reads its files, waits as long as the pace says, makes the output."""

import asyncio
import contextlib
from collections.abc import Callable

from twin.fal import comfy, llm
from twin.fal.errors import Refused, internal_error, refused
from twin.fal.input_files import InputReader
from twin.fal.job import Job, Outcome
from twin.fal.models import Models
from twin.fal.output_files import OutputFiles
from twin.fal.outputs import make_output
from twin.fal.prices import bill_for
from twin.fal.size_rules import size_problem
from twin.fal.sizes import MAX_PIXELS, most_of_endpoint
from twin.fal.validate import find_problems, problem
from twin.file_store import FileStore
from twin.script import Fault, FaultKind

DRAW_AT_SHARE = 0.5  # files are drawn after this share of a run's time, so that its end does not wait for them


class ModelRunner:
    """Returns the outcome of a job; the scheduler decides when to call it."""

    def __init__(self, models: Models, files: FileStore, reader: InputReader, clock: Callable[[], float]) -> None:
        self._models, self._files, self._reader, self._clock = models, files, reader, clock

    async def __call__(self, job: Job) -> Outcome:
        """Return the outcome of a job; a stuck run does not return until its task is cancelled."""
        try:
            return await self._run(job)
        except Refused as refusal:
            return refused(refusal.problems)
        except Exception as error:  # noqa: BLE001 - an error in the twin must end the job; else its caller waits for it
            return internal_error(f"The twin failed: {error!r}")

    async def _run(self, job: Job) -> Outcome:
        submission = job.submission
        model = self._models.find(submission.endpoint)
        if model and (problems := find_problems(model, submission.input)):
            return refused(problems)
        is_llm = submission.endpoint in llm.ENDPOINTS
        if is_llm:
            llm.check_llm(submission.input)
        is_comfy = submission.endpoint == comfy.ENDPOINT
        inputs = await self._reader.read(comfy.input_files(submission.input) if is_comfy else submission.input)
        output_files = OutputFiles(self._models, model, job, inputs, self._files)
        if min(output_files.size) < 1 or output_files.size[0] * output_files.size[1] > MAX_PIXELS:
            message = f"The twin draws pictures of 1 to {MAX_PIXELS} pixels"
            raise Refused(problem(("body", "image_size"), "value_error", message, list(output_files.size)))
        if refusal := size_problem(submission.endpoint, output_files.values):
            raise Refused(problem(("body", "image_size"), "value_error", refusal, output_files.values["image_size"]))
        if too_large := most_of_endpoint(submission.endpoint, output_files.size):
            raise Refused(problem(("body", "image_url"), "value_error", too_large, list(output_files.size)))
        if job.fault and job.fault.what is FaultKind.ERROR:
            await self._take_time(job)
            return scripted_error(job.fault)
        body = await llm.llm_output(job, inputs.pictures) if is_llm else make_output(model, output_files)
        try:
            await self._take_time(job, DRAW_AT_SHARE)
            await output_files.draw()
            await self._take_time(job)
        except BaseException:
            output_files.drop()
            raise
        bill = bill_for(submission.endpoint, output_files.billable_work())
        return Outcome(200, body, bill.header, bill.units, bill.usd, tuple(output_files.paths))

    async def _take_time(self, job: Job, share: float = 1.0) -> None:
        if job.is_stuck:
            await asyncio.Event().wait()
        passed = self._clock() - (job.started_at or 0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, job.seconds * share - passed)):
                await job.hurried.wait()


def scripted_error(fault: Fault) -> Outcome:
    """Return the outcome that the fault describes."""
    default = internal_error("Internal server error")
    body = default.body if fault.body is None else fault.body
    kind = body.get("error_type") if isinstance(body, dict) else None
    headers = {"X-Fal-Error-Type": str(kind)} if kind else {}
    return Outcome(fault.response_status, body, headers | fault.headers)
