"""`kilnhand dead` and its commands: the jobs that failed. Their work is in `dead_list` and `dead_replay`."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.commands.options import AsJson, JobId

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The jobs that failed: see, replay or drop them.")


@app.callback()
def dead() -> None:
    """Reach the house that runs in this folder."""
    from worker.cli.processes.running import FOLDER, join

    join(Path.cwd() / FOLDER)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="so many at most")] = 50, json: AsJson = False
) -> None:
    """List them, newest first, for as long as their rows are kept."""
    from worker.cli.commands import dead_list as failed

    raise typer.Exit(failed.list_dead(limit, json))


@app.command()
def show(job_id: JobId, json: AsJson = False) -> None:
    """Tell the story of one, and what it was asked for."""
    from worker.cli.commands import dead_list as failed

    raise typer.Exit(failed.show(job_id, json))


@app.command()
def replay(
    job_id: JobId,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask, as where nobody can answer")] = False,
) -> None:
    """Send a new job with the same request and options, and take the failed one off the list. It costs money."""
    from worker.cli.commands import dead_replay as command

    raise typer.Exit(command.replay(job_id, yes))


@app.command()
def drop(
    job_id: Annotated[str | None, typer.Argument(help="as the list gives it")] = None,
    all_: Annotated[bool, typer.Option("--all", help="every one")] = False,
) -> None:
    """Take one, or all, off the list. Their rows stay until they are forgotten."""
    from worker.cli.commands import dead_list as failed

    raise typer.Exit(failed.drop(job_id, all_))
