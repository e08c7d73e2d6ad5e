"""What an attempt led to: its error becomes the next row, its answer is saved.

`worker.routing.retry` decides what an error leads to. Files that came inside an answer are stored at once, since they
are nowhere else; files behind URLs are left to the next step.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, assert_never

from worker.engine.arguments import call_arguments
from worker.engine.cancellation import end_after_cancel
from worker.engine.context import NOW, RECLAIM_S, Context, StepInput, Transition
from worker.engine.endings import close, error_record, fail, final_error
from worker.engine.late_news import settle_s
from worker.engine.rest import missing_of, stored_rest
from worker.engine.rewritten_prompt import REWRITTEN, rewritten_prompt
from worker.engine.spending import affordable_routes, list_price
from worker.errors import BrokenPieceError, ExternalServiceError, ServiceUnavailableError, SubmitUnknownError
from worker.files.fetch import Fetched
from worker.files.needed_answer import check_values, is_inline, needed_answer, without_inline
from worker.jobs.answers import AnswerFaults
from worker.jobs.cost import NOTHING_BILLED
from worker.jobs.file_keys import job_folder
from worker.jobs.job import Artefact, Job, Observation, Piece, Stage
from worker.money.cost import cost_of
from worker.providers.base import RUN_CANCELLED, CancelResult, Reply, RunFailure
from worker.routing.retry import STORE_PAUSES_S, Again, Elsewhere, Failed, Unknown, after_attempt, leads_elsewhere
from worker.routing.routes import RouteOptions, name_of


@dataclass(frozen=True)
class _Keep:
    """Stores files that came inside an answer: all of them, or those that are whole."""

    all: Callable[[], Awaitable[tuple[Artefact, ...]]]
    rest: Callable[[], Awaitable[Fetched]]


def handle_error(context: Context, job: Job, error: ExternalServiceError, step_input: StepInput) -> Transition:
    """Carry out what an attempt's error leads to."""
    if job.stage == Stage.WAITING and (end := end_after_cancel(job, error, step_input)):
        return end
    if not job.attempts[-1].was_taken and not isinstance(error, SubmitUnknownError):
        job = job.with_attempt(cost=None)  # it was refused or never arrived: nothing is billed
    ended = job.with_attempt(ended_at=step_input.now, error=error_record(error))
    left, others = _without_route(context, ended, step_input)
    if job.attempts[-1].leaving and error.kind == RUN_CANCELLED and others.open:
        return _elsewhere(ended, left, error)
    outcome = after_attempt(error, job, elsewhere=bool(others.open))
    match outcome:
        case Again(after_s):
            again = ended.move(Stage.ACCEPTED, answer=None, observed=Observation(), tries=0)
            after_s = max(after_s, settle_s(context, ended.attempts[-1], step_input.served.model.usual_s))
            return Transition(again, after_s)
        case Elsewhere():
            return _elsewhere(ended, left, error)
        case Unknown(unknown):
            return Transition(job.with_attempt(error=error_record(unknown)).move(Stage.UNKNOWN, tries=0))
        case Failed(final):
            refused = others.refused if leads_elsewhere(error, job) else ()
            return close(fail(ended, final_error(ended, final, refused), step_input.now))
        case _:
            assert_never(outcome)


async def leave_queue(context: Context, job: Job, queued_s: float, step_input: StepInput) -> Transition | None:
    """Move a run that waits too long in its provider's queue: cancel it, and move only if the cancel came in time.

    The row says that it leaves before the cancel is sent: one whose answer is lost may have taken effect. It is
    cancelled again while it is queued.
    """
    attempt, most_s = job.attempts[-1], job.options.max_queue_s
    if most_s is None or queued_s <= most_s or job.receipt or attempt.ticket is None:
        return None
    free = job.with_attempt(cost=NOTHING_BILLED)  # a run that leaves the queue is not billed
    left, others = _without_route(context, free, step_input)
    if not others.open:
        return None
    text = f"{attempt.provider}: in its queue for {queued_s:.0f} s; allowed: {most_s:g} s"
    if not attempt.leaving:
        leaving = job.with_attempt(leaving=True).move(Stage.WAITING)
        return Transition(leaving, NOW, f"{text}; it is asked to leave")
    error = ServiceUnavailableError(text, provider=attempt.provider, kind="queue")
    try:
        result = await context.provider(attempt.provider).cancel(attempt.endpoint, attempt.ticket)
    except ExternalServiceError:
        return None  # it is cancelled again at the next poll
    if result is CancelResult.STOPPED:
        return _elsewhere(free.with_attempt(ended_at=step_input.now, error=error_record(error)), left, error)
    return None  # it may run; polling goes on


def _without_route(context: Context, job: Job, step_input: StepInput) -> tuple[Job, RouteOptions]:
    """The job once it has given up its present route, and the routes that are left to it."""
    left = replace(job, given_up=(*job.given_up, name_of(job.attempts[-1])))
    return left, affordable_routes(context, step_input.served.model, left)


def _elsewhere(ended: Job, left: Job, error: ExternalServiceError) -> Transition:
    fresh = {"answer": None, "observed": Observation(), "tries": 0, "given_up": left.given_up}
    return Transition(ended.move(Stage.ACCEPTED, **fresh), NOW, f"elsewhere: {error.message}")


def _without_files(outcome: Reply | RunFailure, pieces: tuple[Piece, ...]) -> Reply | RunFailure:
    """The outcome of a good run; one whose answer has no file is a failure unless files are taken as they are found."""
    if isinstance(outcome, RunFailure) and outcome.output is not None and any(piece.as_found for piece in pieces):
        return Reply(outcome.output, outcome.billed_units)
    return outcome


async def save_answer(
    context: Context, job: Job, outcome: Reply | RunFailure, step_input: StepInput, why: str = ""
) -> Transition:
    """The run is over: its cost is booked, and what it brought is saved."""
    pieces = step_input.served.pieces
    outcome = _without_files(outcome, pieces)
    cost = cost_of(step_input.served, outcome, list_price(context, step_input.served))
    job = job.with_attempt(ended_at=step_input.now, cost=cost or job.attempts[-1].cost)
    if isinstance(outcome, RunFailure):
        return handle_error(context, job, outcome.error, step_input)
    missing = tuple(error_record(error) for error in outcome.missing)
    job = job.with_attempt(version=outcome.version and outcome.version[:200], missing=missing)
    receipt = replace(job.receipt, in_time=False) if job.receipt else None
    observed = Observation(True, progress=1.0, progress_estimated=False, logs=job.observed.logs)
    if error := _too_large(outcome.output):
        return handle_error(context, job, error, step_input)
    changes: dict[str, Any] = {"answer": outcome.output, "observed": observed, "tries": 0, "receipt": receipt}
    if outcome.stored is not None:
        stored = job.move(Stage.STORED, artefacts=outcome.stored, **changes)
        return Transition(stored, _pause_s(job), why)
    if outcome.files:
        in_hand = (job_folder(job), outcome.files, pieces)
        keep = _Keep(partial(context.fetcher.keep_all, *in_hand), partial(context.fetcher.keep_rest, *in_hand))
        return await _store_inline(job, keep, changes, step_input, context)
    check = context.checks.get(job.task)
    answer = check.check(job.request, outcome.output, job.step.facts) if check else outcome.output
    if isinstance(answer, AnswerFaults):
        error = BrokenPieceError(f"an answer that cannot be used: {answer.text}"[:500], kind="bad_answer")
        return handle_error(context, replace(job, bad_answer=answer.dump()), error, step_input)
    if error := _too_large(answer):
        return handle_error(context, job, error, step_input)
    # `bad_answer` stays: it is part of what was asked
    answer = needed_answer(answer, pieces, checked=check is not None)
    sent = call_arguments(job, step_input.served.route, check)
    if pieces and (prompt := rewritten_prompt(outcome.output, sent)):
        answer = {**answer, REWRITTEN: prompt}  # a version before loses it when it completes the job, and nothing else
    changes["answer"] = answer
    job = job.with_attempt(missing=(*missing, *missing_of(answer, pieces)))
    if pieces and is_inline(answer):
        asked, tenant = (job_folder(job), answer, pieces), job.options.tenant
        whole, rest = context.fetcher.fetch_all, context.fetcher.fetch_rest
        keep = _Keep(partial(whole, *asked, tenant=tenant), partial(rest, *asked, tenant=tenant))
        return await _store_inline(job, keep, {**changes, "answer": without_inline(answer)}, step_input, context)
    return Transition(job.move(Stage.FETCHED, **changes), _pause_s(job), why)


def _too_large(answer: Mapping[str, Any]) -> BrokenPieceError | None:
    """The error of an answer whose values are too large for a row."""
    try:
        check_values(answer)
    except BrokenPieceError as error:
        return error
    return None


async def _store_inline(
    job: Job, keep: _Keep, changes: Mapping[str, Any], step_input: StepInput, context: Context
) -> Transition:
    """Store files that came inside an answer. If the job is cancelled meanwhile, its cost is known."""
    step_input.resources.paid = job
    transition = await _kept(job, keep, changes, step_input, context)
    step_input.resources.paid = None
    return transition


async def _kept(
    job: Job, keep: _Keep, changes: Mapping[str, Any], step_input: StepInput, context: Context
) -> Transition:
    """The files are nowhere else, so an unreachable store is tried for minutes."""
    for pause_s in (*STORE_PAUSES_S, None):
        try:
            artefacts = await keep.all()
        except (ServiceUnavailableError, OSError) as error:  # a full disk is an OSError
            if pause_s is None:
                final = ServiceUnavailableError(f"a paid piece could not be kept: {error}")
                return close(fail(job, final, step_input.now))
            await asyncio.sleep(pause_s)
        except ExternalServiceError as error:
            if stored := await stored_rest(job, keep.rest, **changes):
                return Transition(stored, _pause_s(job))
            return handle_error(context, job, error, step_input)
        else:
            return Transition(job.move(Stage.STORED, artefacts=artefacts, **changes), _pause_s(job))
    raise AssertionError("unreachable")


def _pause_s(job: Job) -> float:
    return RECLAIM_S if job.attempts[-1].answered else NOW
