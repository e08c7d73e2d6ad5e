"""What came of an attempt: where its error leads, and what is saved of its answer.

`worker.routing` decides; here the decision becomes the next row. What came inside an answer is stored at once, since it
is nowhere else; what is behind a URL is left to `advance`.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from worker.engine.arguments import judge
from worker.engine.cancellation import stopped
from worker.engine.context import NOW, Bench, Look, Next, fail, let_go, trouble_of, why_nowhere
from worker.errors import ExternalServiceError, ServiceUnavailableError
from worker.jobs.job import Job, Sight, Stage
from worker.money.cost import cost_of, model_of, promised
from worker.providers.base import Fault, Reply, Stop
from worker.routing.routes import (
    Again,
    Elsewhere,
    Failed,
    Unknown,
    Ways,
    after_attempt,
    leads_elsewhere,
    name_of,
    ways,
)

LEFT = 499  # fal's word for a run that was cancelled before it ended
LISTEN_S = 0.001  # after a long call its row is claimed anew: a claim knows only of cancels that came before it
KEEP_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0)  # a store that is away for longer loses the piece


def after(bench: Bench, job: Job, error: ExternalServiceError, look: Look) -> Next:
    """Carry out what an attempt's error leads to."""
    if job.stage == Stage.WAITING and (end := stopped(bench, job, error, look)):
        return end
    left, others = _others(bench, job)
    ended = job.with_attempt(ended_at=look.now, trouble=trouble_of(error))
    if job.attempts[-1].leaving and error.status == LEFT and others.open:
        return _elsewhere(ended, left, error)
    match after_attempt(error, job, elsewhere=bool(others.open)):
        case Again(after_s):
            return Next(ended.move(Stage.ACCEPTED, answer=None, sight=Sight(), looks=0), after_s)
        case Elsewhere():
            return _elsewhere(ended, left, error)
        case Unknown(unknown):
            return Next(job.with_attempt(trouble=trouble_of(unknown)).move(Stage.UNKNOWN, looks=0))
        case Failed(final):
            shut = others.shut if leads_elsewhere(error, job) else ()
            return let_go(fail(ended, why_nowhere(ended, final, shut), look.now))


async def leave_queue(bench: Bench, job: Job, queued_s: float, look: Look) -> Next | None:
    """Move a run that its provider has not begun for too long: it is cancelled first, and moved only if that took.

    That it leaves is written before: a cancel whose answer is lost may have taken. It is asked again while it queues.
    """
    attempt, most_s = job.attempts[-1], job.options.max_queue_s
    if most_s is None or queued_s <= most_s or job.receipt or attempt.ticket is None:
        return None
    left, others = _others(bench, job)
    if not others.open:
        return None
    text = f"{attempt.provider}: in its queue for {queued_s:.0f} s; allowed: {most_s:g} s"
    if not attempt.leaving:
        return Next(job.with_attempt(leaving=True).move(Stage.WAITING), NOW, f"{text}; it is asked to leave")
    error = ServiceUnavailableError(text, provider=attempt.provider, kind="queue")
    try:
        stop = await bench.provider(attempt.provider).cancel(attempt.endpoint, attempt.ticket)
    except ExternalServiceError:
        return None  # it is asked again at the next look
    if stop is Stop.STOPPED:
        return _elsewhere(job.with_attempt(ended_at=look.now, trouble=trouble_of(error)), left, error)
    return None  # it may run; it is looked at as ever


def _others(bench: Bench, job: Job) -> tuple[Job, Ways]:
    """The job once it has given up the route that it is on, and the routes that are left to it."""
    left = replace(job, given_up=(*job.given_up, name_of(job.attempts[-1])))
    return left, ways(model_of(bench.catalogue, job), left, bench.lacks)


def _elsewhere(ended: Job, left: Job, error: ExternalServiceError) -> Next:
    fresh = {"answer": None, "sight": Sight(), "looks": 0, "given_up": left.given_up}
    return Next(ended.move(Stage.ACCEPTED, **fresh), NOW, f"elsewhere: {error.message}")


async def answered(bench: Bench, job: Job, outcome: Reply | Fault, look: Look, why: str = "") -> Next:
    """The run is over: its cost is booked, and what it brought is saved."""
    cost = cost_of(model_of(bench.catalogue, job), job, outcome)
    job = job.with_attempt(ended_at=look.now, cost=cost or job.attempts[-1].cost)
    if isinstance(outcome, Fault):
        return after(bench, job, outcome.error, look)
    missing = tuple(trouble_of(error) for error in outcome.missing)
    job = job.with_attempt(version=outcome.version, missing=missing)
    receipt = replace(job.receipt, in_time=False) if job.receipt else None
    sight = Sight(True, progress=1.0, progress_estimated=False, logs=job.sight.logs)
    changes: dict[str, Any] = {"answer": outcome.output, "sight": sight, "looks": 0, "receipt": receipt}
    if outcome.files:
        return await _keep(bench, job, outcome.files, changes, look)
    judgement = judge(job, outcome.output)
    if judgement.error:
        return after(bench, replace(job, bad=judgement.bad), judgement.error, look)
    changes["answer"] = judgement.answer  # `bad` stays: it is part of what was asked
    return Next(job.move(Stage.FETCHED, **changes), _pause_s(job), why)


async def _keep(bench: Bench, job: Job, files: tuple[bytes, ...], changes: Mapping[str, Any], look: Look) -> Next:
    """Store what came inside an answer: it is nowhere else, so the store is tried for as long as a claim is worth."""
    for pause_s in (*KEEP_PAUSES_S, None):
        try:
            artefacts = await bench.fetcher.keep_all(job.id, files, promised(bench.catalogue, job))
        except (ServiceUnavailableError, OSError) as error:  # a full disk is one
            if pause_s is None:
                return let_go(fail(job, ServiceUnavailableError(f"a paid piece could not be kept: {error}"), look.now))
            await asyncio.sleep(pause_s)
        except ExternalServiceError as error:
            return after(bench, job, error, look)
        else:
            return Next(job.move(Stage.STORED, artefacts=artefacts, **changes), _pause_s(job))
    raise AssertionError("unreachable")


def _pause_s(job: Job) -> float:
    return LISTEN_S if job.attempts[-1].answered else NOW
