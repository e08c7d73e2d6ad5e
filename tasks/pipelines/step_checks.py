"""What a later step of a pipeline would refuse, found before the first step is paid for.

The files that earlier steps will make have a placeholder here: no file is fetched by these checks.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from worker.edge.job_task import JobTask
from worker.jobs.request import JobOptions
from worker.money.budget import ROUNDING_USD, least_usd, usd_up

A_PICTURE = "https://example.com/from-an-earlier-step.png"
Calls = Sequence[tuple[JobTask, Mapping[str, Any]]]  # each a task and its request's fields
_JUDGED = {"tenant", "provider", "providers", "fallback", "allow_degraded", "max_usd"}
SOME_WEIGHTS = "https://example.com/from-an-earlier-step.safetensors"


def step_problems(
    task: JobTask, given: Mapping[str, Any], options: JobOptions, names: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """What the step's task refuses: pairs of field and message. `names`: the pipeline's names for the step's fields."""
    sent = _given({**given, **judged_options(options)})
    return [((names or {}).get(field, field), message) for field, message in task.problems_of(sent)]


def judged_options(options: JobOptions) -> dict[str, Any]:
    """The options of a pipeline that may be why a step is refused."""
    return options.model_dump(include=_JUDGED, exclude_unset=True, exclude_none=True)


def all_problems(calls: Calls, options: JobOptions, may_fail: int = 0) -> list[tuple[str, str]]:
    """What one of the calls would refuse, or why all of them cannot be paid."""
    found = [problem for task, given in calls for problem in step_problems(task, given, options)]
    return list(dict.fromkeys(found)) or sum_problems(calls, options, may_fail)


def sum_problems(calls: Calls, options: JobOptions, may_fail: int = 0) -> list[tuple[str, str]]:
    """The refusal of calls that cost more than `max_usd` together. `may_fail`: so many need not be paid."""
    if options.max_usd is None:
        return []
    costs = sorted(least_usd(*task.call_of(given), options.values()) for task, given in calls)
    least = sum(costs[: max(0, len(costs) - may_fail)])
    if least <= options.max_usd + ROUNDING_USD:
        return []
    return [("max_usd", f"is {options.max_usd:g} USD, and the {len(calls)} calls cost {usd_up(least)} USD or more")]


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
