"""The work of `kilnhand dead list`, `show` and `drop`."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pydantic_core import to_jsonable_python
from rich.text import Text

from worker.cli.errors import CliError
from worker.cli.job_rows import load_row
from worker.cli.redis_errors import report_redis_errors
from worker.cli.screen import terminal
from worker.cli.screen.story import show_story, story_as_json
from worker.cli.settings import read_settings
from worker.explain.story import money
from worker.jobs.job import Job, Stage
from worker.ledger.base import Ledger, Row

T = TypeVar("T")
DROP_BATCH = 500
MESSAGE_WIDTH = 80


def list_dead(limit: int, as_json: bool) -> int:
    """Show the jobs that failed, newest first."""
    jobs = query_ledger(lambda ledger: ledger.dead(limit))
    if as_json:
        terminal.print_json({"dead": [_as_json(job) for job in jobs]})
    elif not jobs:
        terminal.out().print("no failed jobs")
    else:
        _show(jobs)
    return 0


def show(job_id: str, as_json: bool) -> int:
    """Show the story of a failed job, and its request."""
    row, now = load_failed_row(job_id)
    request = dict(row.job.request) or row.job.message.get("kwargs") or {}
    if as_json:
        terminal.print_json({**story_as_json(row, now), "request": request})
        return 0
    show_story(row, now)
    out = terminal.out()
    out.print("request:")
    for name, value in request.items():
        out.print(Text(f"  {name} = {json.dumps(value, ensure_ascii=False)}"), soft_wrap=True)
    return 0


def drop(job_id: str | None, everything: bool) -> int:
    """Take one job or all off the list. Raises a `CliError` if the job is not on the list."""
    if (job_id is None) is not everything:
        raise CliError("give one job id, or --all", status=2)
    if job_id is None:
        terminal.err().print(f"{query_ledger(_drop_all)} dropped")
        return 0
    if not remove_from_list(job_id):
        raise CliError(f"{job_id} is not on the list: see `kilnhand dead list`")
    terminal.err().print(f"{job_id} dropped")
    return 0


def load_failed_row(job_id: str) -> tuple[Row, float]:
    """The row of a failed job, and the ledger's time. Raises a `CliError` if the job has not failed."""
    read_settings()
    row, now = load_row(job_id)
    if row.job.stage != Stage.FAILED:
        raise CliError(f"job {job_id} has not failed, it is {row.job.stage}: `kilnhand why {job_id}` tells its story")
    return row, now


def remove_from_list(job_id: str) -> bool:
    """Take a job off the list. False if it was not on the list."""
    return query_ledger(lambda ledger: ledger.drop(job_id))


async def _drop_all(ledger: Ledger) -> int:
    dropped = 0
    while jobs := await ledger.dead(DROP_BATCH):
        for job in jobs:
            dropped += await ledger.drop(job.id)
    return dropped


def query_ledger(query: Callable[[Ledger], Awaitable[T]]) -> T:
    """Open the ledger, run the query, close the ledger, and return the answer."""
    from worker.ledger.redis import open_redis_ledger

    settings = read_settings().redis

    async def run() -> T:
        ledger = open_redis_ledger(settings.ledger, settings.own_keys)
        try:
            return await query(ledger)
        finally:
            await ledger.aclose()

    with report_redis_errors("the failed jobs cannot be read"):
        return asyncio.run(run())


def _as_json(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "task": job.task,
        "model": job.step.model,
        "tenant": job.options.tenant,
        "labels": dict(job.options.labels),
        "failed_at": job.closed_at,
        "error": to_jsonable_python(job.error),
        "attempts": len(job.attempts),
        "money": money(job),
    }


def _show(jobs: Sequence[Job]) -> None:
    """Print two lines for each job, so that a narrow terminal shows the whole id."""
    out = terminal.out()
    for job in jobs:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.closed_at or job.created_at))
        head = Text(job.id, style="cyan").append(f"  {when}  {job.task}  {job.step.model}", style="default")
        out.print(head.append(f"  {job.options.tenant or ''}", style="dim"), soft_wrap=True)
        code, message = (job.error.code, job.error.message) if job.error else ("", "")
        line = message.partition("\n")[0]
        short = line if len(line) <= MESSAGE_WIDTH else f"{line[: MESSAGE_WIDTH - 1]}…"
        out.print(Text(f"  {code}", style="red").append(f"  {short}", style="default"), soft_wrap=True)
