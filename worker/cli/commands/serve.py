"""Runs a worker, the gateway, the twin or Flower in this process."""

import os
from collections.abc import Collection

from config.clean_values import clean_variables
from config.settings import Settings
from worker.cli.errors import CliError
from worker.cli.redis_errors import require_servers
from worker.cli.settings import ADVICE_WITHOUT_KEY, read_settings
from worker.errors import KilnhandError
from worker.files.signing import require_secret
from worker.files.store import folder_of
from worker.net.webhook_url import are_webhooks_requested

GATEWAY_PORT = "KILNHAND_GATEWAY_PORT"


def run_worker(arguments: list[str]) -> None:
    """Run what `celery -A worker.app worker` runs, with these arguments."""
    settings = read_settings()
    if not _asks_for_help(arguments):
        _check_secret(settings)
        require_servers(settings.redis.urls)
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker

    from worker.app import app

    # Celery's whole command line would import Flower and a shell first: a fifth of a worker's start.
    context = CLIContext(app=app, no_color=bool(os.environ.get("NO_COLOR")), workdir=None)
    worker(args=arguments, prog_name="celery worker", obj=context, auto_envvar_prefix="CELERY_WORKER")


def run_flower(arguments: list[str]) -> None:
    """Run `celery -A worker.app flower` with these arguments. A password is required: Flower can run any task."""
    clean_variables(("FLOWER_",))
    has_password = os.environ.get("FLOWER_BASIC_AUTH") or any("auth" in argument for argument in arguments)
    if not (has_password or _asks_for_help(arguments)):
        raise CliError("Flower needs a password: set FLOWER_BASIC_AUTH=user:password, or give --basic-auth", status=2)
    read_settings()
    from celery.bin.celery import celery

    import worker.app  # before Celery looks for it in the working directory

    celery(args=["-A", worker.app.__name__, "flower", *arguments], prog_name="celery", auto_envvar_prefix="CELERY")


def run_gateway(from_stack: Collection[str] = ()) -> None:
    """Run the gateway at the address of the settings.

    `from_stack`: the variables of the stack that it joins. If the port is one of them, the stack's own gateway listens
    there, and this one takes a free port.
    """
    if GATEWAY_PORT in from_stack:
        os.environ[GATEWAY_PORT] = "0"
    settings = read_settings()
    from config.logging import configure
    from worker.gateway.serve import serve

    configure(settings.worker.log_format)
    serve(settings)


def run_twin(arguments: list[str]) -> None:
    """Run the twin, the local stand-in for fal.ai, Google and Anthropic."""
    from twin.__main__ import main

    main(arguments)


def _asks_for_help(arguments: list[str]) -> bool:
    return "--help" in arguments


def _check_secret(settings: Settings) -> None:
    """Raise a `CliError` when a worker could not sign URLs: Celery would show a traceback."""
    try:
        if are_webhooks_requested(settings) or folder_of(settings.store) is not None:
            require_secret(settings.gateway)
    except KilnhandError as error:
        raise CliError(f"{error.message} ({ADVICE_WITHOUT_KEY})", status=2) from error
