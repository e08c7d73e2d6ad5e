"""`kilnhand why`: the story of a job, and what happens next. The words come from `worker.explain`."""

import json
from typing import Any

from pydantic_core import to_jsonable_python
from rich.text import Text

from worker.cli.commands.job_rows import known_row
from worker.cli.commands.settings import read_settings
from worker.cli.screen import terminal
from worker.explain.next_step import next_step
from worker.explain.story import began_at, money, story
from worker.jobs.status import state_of
from worker.ledger.base import Row


def why(job_id: str, as_json: bool) -> int:
    """Tell a job's story. Raises a `Complaint` when nobody knows it."""
    read_settings()
    row, now = known_row(job_id)
    if as_json:
        print(json.dumps(as_plain(row, now), ensure_ascii=False, indent=2))
    else:
        tell(row, now)
    return 0


def tell(row: Row, now: float) -> None:
    """The story on stdout."""
    out = terminal.out()
    for line in story(row.job):
        out.print(Text(line), soft_wrap=True)
    out.print(Text(f"next: {next_step(row, now).text}", style="bold"), soft_wrap=True)


def as_plain(row: Row, now: float) -> dict[str, Any]:
    """The story as JSON. Times are the ledger's, in seconds since the epoch."""
    job, following = row.job, next_step(row, now)
    return {
        "job_id": job.id,
        "task": job.task,
        "state": state_of(job),
        "stage": job.stage.value,
        "began_at": began_at(job),
        "history": to_jsonable_python(job.history),
        "attempts": to_jsonable_python(job.attempts),
        "money": money(job),
        "receipt": to_jsonable_python(job.receipt),
        "next": {"text": following.text, "at": following.at, "in_s": following.at - now if following.at else None},
    }
