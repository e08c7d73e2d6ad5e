"""`kilnhand why`: the story of a job, and what happens next."""

from worker.cli.job_rows import load_row
from worker.cli.screen import terminal
from worker.cli.screen.story import show_story, story_as_json
from worker.cli.settings import read_settings


def why(job_id: str, as_json: bool) -> int:
    """Tell a job's story. Raises a `CliError` if the ledger has no such job."""
    read_settings()
    row, now = load_row(job_id)
    if as_json:
        terminal.print_json(story_as_json(row, now))
    else:
        show_story(row, now)
    return 0
