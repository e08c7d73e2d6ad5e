"""One run of a model: check the input, read what it points at, take as long as the pace says, make the output."""

import asyncio
from collections.abc import Callable

from twin.fal.errors import Refused, internal_error, refused
from twin.fal.inputs import InputReader
from twin.fal.job import Job, Outcome
from twin.fal.outputs import make_output
from twin.fal.prices import bill_for
from twin.fal.schema import Models
from twin.fal.sizes import MAX_PIXELS
from twin.fal.validate import find_problems, problem
from twin.fal.wares import Wares
from twin.files import FileStore
from twin.script import Fault, What

HALF = 0.5  # of its time, when a run draws its files: they are there when it ends, and nobody waits for them


class Firing:
    """Brings jobs from input to outcome; knows nothing of queues."""

    def __init__(self, models: Models, files: FileStore, reader: InputReader, clock: Callable[[], float]) -> None:
        self._models, self._files, self._reader, self._clock = models, files, reader, clock

    async def __call__(self, job: Job) -> Outcome:
        """Run a job to its end; only a stuck run or a cancelled task does not return."""
        try:
            return await self._run(job)
        except Refused as refusal:
            return refused(refusal.problems)
        except Exception as error:  # noqa: BLE001 - a defect of the twin must end the job, not hang its caller
            return internal_error(f"The twin failed: {error!r}")

    async def _run(self, job: Job) -> Outcome:
        submission = job.submission
        model = self._models.find(submission.endpoint)
        if model and (problems := find_problems(model, submission.input)):
            return refused(problems)
        inputs = await self._reader.read(submission.input)
        wares = Wares(self._models, model, job, inputs, self._files)
        if min(wares.size) < 1 or wares.size[0] * wares.size[1] > MAX_PIXELS:
            message = f"The twin draws pictures of 1 to {MAX_PIXELS} pixels"
            raise Refused(problem(("body", "image_size"), "value_error", message, list(wares.size)))
        if job.fault and job.fault.what is What.ERROR:
            await self._take_time(job)
            return ordered_error(job.fault)
        body = make_output(model, wares)
        try:
            await self._take_time(job, HALF)
            await wares.draw()
            await self._take_time(job)
        except BaseException:
            wares.drop()
            raise
        bill = bill_for(submission.endpoint, wares.work())
        return Outcome(200, body, bill.header, bill.units, bill.usd, tuple(wares.paths))

    async def _take_time(self, job: Job, share: float = 1.0) -> None:
        if job.is_stuck:
            await asyncio.Event().wait()
        passed = self._clock() - (job.started_at or 0)
        await asyncio.sleep(max(0.0, job.seconds * share - passed))


def ordered_error(fault: Fault) -> Outcome:
    """Return the ending that a script asked for."""
    usual = internal_error("Internal server error")
    body = usual.body if fault.body is None else fault.body
    kind = body.get("error_type") if isinstance(body, dict) else None
    headers = {"X-Fal-Error-Type": str(kind)} if kind else {}
    return Outcome(fault.usual_status, body, headers | fault.headers)
