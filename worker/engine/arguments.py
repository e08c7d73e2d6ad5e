"""What a language model was asked and has answered, held against each other; and what any endpoint is really told.

Pure. The one repair round is an attempt like any other: it is told the bad answer, and what is wrong with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from config.catalogue import Model
from config.mapping import arguments_for
from worker.errors import BrokenPieceError
from worker.files.input_refs import row_name
from worker.jobs.job import Attempt, Job
from worker.language.judge import Complaint, judged, repair
from worker.language.requests import REQUESTS
from worker.money.cost import route_of


@dataclass(frozen=True)
class Judgement:
    """An answer as it is handed on; or why it cannot be, with what the repair round needs."""

    answer: Mapping[str, Any]
    error: BrokenPieceError | None = None
    bad_answer: Mapping[str, Any] | None = None


def call_arguments(model: Model, job: Job) -> dict[str, Any]:
    """The arguments of the last attempt, by its endpoint's names."""
    attempt = job.attempts[-1]
    urls = job.uploads.get(attempt.provider, {})
    given = _marked(attempt, {name: _swapped(value, urls) for name, value in job.step.arguments.items()})
    if job.bad_answer:
        given = repair(given, job.bad_answer.get("answer"), Complaint(tuple(job.bad_answer["complaint"])))
    return arguments_for(route_of(model, attempt), given, job.step.extra)


def judge(job: Job, output: Mapping[str, Any]) -> Judgement:
    """What a provider's output is worth; that of a task without words is taken as it is."""
    asks = REQUESTS.get(job.task)
    if asks is None:
        return Judgement(output)
    request = asks.model_validate(job.request)
    answer = judged(request.answer, output, request.asked)
    if not isinstance(answer, Complaint):
        return Judgement(answer.model_dump(mode="json"))
    bad = {"answer": output.get("json", output.get("text")), "complaint": list(answer.lines)}
    error = BrokenPieceError(f"an answer that cannot be used: {answer.text}"[:500], kind="bad_answer")
    return Judgement({}, error, bad)


def _marked(attempt: Attempt, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the seed that makes this submission findable."""
    return arguments if attempt.seed is None else {**arguments, "seed": attempt.seed}


def _swapped(value: Any, urls: Mapping[str, str]) -> Any:
    """A reference, wherever in the value it is, as the provider can fetch it."""
    if isinstance(value, list | tuple):
        return [_swapped(each, urls) for each in value]
    if isinstance(value, Mapping):
        return {name: _swapped(each, urls) for name, each in value.items()}
    return urls.get(row_name(value), value) if urls and isinstance(value, str) else value
