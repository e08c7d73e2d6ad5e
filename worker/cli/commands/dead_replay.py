"""`kilnhand dead replay`: send what failed once more, as a new job, after saying what that costs."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import typer
from rich.text import Text

from config.catalogue import UnknownModelError
from worker.cli.commands.dead_list import failed_row, take_off
from worker.cli.commands.job_arguments import find_task
from worker.cli.commands.redis_reach import redis_needed
from worker.cli.screen import terminal
from worker.cli.screen.complaint import Complaint
from worker.cli.screen.watch import see
from worker.errors import InvalidRequestError
from worker.explain.story import money
from worker.jobs.job import Job
from worker.jobs.request import JobOptions
from worker.money.cost import estimate_usd

FOLLOWERS = ("chain", "callbacks", "errbacks", "chord")


@dataclass(frozen=True)
class Sent:
    """The job that a replay led to; `is_new` unless it had been replayed before."""

    job_id: str
    is_new: bool


def replay(job_id: str, yes: bool) -> int:
    """The exit status: 0 sent, or sent before; 1 not wanted, or no such job; 2 refused."""
    row, _ = failed_row(job_id)
    task, err = find_task(row.job.task), terminal.err()
    for line in warnings(row.job):
        err.print(Text(line), soft_wrap=True)
    if not (yes or _is_wanted()):
        err.print("Nothing was sent.")
        return 1
    try:
        with redis_needed("nothing was sent"):
            sent = _send(task, row.job)
    except InvalidRequestError as error:
        err.print(Text(f"{error.message}\nNothing was sent.", style="red"), soft_wrap=True)
        return 2
    print(sent.job_id)
    if not sent.is_new:
        state = see(task.app, sent.job_id).state
        err.print(Text(f"{job_id} had been replayed before, as this job ({state}); nothing was sent"), soft_wrap=True)
    else:
        err.print(Text(f"follow it with:  kilnhand status {sent.job_id} --follow", style="dim"), soft_wrap=True)
    return 0


def asked_again(job: Job) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the new job: what the failed one was asked for, in its own words.

    The idempotency key is one of the replay's own: whoever replays the same job twice gets the same new job.
    """
    if job.request:
        usual = JobOptions().model_dump()
        options = {name: getattr(job.options, name) for name in usual if getattr(job.options, name) != usual[name]}
        args, given = (), {**job.request, **options}
    else:  # no worker ever accepted it: only the message knows what it asks for
        args, given = tuple(job.message.get("args") or ()), dict(job.message.get("kwargs") or {})
    labels = given.get("labels") if isinstance(given.get("labels"), Mapping) else {}
    given["labels"] = {**(labels or {}), "replay_of": job.id}
    given["idempotency_key"] = f"replay-{uuid5(NAMESPACE_URL, job.id)}"
    return args, given


def _send(task: Any, job: Job) -> Sent:
    """Send the new job, then take the failed one off the list; done twice, it is done once."""
    from worker.edge.sending import producer

    args, given = asked_again(job)
    began = producer().now()
    new = task.apply_async(args, given, queue=job.queue)
    row = producer().row(new.id)
    take_off(job.id)
    return Sent(str(new.id), is_new=row is None or (row.job.sent_at or began) >= began)


def warnings(job: Job) -> list[str]:
    """What whoever replays should know before."""
    cost = estimated(job)
    lines = [f"{job.id}: {job.task} with {job.step.model or 'its usual model'}"]
    lines.append(f"a replay costs about {cost:.4f} USD" if cost is not None else "a replay costs money: price unknown")
    if job.attempts:
        lines.append(f"the failed job: {money(job)}")
    if any(job.message.get(name) for name in FOLLOWERS):
        lines.append("what followed it (a chain, links, a chord) is not replayed: it has failed with it")
    return lines


def estimated(job: Job) -> float | None:
    """What the step would cost today, in USD, as far as the catalogue knows."""
    from worker.edge.task import catalogue

    try:
        return estimate_usd(catalogue().find(job.step.model), job.step) if job.request else None
    except UnknownModelError:
        return None


def _is_wanted() -> bool:
    if not sys.stdin.isatty():
        raise Complaint("a replay costs money: say --yes where nobody can be asked", status=2)
    return typer.confirm("Send it again?", default=False, err=True)
