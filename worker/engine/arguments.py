"""What an endpoint is really told for an attempt. Pure.

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
        arguments = check.repair(arguments, AnswerFaults.load(job.bad_answer))
    return arguments_for(route, arguments, job.step.extra)


def _with_urls(value: Any, urls: Mapping[str, str]) -> Any:
    """The value with every uploaded reference in it as the URL that the provider can fetch."""
    if isinstance(value, list | tuple):
        return [_with_urls(each, urls) for each in value]
    if isinstance(value, Mapping):
        return {name: _with_urls(each, urls) for name, each in value.items()}
    return urls.get(row_name(value), value) if urls and isinstance(value, str) else value
