"""Runs a worker, the gateway, the twin or Flower in this process."""

import os

from config.clean_values import clean_variables
from config.settings import Settings
from worker.cli.errors import CliError
from worker.cli.redis_errors import require_servers
from worker.cli.settings import read_settings
from worker.errors import KilnhandError
from worker.files.signing import require_secret
from worker.files.store import folder_of
from worker.net.webhook_url import are_webhooks_requested


def run_worker(arguments: list[str]) -> None:
    """Run `celery -A worker.app worker` with these arguments."""
    if not _asks_for_help(arguments):
        settings = read_settings()
        _check_secret(settings)
        require_servers(settings.redis.urls)
    _run_celery("worker", arguments)


def run_flower(arguments: list[str]) -> None:
    """Run `celery -A worker.app flower` with these arguments. A password is required: Flower can run any task."""
    clean_variables(("FLOWER_",))
    has_password = os.environ.get("FLOWER_BASIC_AUTH") or any("auth" in argument for argument in arguments)
    if not (has_password or _asks_for_help(arguments)):
        raise CliError("Flower needs a password: set FLOWER_BASIC_AUTH=user:password, or give --basic-auth", status=2)
    _run_celery("flower", arguments)


def run_gateway() -> None:
    """Run the gateway at the address of the settings."""
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
        advice = "in the folder of a running `kilnhand up` its secret is used; `kilnhand doctor` shows what is set"
        raise CliError(f"{error.message} ({advice})", status=2) from error


def _run_celery(command: str, arguments: list[str]) -> None:
    """Run Celery's command line. Import `worker.app` first, because Celery would look in the working directory."""
    read_settings()
    from celery.bin.celery import celery

    import worker.app

    celery(args=["-A", worker.app.__name__, command, *arguments], prog_name="celery", auto_envvar_prefix="CELERY")
