"""What a later step of a pipeline would refuse, found before the first step is paid for.

The files that earlier steps will make have a placeholder here: no file is fetched by these checks.
"""

from collections.abc import Mapping
from typing import Any

from worker.edge.job_task import JobTask
from worker.jobs.request import JobOptions

A_PICTURE = "https://example.com/from-an-earlier-step.png"
SOME_WEIGHTS = "https://example.com/from-an-earlier-step.safetensors"


def step_problems(
    task: JobTask, given: Mapping[str, Any], options: JobOptions, names: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """What the step's task refuses: pairs of field and message. `names`: the pipeline's names for the step's fields."""
    sent = {name: value for name, value in {**given, "tenant": options.tenant}.items() if value is not None}
    return [((names or {}).get(field, field), message) for field, message in task.problems_of(sent)]
