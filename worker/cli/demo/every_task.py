"""Sends the good call of every registered task, and shows one row for each job that came of it."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from worker.cli.demo.calls import CALLS, MADE_BY, call_of, samples_of
from worker.cli.demo.jobs import DemoJob
from worker.cli.demo.samples import draw_samples
from worker.cli.errors import CliError
from worker.cli.job_arguments import all_tasks
from worker.cli.job_snapshot import FollowedJob, JobSnapshot
from worker.cli.screen.results import files_in, money
from worker.cli.screen.tables import print_table
from worker.edge.job_task import JobTask

PACE_S = 0.3  # how long the twin takes for a run
COLUMNS = ("task", "model", "route", "seconds", "files", "cost")


def set_quick_pace(twin_url: str) -> None:
    """Let the twin take the same short time for every run."""
    import httpx

    httpx.post(f"{twin_url}/_twin/pace", json={"seconds": PACE_S}, trust_env=False).raise_for_status()


def send_every_task() -> list[DemoJob]:
    """Send the good call of every task. Raises a `CliError` for a task without one.

    A file that no sample is (a clip, speech) is made by the task before it in a chain.
    """
    from worker.client import upload

    tasks = all_tasks()
    if absent := sorted(tasks.keys() - CALLS.keys()):
        raise CliError(f"no call of {', '.join(absent)} in worker/cli/demo/calls.py")
    files = {name: upload(content) for name, content in draw_samples().items()}
    made = {name: {*samples_of(CALLS[name])} & MADE_BY.keys() for name in tasks}
    makers = {MADE_BY[sample] for samples in made.values() for sample in samples}
    jobs = [_send(tasks, name, made[name], files) for name in sorted(tasks) if name not in makers]
    return [*itertools.chain.from_iterable(jobs)]


def _send(tasks: Mapping[str, JobTask], name: str, made: set[str], files: Mapping[str, str]) -> list[DemoJob]:
    from celery import chain

    given = call_of(name, files)
    if not made:
        return [DemoJob(FollowedJob(name, tasks[name].delay(**given).id))]
    (sample,) = made  # a chain hands on one file
    maker = MADE_BY[sample]
    rest = {field: value for field, value in given.items() if value != sample}
    last = chain(tasks[maker].s(**call_of(maker, files)), tasks[name].s(**rest)).apply_async()
    first = last.parent.id
    return [DemoJob(FollowedJob(maker, first)), DemoJob(FollowedJob(name, last.id, after=first))]


def show_table(console: Console, jobs: Sequence[DemoJob], snapshots: Mapping[str, JobSnapshot]) -> None:
    """Print a row for each job: task, model, route, seconds, files, cost; or that it has no result."""
    console.print()
    rows = [_row(job.followed.name, snapshots[job.followed.job_id]) for job in jobs]
    print_table(console, COLUMNS, sorted(rows, key=lambda row: str(row[0])), right=("seconds", "files", "cost"))
    console.print()


def _row(name: str, last: JobSnapshot) -> tuple[Text | str, ...]:
    result: Mapping[str, Any] | None = last.result
    if result is None:
        return (Text(name, style="red"), Text(last.state, style="red"), "", "", "", "")
    seconds = (result.get("timings") or {}).get("total_s")
    return (
        name,
        str(result.get("model")).removeprefix("pipeline:"),
        f"{result.get('provider')} {result.get('endpoint')}",
        "–" if seconds is None else f"{seconds:.1f}",
        str(len(list(files_in(result)))),
        money(result.get("total_cost") or {}) or "–",
    )
