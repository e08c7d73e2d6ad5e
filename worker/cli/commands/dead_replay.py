"""`kilnhand dead replay`: show what a replay costs, then send the failed job's request as a new job."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import typer
from rich.text import Text

from config.catalogue import UnknownModelError
from worker.cli.commands.dead_list import load_failed_row, remove_from_list
from worker.cli.errors import CliError
from worker.cli.job_arguments import find_task
from worker.cli.job_snapshot import read_snapshot
from worker.cli.redis_errors import report_redis_errors
from worker.cli.screen import terminal
from worker.errors import InvalidRequestError
from worker.explain.story import money
from worker.jobs.job import Job
from worker.jobs.request import JobOptions
from worker.money.cost import estimate_usd

FOLLOWERS = ("chain", "callbacks", "errbacks", "chord")


@dataclass(frozen=True)
class ReplayedJob:
    """The job that a replay returns. `is_new` is False if the failed job had already been replayed."""

    job_id: str
    is_new: bool


def replay(job_id: str, yes: bool) -> int:
    """The exit status: 0 sent, now or by an earlier replay; 1 the user said no; 2 the request was refused."""
    row, _ = load_failed_row(job_id)
    task, err = find_task(row.job.task), terminal.err()
    for line in replay_warnings(row.job):
        err.print(Text(line), soft_wrap=True)
    if not (yes or _is_confirmed()):
        err.print("Nothing was sent.")
        return 1
    try:
        with report_redis_errors("nothing was sent"):
            sent = _send(task, row.job)
    except InvalidRequestError as error:
        err.print(Text(f"{error.message}\nNothing was sent.", style="red"), soft_wrap=True)
        return 2
    print(sent.job_id)
    if not sent.is_new:
        state = read_snapshot(task.app, sent.job_id).state
        err.print(Text(f"{job_id} was already replayed as this job ({state}); nothing was sent"), soft_wrap=True)
    else:
        err.print(Text(f"follow it with:  kilnhand status {sent.job_id} --follow", style="dim"), soft_wrap=True)
    return 0


def replay_arguments(job: Job) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the new job: the failed job's request and options, with a label and a new idempotency key.

    The key depends only on the failed job's id, so a second replay of the same job returns the same new job.
    """
    if job.request:
        defaults = JobOptions().model_dump()
        options = {name: getattr(job.options, name) for name in defaults}
        changed = {name: value for name, value in options.items() if value != defaults[name]}
        args, kwargs = (), {**job.request, **changed}
    else:  # no worker accepted the job, so only its message has the request
        args, kwargs = tuple(job.message.get("args") or ()), dict(job.message.get("kwargs") or {})
    labels = kwargs.get("labels") if isinstance(kwargs.get("labels"), Mapping) else {}
    kwargs["labels"] = {**(labels or {}), "replay_of": job.id}
    kwargs["idempotency_key"] = f"replay-{uuid5(NAMESPACE_URL, job.id)}"
    return args, kwargs


def _send(task: Any, job: Job) -> ReplayedJob:
    """Send the new job, then take the failed one off the list. A repeated call sends nothing new."""
    from worker.edge.sending import producer

    args, kwargs = replay_arguments(job)
    began = producer().now()
    new = task.apply_async(args, kwargs, queue=job.queue)
    row = producer().row(new.id)
    remove_from_list(job.id)
    return ReplayedJob(str(new.id), is_new=row is None or (row.job.sent_at or began) >= began)


def replay_warnings(job: Job) -> list[str]:
    """The lines to show before a replay: task, cost, what the failed job cost, and what is not replayed."""
    cost = estimated_cost_usd(job)
    lines = [f"{job.id}: {job.task} with {job.step.model or 'its usual model'}"]
    lines.append(f"a replay costs about {cost:.4f} USD" if cost is not None else "a replay costs money: price unknown")
    if job.attempts:
        lines.append(f"the failed job: {money(job)}")
    if any(job.message.get(name) for name in FOLLOWERS):
        lines.append("the jobs after it (a chain, links, a chord) are not replayed: they failed with it")
    return lines


def estimated_cost_usd(job: Job) -> float | None:
    """The price of the job's step today, in USD. None if the catalogue has no price for it."""
    from worker.edge.job_task import catalogue

    try:
        return estimate_usd(catalogue().find_for(job.task, job.step.model), job.step) if job.request else None
    except UnknownModelError:
        return None


def _is_confirmed() -> bool:
    if not sys.stdin.isatty():
        raise CliError("a replay costs money: without a terminal to ask, say --yes", status=2)
    return typer.confirm("Send it again?", default=False, err=True)
