"""`kilnhand` and its commands. Each command's work is a file of its own, imported when it runs: help must be quick."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.commands import dead
from worker.cli.commands.options import AsJson, JobId
from worker.cli.screen.complaint import Complaint

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"kilnhand {version('kilnhand')}")
        raise typer.Exit


@app.callback()
def kilnhand(
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="show the version")
    ] = False,
) -> None:
    """Generated pictures, LoRAs and video through Celery: a job in flight is a row in Redis."""


@app.command()
def up(
    demo: Annotated[bool, typer.Option("--demo", help="submit a handful of jobs to the twin and show them")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="with --demo: end when the jobs have, 0 if all succeeded")
    ] = False,
    port_gateway: Annotated[int | None, typer.Option(help="8080 unless KILNHAND_GATEWAY_PORT says otherwise")] = None,
    port_flower: Annotated[int, typer.Option()] = 5555,
    port_twin: Annotated[int, typer.Option()] = 9100,
    port_redis: Annotated[int, typer.Option()] = 6399,
) -> None:
    """Run Redis, twin (unless a fal key is found), worker, gateway and Flower in this terminal.

    They listen on 127.0.0.1 only; a port that is taken is moved to a free one.
    """
    from worker.cli.commands import up as command
    from worker.cli.processes.plan import Ports

    raise typer.Exit(command.up(Ports(port_gateway, port_flower, port_twin, port_redis), demo, once))


@app.command()
def submit(
    task: Annotated[str, typer.Argument(help="for example generation.text_to_image")],
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            help="key=value …; a value is JSON when it can be read so; image=@photo.jpg takes a file, "
            """a list is images='["@a.jpg", "@b.jpg"]'"""
        ),
    ] = None,
    wait: Annotated[bool, typer.Option(help="follow the job to its end, or print its id")] = True,
    json: AsJson = False,
    timeout: Annotated[float | None, typer.Option(help="seconds to wait; then status 124, and the job goes on")] = None,
) -> None:
    """Send a job and follow it: kilnhand submit generation.text_to_image prompt="a red fox"."""
    _join_house()
    from worker.cli.commands import submit as command

    raise typer.Exit(command.submit(task, fields or [], wait, json, timeout))


@app.command()
def status(
    job_id: JobId,
    json: AsJson = False,
    follow: Annotated[bool, typer.Option("--follow", help="stay until the job has ended")] = False,
) -> None:
    """Show a job: how far it is, its result, or why it failed."""
    _join_house()
    from worker.cli.commands import status as command

    raise typer.Exit(command.status(job_id, json, follow))


@app.command()
def cancel(
    job_id: JobId,
    wait: Annotated[bool, typer.Option(help="for its end, 40 s at most, and print its receipt")] = True,
    json: AsJson = False,
) -> None:
    """End a job, stop it at its provider, and say what was billed all the same. Status 1: it had ended before."""
    _join_house()
    from worker.cli.commands import cancel as command

    raise typer.Exit(command.cancel(job_id, wait, json))


@app.command()
def why(job_id: JobId, json: AsJson = False) -> None:
    """Tell a job's story: what happened and when, every attempt and its cost, and what happens next."""
    _join_house()
    from worker.cli.commands import why as command

    raise typer.Exit(command.why(job_id, json))


app.add_typer(dead.app, name="dead")


@app.command()
def models(
    task: Annotated[str | None, typer.Option(help="only those of this task")] = None,
    json: AsJson = False,
) -> None:
    """List the models, their endpoints, prices and what they take."""
    from worker.cli.commands import models as command

    raise typer.Exit(command.models(task, json))


@app.command()
def providers(json: AsJson = False) -> None:
    """Show how well each provider is, as all workers know it: circuits, failures, submissions under way, pauses."""
    _join_house()
    from worker.cli.commands import providers as command

    raise typer.Exit(command.providers(json))


@app.command()
def doctor(json: AsJson = False) -> None:
    """Tell what is configured, reachable or disabled, and what to do about it."""
    joined = _join_house()
    from worker.cli.commands import doctor as command

    raise typer.Exit(command.doctor(json, joined))


@app.command(context_settings=PASSED_ON, add_help_option=False)
def worker(context: typer.Context) -> None:
    """Run a worker; the arguments are those of `celery worker`, for example -Q generation."""
    from worker.cli.commands.serve import run_worker

    run_worker(context.args)


@app.command()
def gateway() -> None:
    """Run the gateway: files, health, webhooks."""
    from worker.cli.commands.serve import run_gateway

    run_gateway()


@app.command(context_settings=PASSED_ON, add_help_option=False)
def twin(context: typer.Context) -> None:
    """Run the local stand-in for fal.ai, for example --port 9100."""
    from worker.cli.commands.serve import run_twin

    run_twin(context.args)


@app.command(context_settings=PASSED_ON, add_help_option=False)
def flower(context: typer.Context) -> None:
    """Run Flower, the dashboard; the arguments are its own."""
    from worker.cli.commands.serve import run_flower

    run_flower(context.args)


def main() -> None:
    """The script's entry: a complaint instead of a traceback."""
    from worker.cli.processes.redis_server import NoRedisServerError

    try:
        app(prog_name="kilnhand")
    except Complaint as complaint:
        _complain(complaint.message)
        sys.exit(complaint.status)
    except NoRedisServerError as error:
        _complain(str(error))
        sys.exit(1)


def _complain(message: str) -> None:
    from rich.text import Text

    from worker.cli.screen import terminal

    terminal.err().print(Text(message, style="red"), soft_wrap=True)


def _join_house() -> list[str]:
    """Reach the house that `kilnhand up` keeps in this folder, as far as the environment says nothing else."""
    from worker.cli.processes.running import FOLDER, join

    return join(Path.cwd() / FOLDER)
