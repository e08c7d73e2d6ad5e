"""`kilnhand status`: one job, from its row in the ledger; when the row is gone, from the result backend."""

import asyncio
import json
import time
from typing import Any

from rich.table import Table
from rich.text import Text

from worker.cli.commands.redis_reach import redis_needed
from worker.cli.commands.settings import read_settings
from worker.cli.commands.submit import wait_for
from worker.cli.screen import terminal
from worker.cli.screen.complaint import Complaint
from worker.cli.screen.jobs import COLOURS
from worker.cli.screen.results import lost, show_result, show_served, took
from worker.cli.screen.watch import Seen, Watched, see
from worker.explain.history import receipt_text
from worker.jobs.job import Job
from worker.jobs.status import JobStatus, status_of


def status(job_id: str, as_json: bool, following: bool) -> int:
    """Show a job, or follow it; 1 when nobody knows it."""
    settings = read_settings()
    with redis_needed(f"nothing is known of {job_id}"):
        job, now = asyncio.run(_row(settings.redis.ledger, job_id))
        seen = _seen(job_id) if job is None else None
    if job is None and (seen is None or seen.state == "PENDING"):
        raise Complaint(
            f"no job {job_id}: neither the ledger nor the result backend knows it. It may have been sent by name alone "
            "and not be taken by a worker yet, be long over, or live in another Redis (KILNHAND_REDIS_URL)"
        )
    if following and not (job.is_final if job else seen and seen.has_ended):
        return wait_for(Watched(job.task if job else job_id, job_id), as_json, None)
    if job is not None:
        _show(status_of(job, now), job.result, as_json)
    elif seen is not None:
        _show_seen(job_id, seen, as_json)
    return 0


async def _row(url: str, job_id: str) -> tuple[Job | None, float]:
    from worker.ledger.redis import open_redis_ledger

    ledger = open_redis_ledger(url)
    try:
        return await ledger.get(job_id), await ledger.ping()
    finally:
        await ledger.aclose()


def _seen(job_id: str) -> Seen:
    from worker.edge.app import app

    return see(app, job_id)


def _show(status: JobStatus, result: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps({**status.model_dump(mode="json"), "result": result}, ensure_ascii=False, indent=2))
        return
    out = terminal.out()
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in _lines(status, result).items():
        if value:
            table.add_row(Text(name, style="dim"), Text(value, style=_style(name, status.state)))
    out.print(table)
    for line in status.logs:
        out.print(Text(f"  {line}", style="dim"), soft_wrap=True)
    if result:
        show_result(out, result)


def _style(name: str, state: str) -> str:
    if name == "error":
        return "red"
    return COLOURS.get(state, "") if name == "state" else ""


def _lines(status: JobStatus, result: Any) -> dict[str, str]:
    about = "about " if status.progress_estimated else ""
    running = status.state == "IN_PROGRESS"
    return {
        "job": status.job_id,
        "task": status.task,
        "state": f"{status.state} ({status.stage})",
        "progress": f"{about}{status.progress:.0%}" if running else "",
        "queue": f"{status.queue_position} ahead" if status.queue_position is not None else "",
        "served" if result else "asked": took(result) if result else _asked(status),
        **lost(result or {}),
        "endpoint": status.endpoint or "",
        "request": status.request_id or "",
        "attempts": str(status.attempt) if status.attempt > 1 else "",
        "tenant": status.tenant or "",
        "labels": ", ".join(f"{name}={value}" for name, value in status.labels.items()),
        "created": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.created_at)),
        "error": status.error or "",
        "receipt": _receipt(status, result),
    }


def _asked(status: JobStatus) -> str:
    """What was asked for, and of whom if anybody was."""
    return f"{status.model}{f' of {status.provider}' if status.provider else ''}"


def _receipt(status: JobStatus, result: Any) -> str:
    """What became of a cancel; while nobody knows, that it is under way."""
    if status.receipt is None:
        return ""
    if status.state in {"QUEUED", "IN_PROGRESS"}:
        return "its provider was asked to stop it" if status.receipt.told else "its provider is being asked to stop it"
    return receipt_text(status.receipt, has_files=result is not None)


def _show_seen(job_id: str, seen: Seen, as_json: bool) -> None:
    if as_json:
        answer = {"job_id": job_id, "state": seen.state, **seen.status, "result": seen.result, "error": seen.error}
        print(json.dumps(answer, ensure_ascii=False, indent=2))
        return
    out = terminal.out()
    out.print(f"job {job_id}: {seen.state} (its row is gone; this is what the result backend keeps)")
    if seen.error:
        out.print(Text(seen.error["message"], style="red"))
    if seen.result:
        show_served(out, seen.result)
        show_result(out, seen.result)
