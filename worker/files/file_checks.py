"""A task's own check of its input files, for tasks whose request can only be judged, or completed, with the files.

The engine brings the files and calls it before anything is sent; it needs to know nothing about the task. The files
that were checked are the files that the provider gets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from worker.files.media import Media
from worker.jobs.job import Step


@dataclass(frozen=True)
class Prepared:
    """What follows from the files: the step with what they say about arguments and pieces, and files that changed."""

    step: Step
    changed: Mapping[str, Media] = field(default_factory=dict)  # path of the argument -> the file to send


class FileCheck(Protocol):
    """Given to `job_task` as `files`."""

    def looks_at(self, request: Mapping[str, Any]) -> tuple[str, ...]:
        """The arguments whose files are needed; none if this request can be sent without a check."""

    def prepare(self, request: Mapping[str, Any], step: Step, files: Mapping[str, Media]) -> Prepared:
        """The step as it can be sent. Raises `RequestRefusedError`, which names the field and what is allowed.

        `files`: path of the argument -> its file. Every attempt calls it, also with a step that it has prepared before.
        Blocking: it runs in a thread.
        """
