"""The work of `kilnhand dead list`, `show` and `drop`."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from pydantic_core import to_jsonable_python
from rich.text import Text

from worker.cli.commands.job_rows import known_row
from worker.cli.commands.redis_reach import redis_needed
from worker.cli.commands.settings import read_settings
from worker.cli.commands.why import as_plain, tell
from worker.cli.screen import terminal
from worker.cli.screen.complaint import Complaint
from worker.explain.story import money
from worker.jobs.job import Job, Stage
from worker.ledger.base import Ledger, Row

T = TypeVar("T")
AT_ONCE = 500
MESSAGE_WIDTH = 80


def list_dead(limit: int, as_json: bool) -> int:
    """Show the jobs that failed, newest first."""
    jobs = _asked(lambda ledger: ledger.dead(limit))
    if as_json:
        print(json.dumps({"dead": [_plain(job) for job in jobs]}, ensure_ascii=False, indent=2))
    elif not jobs:
        terminal.out().print("no failed jobs")
    else:
        _show(jobs)
    return 0


def show(job_id: str, as_json: bool) -> int:
    """The story of a failed job, and what it was asked for."""
    row, now = failed_row(job_id)
    request = dict(row.job.request) or row.job.message.get("kwargs") or {}
    if as_json:
        print(json.dumps({**as_plain(row, now), "request": request}, ensure_ascii=False, indent=2))
        return 0
    tell(row, now)
    out = terminal.out()
    out.print("request:")
    for name, value in request.items():
        out.print(Text(f"  {name} = {json.dumps(value, ensure_ascii=False)}"), soft_wrap=True)
    return 0


def drop(job_id: str | None, everything: bool) -> int:
    """Take one or all off the list; 1 when it was not there."""
    if (job_id is None) is not everything:
        raise Complaint("name one job, or say --all", status=2)
    if job_id is None:
        terminal.err().print(f"{_asked(_drop_all)} dropped")
        return 0
    if not take_off(job_id):
        raise Complaint(f"{job_id} is not on the list: see `kilnhand dead list`")
    terminal.err().print(f"{job_id} dropped")
    return 0


def failed_row(job_id: str) -> tuple[Row, float]:
    """The row of a job that failed, and the ledger's time. Raises a `Complaint` for any other."""
    read_settings()
    row, now = known_row(job_id)
    if row.job.stage != Stage.FAILED:
        raise Complaint(f"job {job_id} has not failed, it is {row.job.stage}: `kilnhand why {job_id}` tells its story")
    return row, now


def take_off(job_id: str) -> bool:
    """Take a job off the list; False when it is not there."""
    return _asked(lambda ledger: ledger.drop(job_id))


async def _drop_all(ledger: Ledger) -> int:
    dropped = 0
    while jobs := await ledger.dead(AT_ONCE):
        for job in jobs:
            dropped += await ledger.drop(job.id)
    return dropped


def _asked(ask: Callable[[Ledger], Awaitable[T]]) -> T:
    """What the ledger answers."""
    from worker.ledger.redis import open_redis_ledger

    url = read_settings().redis.ledger

    async def asked() -> T:
        ledger = open_redis_ledger(url)
        try:
            return await ask(ledger)
        finally:
            await ledger.aclose()

    with redis_needed("the failed jobs cannot be read"):
        return asyncio.run(asked())


def _plain(job: Job) -> dict[str, Any]:
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
    """Two lines a job, so that a narrow terminal cuts no id."""
    out = terminal.out()
    for job in jobs:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(job.closed_at or job.created_at))
        head = Text(job.id, style="cyan").append(f"  {when}  {job.task}  {job.step.model}", style="default")
        out.print(head.append(f"  {job.options.tenant or ''}", style="dim"), soft_wrap=True)
        code, message = (job.error.code, job.error.message) if job.error else ("", "")
        line = message.partition("\n")[0]
        short = line if len(line) <= MESSAGE_WIDTH else f"{line[: MESSAGE_WIDTH - 1]}…"
        out.print(Text(f"  {code}", style="red").append(f"  {short}", style="default"), soft_wrap=True)
