"""`kilnhand files` and its commands: the files in the store. `files_prune` deletes those whose time is over."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The files in the store: new URLs, deletion.")


@app.callback()
def files() -> None:
    """Use the stack that runs in this folder, if there is one."""
    from worker.cli.processes.state_folder import STATE_FOLDER, use_running_stack

    use_running_stack(Path.cwd() / STATE_FOLDER)


@app.command()
def url(
    key: Annotated[str, typer.Argument(help="the key of a file, as a result has it")],
    days: Annotated[
        float | None, typer.Option(min=0.001, help="how long it works; KILNHAND_URL_DAYS by default")
    ] = None,
    json: AsJson = False,
) -> None:
    """Print a new URL of a stored file."""
    from worker.cli.commands import files_prune as command

    raise typer.Exit(command.print_url(key, days, json))


@app.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only count what would be deleted")] = False,
    json: AsJson = False,
) -> None:
    """Delete the files that are older than KILNHAND_FILES_DAYS says."""
    from worker.cli.commands import files_prune as command

    raise typer.Exit(command.prune_files(dry_run, json))
