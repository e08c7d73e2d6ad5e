"""The result that all editing tasks have, so that each can follow each in a chain."""

from worker.jobs.status import FileOut, JobResult


class Edited(JobResult):
    """The result of an edit: `images`, one or more."""

    images: list[FileOut]
