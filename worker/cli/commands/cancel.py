"""`kilnhand cancel`: end a job, and say whether that came in time and what it cost."""

import json
from typing import Any

from rich.text import Text

from worker.cli.commands.job_rows import unknown
from worker.cli.commands.redis_reach import redis_needed
from worker.cli.commands.settings import read_settings
from worker.cli.commands.submit import INTERRUPTED
from worker.cli.screen import terminal
from worker.cli.screen.results import show_result, show_served
from worker.explain.history import receipt_text
from worker.jobs.status import JobStatus

WAIT_S = 40.0
OVER = {"SUCCESS", "FAILURE"}


def cancel(job_id: str, wait: bool, as_json: bool) -> int:
    """The exit status: 0 it ended as cancelled, or will; 1 nobody knows it, or it ended otherwise; 130 by Ctrl-C."""
    from worker import client

    read_settings()
    try:
        with redis_needed("the job cannot be cancelled"):
            seen, result = client.cancel(job_id, wait_s=WAIT_S if wait else 0), client.result(job_id)
    except KeyboardInterrupt:
        terminal.err().print("\nThe cancel stands without you: a worker ends the job.", soft_wrap=True)
        return INTERRUPTED
    if seen is None:
        raise unknown(job_id)
    if as_json:
        answer = {**seen.model_dump(mode="json"), "result": result}
        print(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        _show(seen, result)
    return 1 if seen.state in OVER else 0


def _show(seen: JobStatus, result: dict[str, Any] | None) -> None:
    out, err = terminal.out(), terminal.err()
    if seen.state in OVER:
        err.print(Text(_too_late(seen), style="red"), soft_wrap=True)
    elif seen.state == "REVOKED":
        text = receipt_text(seen.receipt, has_files=result is not None) if seen.receipt else "cancelled"
        out.print(Text(text, style="yellow"), soft_wrap=True)
    else:
        out.print(Text(f"asked for its end; now {seen.state} ({seen.stage})"))
        err.print(Text(f"a worker ends it; see  kilnhand why {seen.job_id}", style="dim"), soft_wrap=True)
    if result is not None:
        show_served(err, result)
        show_result(out, result)


def _too_late(seen: JobStatus) -> str:
    error = f": {seen.error}" if seen.error else ""
    return f"job {seen.job_id} had ended as {seen.state}, and stays so{error}"
