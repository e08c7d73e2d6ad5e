"""A job's story on the terminal and as JSON. The sentences come from `worker.explain`."""

from typing import Any

from pydantic_core import to_jsonable_python
from rich.text import Text

from worker.cli.screen import terminal
from worker.edge.pipeline import begun_steps, step_id
from worker.explain.next_step import next_step
from worker.explain.story import began_at, money, story
from worker.jobs.signals import STEP_BEGUN
from worker.jobs.status import state_of
from worker.ledger.base import Row


def show_story(row: Row, now: float) -> None:
    """Print the story to stdout. `now` is the ledger's time, in seconds since the epoch."""
    out = terminal.out()
    for line in story(row.job):
        out.print(Text(line), soft_wrap=True)
    for name, job_id in _steps(row).items():
        out.print(Text(f"step {name}: job {job_id}"), soft_wrap=True)
    out.print(Text(f"next: {next_step(row, now).text}", style="bold"), soft_wrap=True)


def story_as_json(row: Row, now: float) -> dict[str, Any]:
    """The story as JSON fields. Times are the ledger's, in seconds since the epoch."""
    job, following = row.job, next_step(row, now)
    return {
        "job_id": job.id,
        "task": job.task,
        "state": state_of(job),
        "stage": job.stage.value,
        "began_at": began_at(job),
        "history": to_jsonable_python(job.history),
        "attempts": to_jsonable_python(job.attempts),
        "steps": [{"name": name, "job_id": job_id} for name, job_id in _steps(row).items()],
        "money": money(job),
        "receipt": to_jsonable_python(job.receipt),
        "next": {"text": following.text, "at": following.at, "in_s": following.at - now if following.at else None},
    }


def _steps(row: Row) -> dict[str, str]:
    """The steps of a pipeline and their jobs' ids. The history has them, also when the row's signals are gone."""
    heard = [entry.text for entry in row.job.history if entry.what == "heard" and entry.text.startswith(STEP_BEGUN)]
    names = [*(text.removeprefix(STEP_BEGUN) for text in heard), *begun_steps(row.signals)]
    return {name: step_id(row.job.id, name) for name in dict.fromkeys(names)}
