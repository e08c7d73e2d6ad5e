"""`kilnhand dead` and its commands: the jobs that failed. `dead_list` and `dead_replay` do the work."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.options import AsJson, JobId

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The jobs that failed: see, replay or drop them.")


@app.callback()
def dead() -> None:
    """Use the stack that runs in this folder, if there is one."""
    from worker.cli.processes.state_folder import STATE_FOLDER, use_running_stack

    use_running_stack(Path.cwd() / STATE_FOLDER)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="show at most this many")] = 50, json: AsJson = False
) -> None:
    """List the failed jobs whose rows have not expired, newest first."""
    from worker.cli.commands import dead_list as command

    raise typer.Exit(command.list_dead(limit, json))


@app.command()
def messages(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="show at most this many")] = 50,
    json: AsJson = False,
    drop: Annotated[bool, typer.Option("--drop", help="empty the list")] = False,
) -> None:
    """List the broker messages that no worker could read, newest first, with the reason."""
    from worker.cli.commands import dead_messages as command

    raise typer.Exit(command.list_messages(limit, json, drop))


@app.command()
def rows(
    json: AsJson = False,
    retry: Annotated[str | None, typer.Option(help="make this row due again, once it is repaired")] = None,
) -> None:
    """List the rows that no worker could read, with the reason."""
    from worker.cli.commands import dead_rows as command

    raise typer.Exit(command.list_rows(json, retry))


@app.command()
def show(job_id: JobId, json: AsJson = False) -> None:
    """Show the story of a failed job, and its request."""
    from worker.cli.commands import dead_list as command

    raise typer.Exit(command.show(job_id, json))


@app.command()
def replay(
    job_id: JobId,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask; needed without a terminal")] = False,
) -> None:
    """Send a new job with the same request and options, and take the failed one off the list. It costs money."""
    from worker.cli.commands import dead_replay as command

    raise typer.Exit(command.replay(job_id, yes))


@app.command()
def drop(
    job_id: Annotated[str | None, typer.Argument(help="the id that the list shows")] = None,
    all_: Annotated[bool, typer.Option("--all", help="every failed job")] = False,
) -> None:
    """Take one failed job, or all, off the list. Their rows stay until they expire."""
    from worker.cli.commands import dead_list as command

    raise typer.Exit(command.drop(job_id, all_))
