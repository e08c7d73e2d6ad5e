"""`kilnhand` and the options of its commands. A command imports its own file when it runs, so that help is fast."""

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from worker.cli.commands import dead, files, models
from worker.cli.errors import WRONG_INPUT, CliError
from worker.cli.exit_codes import CLOSED_PIPE
from worker.cli.options import AsJson, JobId, Port
from worker.cli.process_end import ProcessEnd
from worker.cli.screen.closed_pipe import close_stdout


class Commands(TyperGroup):
    """The commands. A closed pipe keeps its own exit status; Typer would make it 1, which is drift for `audit`."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            close_stdout()
            raise typer.Exit(CLOSED_PIPE) from None


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
EXTRA_ARGUMENTS = {"allow_extra_args": True, "ignore_unknown_options": True}


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"kilnhand {version('kilnhand')}")
        raise typer.Exit


@app.callback()
def kilnhand(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version")
    ] = False,
) -> None:
    """Generated pictures, LoRAs and video through Celery: a job in flight is a row in Redis."""


@app.command()
def up(
    demo: Annotated[bool, typer.Option("--demo", help="send a few jobs to the twin and show them")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="with --demo: stop when the jobs have ended; status 0 if all succeeded")
    ] = False,
    port_gateway: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="default: KILNHAND_GATEWAY_PORT, or 8080")
    ] = None,
    port_flower: Port = 5555,
    port_twin: Port = 9100,
    port_redis: Port = 6399,
) -> None:
    """Run Redis, twin (unless a fal key is found), worker, gateway and Flower in this terminal.

    They listen on 127.0.0.1 only. A port that is taken is replaced by a free one.
    """
    from worker.cli.commands import up as command
    from worker.cli.processes.up_plan import Ports

    raise typer.Exit(command.up(Ports(port_gateway, port_flower, port_twin, port_redis), demo, once))


@app.command()
def demo(
    every_task: Annotated[
        bool, typer.Option("--all", help="one job of every task, a table and a contact sheet; then end")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="stop when the jobs have ended; status 0 if all succeeded")
    ] = False,
) -> None:
    """Run everything with the twin, as `up --demo` does, without a key: a few jobs, or with --all one of every task."""
    from worker.cli.commands import up as command
    from worker.cli.processes.up_plan import Ports

    raise typer.Exit(command.up(Ports(None, 5555, 9100, 6399), demo=True, once=once, every_task=every_task))


@app.command()
def submit(
    task: Annotated[str, typer.Argument(help="for example generation.text_to_image")],
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            help="key=value …; lists and objects are JSON; image=@photo.jpg sends a file; "
            """two files are images='["@a.jpg", "@b.jpg"]'"""
        ),
    ] = None,
    wait: Annotated[bool, typer.Option(help="follow the job until it ends, or only print its id")] = True,
    json: AsJson = False,
    timeout: Annotated[
        float | None, typer.Option(help="seconds to wait; then exit with 124 while the job continues")
    ] = None,
) -> None:
    """Send a job and follow it: kilnhand submit generation.text_to_image prompt="a red fox"."""
    _use_running_stack()
    from worker.cli.commands import submit as command

    raise typer.Exit(command.submit(task, fields or [], wait, json, timeout))


@app.command()
def status(
    job_id: JobId,
    json: AsJson = False,
    follow: Annotated[bool, typer.Option("--follow", help="wait until the job has ended")] = False,
) -> None:
    """Show a job: its progress, its result, or why it failed."""
    _use_running_stack()
    from worker.cli.commands import status as command

    raise typer.Exit(command.status(job_id, json, follow))


@app.command()
def cancel(
    job_id: JobId,
    wait: Annotated[bool, typer.Option(help="wait for its end, at most 40 s, and print its receipt")] = True,
    json: AsJson = False,
) -> None:
    """Cancel a job, also at its provider, and show what was billed. Status 1: ended before, or unknown."""
    _use_running_stack()
    from worker.cli.commands import cancel as command

    raise typer.Exit(command.cancel(job_id, wait, json))


@app.command()
def why(job_id: JobId, json: AsJson = False) -> None:
    """Tell a job's story: what happened and when, each attempt and its cost, and what happens next."""
    _use_running_stack()
    from worker.cli.commands import why as command

    raise typer.Exit(command.why(job_id, json))


app.add_typer(dead.app, name="dead")
app.add_typer(files.app, name="files")
app.add_typer(models.app, name="models")


@app.command()
def audit(
    since: Annotated[str, typer.Option(help="a date, a moment, or how long ago: 30m, 24h, 7d")] = "24h",
    until: Annotated[str | None, typer.Option(help="the same; now by default")] = None,
    tenant: Annotated[str | None, typer.Option(help="only this tenant's jobs")] = None,
    lag: Annotated[
        float, typer.Option(min=0, help="seconds by which a bill may be late: newer attempts are not judged")
    ] = 3600,
    json: AsJson = False,
) -> None:
    """Hold the ledger's costs against fal's own billing. Status 1: drift; 2: it cannot be read."""
    _use_running_stack()
    from worker.cli.commands import audit as command

    raise typer.Exit(command.run_audit(command.AuditOptions(since, until, tenant, lag), json))


@app.command()
def duplicates(
    since: Annotated[str | None, typer.Option(help="a date, a moment, or how long ago: 30m, 24h, 7d")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="show at most this many; the counts have all")] = 50,
    lag: Annotated[
        float, typer.Option(min=0, help="seconds by which a bill may be late: newer attempts are not judged")
    ] = 3600,
    json: AsJson = False,
) -> None:
    """List the submissions that were never found, and whether fal has billed their jobs twice."""
    _use_running_stack()
    from worker.cli.commands import duplicates as command

    raise typer.Exit(command.run_duplicates(since, limit, lag, json))


@app.command()
def providers(json: AsJson = False) -> None:
    """Show the health of each provider, shared by all workers: circuits, failures, jobs in flight, pauses."""
    _use_running_stack()
    from worker.cli.commands import providers as command

    raise typer.Exit(command.providers(json))


@app.command()
def doctor(json: AsJson = False) -> None:
    """Show what is configured, reachable or disabled, and what to do about it."""
    from_stack = _use_running_stack()
    from worker.cli.commands import doctor as command

    raise typer.Exit(command.doctor(json, from_stack))


@app.command(context_settings=EXTRA_ARGUMENTS, add_help_option=False)
def worker(context: typer.Context) -> None:
    """Run a worker; the arguments are those of `celery worker`, for example -Q generation.

    In the folder of a running `kilnhand up` it joins that stack.
    """
    _use_running_stack()
    from worker.cli.commands.serve import run_worker

    run_worker(context.args)


@app.command()
def gateway() -> None:
    """Run the gateway: files, health and webhooks.

    In the folder of a running `kilnhand up` it joins that stack, on a free port: the stack has a gateway already.
    """
    from_stack = _use_running_stack()
    from worker.cli.commands.serve import run_gateway

    run_gateway(from_stack)


@app.command(context_settings=EXTRA_ARGUMENTS, add_help_option=False)
def twin(context: typer.Context) -> None:
    """Run the twin, the local stand-in for fal.ai, Google and Anthropic, for example --port 9100."""
    from worker.cli.commands.serve import run_twin

    run_twin(context.args)


@app.command(context_settings=EXTRA_ARGUMENTS, add_help_option=False)
def flower(context: typer.Context) -> None:
    """Run Flower, the dashboard; the arguments are its own."""
    from worker.cli.commands.serve import run_flower

    run_flower(context.args)


def main() -> None:
    """The entry point. An expected error is shown as a message, without a traceback."""
    end = ProcessEnd()
    end.prepare()
    from worker.cli.screen.ascii_signs import replace_missing_signs

    replace_missing_signs()
    try:
        status = _run()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone, for example `head`
        close_stdout()
        status = CLOSED_PIPE
    end.exit(status)


def _run() -> int | str | None:
    """Run the command and return its exit status."""
    from config.keys.ini import KeyFileError
    from worker.cli.processes.redis_server import NoRedisServerError

    try:
        app(prog_name="kilnhand")
    except CliError as error:
        _show_error(error)
        return error.status
    except NoRedisServerError as error:
        _show_error(CliError(str(error)))
        return 1
    except KeyFileError as error:
        _show_error(CliError(str(error), WRONG_INPUT))
        return WRONG_INPUT
    except SystemExit as ended:
        return ended.code
    return 0


def _show_error(error: CliError) -> None:
    """The message on stderr, and with --json also as a JSON object on stdout."""
    from rich.text import Text

    from worker.cli.screen import terminal

    if "--json" in sys.argv[1:]:
        terminal.print_json({"error": {"code": error.code, "message": error.message}})
    terminal.err().print(Text(error.message, style="red"))


def _use_running_stack() -> list[str]:
    """Use the stack that runs in this folder. Variables that are already set win. Returns the names of those it set."""
    from worker.cli.processes.state_folder import STATE_FOLDER, use_running_stack

    return use_running_stack(Path.cwd() / STATE_FOLDER)
