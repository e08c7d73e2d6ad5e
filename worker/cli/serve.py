"""The long-running parts in this very process: a worker, the gateway, the twin, Flower."""

from config.settings import Settings


def run_worker(arguments: list[str]) -> None:
    """Celery's own worker; the arguments are Celery's."""
    from worker.app import app

    app.worker_main(["worker", *arguments])


def run_flower(arguments: list[str]) -> None:
    """Flower, which is a Celery command too."""
    from worker.app import app

    app.start(["flower", *arguments])


def run_gateway() -> None:
    """The gateway, where the settings say."""
    from worker.gateway import serve

    serve(Settings())


def run_twin(arguments: list[str]) -> None:
    """The stand-in for fal.ai."""
    from twin.__main__ import main

    main(arguments)
