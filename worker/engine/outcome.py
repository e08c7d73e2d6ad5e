"""What came of an attempt: where its error leads, and what is saved of its answer.

`worker.routing` decides; here the decision becomes the next row. What came inside an answer is stored at once, since it
is nowhere else; what is behind a URL is left to `advance`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.engine.arguments import judge
from worker.engine.cancellation import end_after_cancel
from worker.engine.context import NOW, Context, StepInput, Transition, close, error_record, fail, final_error
from worker.errors import ExternalServiceError, ServiceUnavailableError
from worker.jobs.job import Job, Observation, Stage
from worker.money.cost import cost_of, model_of, promised_pieces
from worker.providers.base import CancelResult, Reply, RunFailure
from worker.routing.routes import (
    Again,
    Elsewhere,
    Failed,
    RouteOptions,
    Unknown,
    after_attempt,
    leads_elsewhere,
    name_of,
    route_options,
)

LEFT = 499  # fal's word for a run that was cancelled before it ended
LISTEN_S = 0.001  # after a long call its row is claimed anew: a claim knows only of cancels that came before it
KEEP_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0)  # a store that is away for longer loses the piece


def handle_error(context: Context, job: Job, error: ExternalServiceError, step_input: StepInput) -> Transition:
    """Carry out what an attempt's error leads to."""
    if job.stage == Stage.WAITING and (end := end_after_cancel(context, job, error, step_input)):
        return end
    left, others = _others(context, job)
    ended = job.with_attempt(ended_at=step_input.now, error=error_record(error))
    if job.attempts[-1].leaving and error.status == LEFT and others.open:
        return _elsewhere(ended, left, error)
    match after_attempt(error, job, elsewhere=bool(others.open)):
        case Again(after_s):
            return Transition(ended.move(Stage.ACCEPTED, answer=None, observed=Observation(), tries=0), after_s)
        case Elsewhere():
            return _elsewhere(ended, left, error)
        case Unknown(unknown):
            return Transition(job.with_attempt(error=error_record(unknown)).move(Stage.UNKNOWN, tries=0))
        case Failed(final):
            shut = others.shut if leads_elsewhere(error, job) else ()
            return close(fail(ended, final_error(ended, final, shut), step_input.now))


async def leave_queue(context: Context, job: Job, queued_s: float, step_input: StepInput) -> Transition | None:
    """Move a run that its provider has not begun for too long: it is cancelled first, and moved only if that took.

    That it leaves is written before: a cancel whose answer is lost may have taken. It is asked again while it queues.
    """
    attempt, most_s = job.attempts[-1], job.options.max_queue_s
    if most_s is None or queued_s <= most_s or job.receipt or attempt.ticket is None:
        return None
    left, others = _others(context, job)
    if not others.open:
        return None
    text = f"{attempt.provider}: in its queue for {queued_s:.0f} s; allowed: {most_s:g} s"
    if not attempt.leaving:
        return Transition(job.with_attempt(leaving=True).move(Stage.WAITING), NOW, f"{text}; it is asked to leave")
    error = ServiceUnavailableError(text, provider=attempt.provider, kind="queue")
    try:
        stop = await context.provider(attempt.provider).cancel(attempt.endpoint, attempt.ticket)
    except ExternalServiceError:
        return None  # it is asked again at the next look
    if stop is CancelResult.STOPPED:
        return _elsewhere(job.with_attempt(ended_at=step_input.now, error=error_record(error)), left, error)
    return None  # it may run; it is looked at as ever


def _others(context: Context, job: Job) -> tuple[Job, RouteOptions]:
    """The job once it has given up the route that it is on, and the routes that are left to it."""
    left = replace(job, given_up=(*job.given_up, name_of(job.attempts[-1])))
    return left, route_options(model_of(context.catalogue, job), left, context.lacks)


def _elsewhere(ended: Job, left: Job, error: ExternalServiceError) -> Transition:
    fresh = {"answer": None, "observed": Observation(), "tries": 0, "given_up": left.given_up}
    return Transition(ended.move(Stage.ACCEPTED, **fresh), NOW, f"elsewhere: {error.message}")


async def save_answer(
    context: Context, job: Job, outcome: Reply | RunFailure, step_input: StepInput, why: str = ""
) -> Transition:
    """The run is over: its cost is booked, and what it brought is saved."""
    cost = cost_of(model_of(context.catalogue, job), job, outcome)
    job = job.with_attempt(ended_at=step_input.now, cost=cost or job.attempts[-1].cost)
    if isinstance(outcome, RunFailure):
        return handle_error(context, job, outcome.error, step_input)
    missing = tuple(error_record(error) for error in outcome.missing)
    job = job.with_attempt(version=outcome.version, missing=missing)
    receipt = replace(job.receipt, in_time=False) if job.receipt else None
    observed = Observation(True, progress=1.0, progress_estimated=False, logs=job.observed.logs)
    changes: dict[str, Any] = {"answer": outcome.output, "observed": observed, "tries": 0, "receipt": receipt}
    if outcome.files:
        return await _keep(context, job, outcome.files, changes, step_input)
    judgement = judge(job, outcome.output)
    if judgement.error:
        return handle_error(context, replace(job, bad_answer=judgement.bad_answer), judgement.error, step_input)
    changes["answer"] = judgement.answer  # `bad_answer` stays: it is part of what was asked
    return Transition(job.move(Stage.FETCHED, **changes), _pause_s(job), why)


async def _keep(
    context: Context, job: Job, files: tuple[bytes, ...], changes: Mapping[str, Any], step_input: StepInput
) -> Transition:
    """Store what came inside an answer: it is nowhere else, so the store is tried for as long as a claim is worth."""
    for pause_s in (*KEEP_PAUSES_S, None):
        try:
            artefacts = await context.fetcher.keep_all(job.id, files, promised_pieces(context.catalogue, job))
        except (ServiceUnavailableError, OSError) as error:  # a full disk is one
            if pause_s is None:
                return close(
                    fail(job, ServiceUnavailableError(f"a paid piece could not be kept: {error}"), step_input.now)
                )
            await asyncio.sleep(pause_s)
        except ExternalServiceError as error:
            return handle_error(context, job, error, step_input)
        else:
            return Transition(job.move(Stage.STORED, artefacts=artefacts, **changes), _pause_s(job))
    raise AssertionError("unreachable")


def _pause_s(job: Job) -> float:
    return LISTEN_S if job.attempts[-1].answered else NOW
