"""The long-running parts in this very process: a worker, the gateway, the twin, Flower."""

import os

from worker.cli.commands.settings import read_settings
from worker.cli.screen.complaint import Complaint


def run_worker(arguments: list[str]) -> None:
    """`celery -A worker.app worker` with these arguments."""
    _run_celery("worker", arguments)


def run_flower(arguments: list[str]) -> None:
    """`celery -A worker.app flower` with these arguments. Never open: who sees Flower can run any task."""
    if not os.environ.get("FLOWER_BASIC_AUTH") and not any("auth" in argument for argument in arguments):
        raise Complaint("Flower is never open: set FLOWER_BASIC_AUTH=user:password, or give --basic-auth", status=2)
    _run_celery("flower", arguments)


def run_gateway() -> None:
    """The gateway, where the settings say."""
    settings = read_settings()
    from config.logging import configure
    from worker.gateway.serve import serve

    configure(settings.worker.log_format)
    serve(settings)


def run_twin(arguments: list[str]) -> None:
    """The stand-in for fal.ai."""
    from twin.__main__ import main

    main(arguments)


def _run_celery(command: str, arguments: list[str]) -> None:
    """Celery's own command line. Our modules are imported first, else it would look in the working directory."""
    read_settings()
    from celery.bin.celery import celery

    import worker.app

    celery(args=["-A", worker.app.__name__, command, *arguments], prog_name="celery", auto_envvar_prefix="CELERY")
