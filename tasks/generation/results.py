"""The result of all generations."""

from worker.jobs.status import FileOut, JobResult


class Pictures(JobResult):
    """The result of a generation: `images`, as many as were asked for."""

    images: list[FileOut]
