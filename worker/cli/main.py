"""`kilnhand` and its commands. Each command's work is a file of its own, imported when it runs: help must be quick."""

import typer

from worker.cli.serve import run_flower, run_gateway, run_twin, run_worker

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.callback()
def kilnhand() -> None:
    """Generated pictures, LoRAs and video through Celery: a job in flight is a row in Redis."""


@app.command(context_settings=PASSED_ON, add_help_option=False)
def worker(context: typer.Context) -> None:
    """Run a worker; arguments are those of `celery worker`."""
    run_worker(context.args)


@app.command(context_settings=PASSED_ON, add_help_option=False, hidden=True)
def flower(context: typer.Context) -> None:
    """Run Flower; arguments are Flower's own."""
    run_flower(context.args)


@app.command()
def gateway() -> None:
    """Run the gateway: files, health, webhooks."""
    run_gateway()


@app.command(context_settings=PASSED_ON, add_help_option=False)
def twin(context: typer.Context) -> None:
    """Run the local stand-in for fal.ai; see `kilnhand twin --help`."""
    run_twin(context.args)


def main() -> None:
    """The script's entry."""
    app(prog_name="kilnhand")
