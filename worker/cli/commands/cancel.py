"""`kilnhand cancel`: cancel a job, and show whether that was in time and what the job cost."""

from typing import Any

from rich.text import Text

from worker.cli.exit_codes import INTERRUPTED
from worker.cli.redis_errors import report_redis_errors
from worker.cli.screen import terminal
from worker.cli.screen.results import show_result, show_summary
from worker.cli.settings import read_settings
from worker.explain.history import receipt_text
from worker.jobs.status import CANCEL_NOTED, JobStatus

WAIT_S = 40.0
ENDED_BEFORE = {"SUCCESS", "FAILURE"}  # with an unknown id: nothing was cancelled, so the exit status is 1


def cancel(job_id: str, wait: bool, as_json: bool) -> int:
    """The exit status: 0 cancelled, or will be; 1 it had ended before, or is unknown; 130 Ctrl-C while waiting."""
    from worker import client

    read_settings()
    try:
        with report_redis_errors("the job cannot be cancelled"):
            status, result = client.cancel(job_id, wait_s=WAIT_S if wait else 0), client.result(job_id)
    except KeyboardInterrupt:
        terminal.err().print("\nThe cancel request stays: a worker ends the job.", soft_wrap=True)
        return INTERRUPTED
    is_known = status.stage != CANCEL_NOTED
    if as_json:
        terminal.print_json({**status.model_dump(mode="json"), "known": is_known, "result": result})
    else:
        _show(status, result)
    return 1 if status.state in ENDED_BEFORE or not is_known else 0


def _show(status: JobStatus, result: dict[str, Any] | None) -> None:
    out, err = terminal.out(), terminal.err()
    if status.state in ENDED_BEFORE:
        err.print(Text(_too_late(status), style="red"), soft_wrap=True)
    elif status.state == "REVOKED":
        text = receipt_text(status.receipt, has_files=result is not None) if status.receipt else "cancelled"
        out.print(Text(text, style="yellow"), soft_wrap=True)
    elif status.stage == CANCEL_NOTED:
        err.print(Text(f"no job {status.job_id}: nothing was cancelled. The cancel is noted:", style="red"))
        err.print(Text("a job that gets this id ends as REVOKED, and nothing is submitted", style="dim"))
    else:
        out.print(Text(f"cancel requested; now {status.state} ({status.stage})"))
        err.print(Text(f"a worker ends it; see  kilnhand why {status.job_id}", style="dim"), soft_wrap=True)
    if result is not None:
        show_summary(err, result)
        show_result(out, result)


def _too_late(status: JobStatus) -> str:
    error = f": {status.error}" if status.error else ""
    return f"job {status.job_id} had already ended as {status.state}{error}"
