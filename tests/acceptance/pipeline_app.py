"""Our worker with a pipeline of its user: two pictures at the same time, then a third one of both."""

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from tasks.generation import TextToImage
from worker.app import app
from worker.edge.pipeline import Pipeline
from worker.edge.task import pipeline_task
from worker.jobs.job import Piece
from worker.jobs.request import TaskRequest
from worker.jobs.status import FileOut, JobResult

__all__ = ["app"]


class Triptych(TaskRequest):
    prompt: str = Field(min_length=1)
    model: str = "flux-schnell"


class Panels(JobResult):
    middle: FileOut
    sides: list[FileOut]
    seeds: list[int]


@pipeline_task(
    "own.triptych",
    queue="own",
    asks=Triptych,
    gives=Panels,
    promises=(Piece("middle", "image", "middle"), Piece("sides", "image", "sides.*", count=2)),
)
async def triptych(request: Triptych, job: Pipeline) -> Mapping[str, Any]:
    """Three pictures."""
    left, right = await asyncio.gather(
        job.step("left", TextToImage(prompt=f"{request.prompt}, left", model=request.model, seed=1)),
        job.step("right", TextToImage(prompt=f"{request.prompt}, right", model=request.model, seed=2)),
    )
    middle = await job.step("middle", TextToImage(prompt=f"{request.prompt} of {left.seed} and {right.seed}"))
    sides = [left.images[0], right.images[0]]
    return {"middle": middle.images[0], "sides": sides, "seeds": [left.seed, right.seed]}
