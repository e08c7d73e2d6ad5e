"""The long-running parts in this very process: a worker, the gateway, the twin, Flower."""

from worker.cli.configured import read_settings


def run_worker(arguments: list[str]) -> None:
    """Celery's own worker; the arguments are Celery's."""
    read_settings()
    from worker.app import app

    app.worker_main(["worker", *arguments])


def run_flower(arguments: list[str]) -> None:
    """Flower, which is a Celery command too."""
    read_settings()
    from worker.app import app

    app.start(["flower", *arguments])


def run_gateway() -> None:
    """The gateway, where the settings say."""
    settings = read_settings()
    from worker.gateway.serve import serve

    serve(settings)


def run_twin(arguments: list[str]) -> None:
    """The stand-in for fal.ai."""
    from twin.__main__ import main

    main(arguments)
