"""`kilnhand models` and its command: the catalogue. `models_list` shows it, `models_check` compares it with fal's."""

from pathlib import Path
from typing import Annotated

import typer

from worker.cli.options import AsJson

app = typer.Typer(add_completion=False, help="List the models with their endpoints, prices and parameters.")


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    task: Annotated[str | None, typer.Option(help="only models that serve this task")] = None,
    json: AsJson = False,
) -> None:
    """List the models with their endpoints, prices and parameters."""
    if context.invoked_subcommand is None:
        from worker.cli.commands import models_list as command

        raise typer.Exit(command.models(task, json))


@app.command()
def check(json: AsJson = False) -> None:
    """Compare the catalogue with fal's model list and prices. Status 1: it differs; 2: they cannot be read."""
    from worker.cli.commands import models_check as command
    from worker.cli.processes.state_folder import STATE_FOLDER, use_running_stack

    use_running_stack(Path.cwd() / STATE_FOLDER)
    raise typer.Exit(command.check(json))
