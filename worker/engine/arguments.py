"""What an endpoint is really told for an attempt, and the task's check of what came back. Pure.

The one repair round is an attempt like any other: it is shown the bad answer and its faults.
"""

from collections.abc import Mapping
from typing import Any

from config.catalogue import Route
from config.mapping import arguments_for
from worker.files.input_refs import row_name
from worker.jobs.answers import AnswerCheck, AnswerFaults
from worker.jobs.job import Job


def call_arguments(job: Job, route: Route, check: AnswerCheck | None) -> dict[str, Any]:
    """The arguments of the last attempt, by the names of its route."""
    attempt = job.attempts[-1]
    urls = job.uploads.get(attempt.provider, {})
    arguments = {name: _with_urls(value, urls) for name, value in job.step.arguments.items()}
    if attempt.seed is not None:  # by it this submission can be found again
        arguments["seed"] = attempt.seed
    if job.bad_answer and check:
        arguments = check.repair(arguments, _load_faults(job.bad_answer))
    return arguments_for(route, arguments, job.step.extra)


def checked_answer(job: Job, output: Mapping[str, Any], check: AnswerCheck | None) -> Mapping[str, Any] | AnswerFaults:
    """The answer in a provider's output, as the task hands it on. A task without a check takes it as it is."""
    return check.check(job.request, output) if check else output


def dump_faults(faults: AnswerFaults) -> dict[str, Any]:
    """The faults as a row keeps them for the next attempt."""
    return {"answer": faults.answer, "complaint": list(faults.lines)}


def _load_faults(kept: Mapping[str, Any]) -> AnswerFaults:
    return AnswerFaults(tuple(kept["complaint"]), kept.get("answer"))


def _with_urls(value: Any, urls: Mapping[str, str]) -> Any:
    """The value with every uploaded reference in it as the URL that the provider can fetch."""
    if isinstance(value, list | tuple):
        return [_with_urls(each, urls) for each in value]
    if isinstance(value, Mapping):
        return {name: _with_urls(each, urls) for name, each in value.items()}
    return urls.get(row_name(value), value) if urls and isinstance(value, str) else value
