"""`kilnhand status`: one job, from its ledger row, or from the result backend when the row has expired."""

import asyncio
import time
from typing import Any

from rich.text import Text

from config.catalogue import is_pipeline
from config.settings import RedisSettings
from worker.cli.errors import CliError
from worker.cli.follow import follow_one
from worker.cli.job_snapshot import FollowedJob, JobSnapshot, read_snapshot
from worker.cli.redis_errors import report_redis_errors
from worker.cli.screen import terminal
from worker.cli.screen.progress import STATE_COLOURS
from worker.cli.screen.results import differences, model_text, show_result, show_summary, summary
from worker.cli.settings import read_settings
from worker.errors import UnknownJobError
from worker.explain.history import cost_text, receipt_text
from worker.jobs.job import Job
from worker.jobs.status import JobStatus


def status(job_id: str, as_json: bool, follow: bool) -> int:
    """Show a job, or follow it until it ends. Raises a `CliError` if neither ledger nor result backend knows it."""
    settings = read_settings()
    with report_redis_errors(f"job {job_id} cannot be read"):
        job, now = asyncio.run(_load(settings.redis, job_id))
        snapshot = _snapshot(job_id) if job is None else None
    if job is None and (snapshot is None or snapshot.state == "PENDING"):
        raise CliError(
            f"no job {job_id}: neither the ledger nor the result backend knows it. Possible reasons: it was "
            "sent by name only and no worker has taken it yet, it ended long ago, or it is in another Redis "
            "(KILNHAND_REDIS_URL)",
            code=UnknownJobError.code,
        )
    if follow and not (job.is_final if job else snapshot and snapshot.is_final):
        return follow_one(FollowedJob(job.task if job else job_id, job_id), as_json, None)
    if job is not None:
        _show(_status_now(job, now), job.result, as_json)
    elif snapshot is not None:
        _show_snapshot(job_id, snapshot, as_json)
    return 0


async def _load(settings: RedisSettings, job_id: str) -> tuple[Job | None, float]:
    from worker.ledger.redis import open_redis_ledger

    ledger = open_redis_ledger(settings.ledger, settings.own_keys)
    try:
        return await ledger.get(job_id), await ledger.ping()
    finally:
        await ledger.aclose()


def _status_now(job: Job, now: float) -> JobStatus:
    from worker.edge.app import app
    from worker.edge.states import status_now

    with report_redis_errors(f"job {job.id} cannot be read"):
        return status_now(app.backend, job, now)


def _snapshot(job_id: str) -> JobSnapshot:
    from worker.edge.app import app

    return read_snapshot(app, job_id)


def _show(status: JobStatus, result: Any, as_json: bool) -> None:
    if as_json:
        terminal.print_json({**status.model_dump(mode="json"), "result": result})
        return
    out = terminal.out()
    lines = {name: value for name, value in _lines(status, result).items() if value}
    width = max(map(len, lines))
    for name, value in lines.items():
        out.print(Text(f"{name:<{width}}  ", style="dim") + Text(value, style=_style(name, status.state)))
    for line in status.logs:
        out.print(Text(f"  {line}", style="dim"), soft_wrap=True)
    if result:
        show_result(out, result)


def _style(name: str, state: str) -> str:
    if name == "error":
        return "red"
    return STATE_COLOURS.get(state, "") if name == "state" else ""


def _lines(status: JobStatus, result: Any) -> dict[str, str]:
    """The lines of the table by name. Lines without a value are left out."""
    about = "about " if status.progress_estimated else ""
    running = status.state == "IN_PROGRESS"
    return {
        "job": status.job_id,
        "task": status.task,
        "state": f"{status.state} ({status.stage})",
        "progress": f"{about}{status.progress:.0%}" if running else "",
        "queue": f"{status.queue_position} ahead" if status.queue_position is not None else "",
        "served" if result else "asked": summary(result) if result else _requested(status),
        **differences(result or {}),
        "endpoint": status.endpoint or "",
        "request": status.request_id or "",
        "attempts": str(status.attempt) if status.attempt > 1 else "",
        "tenant": status.tenant or "",
        "labels": ", ".join(f"{name}={value}" for name, value in status.labels.items()),
        "created": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(status.created_at)),
        "delayed": status.delayed_by or "",
        "error": status.error or "",
        "cost": cost_text(status.total_cost) if status.attempt and not result else "",
        "receipt": _receipt(status, result),
    }


def _requested(status: JobStatus) -> str:
    """The model that was requested, and the provider if it was sent to one."""
    of = f" of {status.provider}" if status.provider and not is_pipeline(status.model) else ""
    return f"{model_text(status.model)}{of}"


def _receipt(status: JobStatus, result: Any) -> str:
    """The outcome of a cancel, or that it is in progress. Empty if nobody cancelled the job."""
    if status.receipt is None:
        return ""
    if status.state in {"QUEUED", "IN_PROGRESS"}:
        return "its provider was asked to stop it" if status.receipt.told else "its provider is being asked to stop it"
    return receipt_text(status.receipt, has_files=result is not None)


def _show_snapshot(job_id: str, snapshot: JobSnapshot, as_json: bool) -> None:
    if as_json:
        fields = {"job_id": job_id, "state": snapshot.state, **snapshot.status}
        terminal.print_json({**fields, "result": snapshot.result, "error": snapshot.error})
        return
    out = terminal.out()
    out.print(f"job {job_id}: {snapshot.state} (its row has expired; this is from the result backend)")
    if snapshot.error:
        out.print(Text(snapshot.error["message"], style="red"))
    if snapshot.result:
        show_summary(out, snapshot.result)
        show_result(out, snapshot.result)
