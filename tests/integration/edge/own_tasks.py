"""Tasks of somebody else's, run by our worker beside our own (`celery worker -I`)."""

from typing import Any

from worker.edge.app import app


@app.task(name="tests.own.note", shared=False)
def note(*words: Any) -> list[Any]:
    """Give the words back."""
    return list(words)


@app.task(name="tests.own.calls_a_job", shared=False)
def calls_a_job() -> Any:
    """Call a job as a function."""
    return app.tasks["generation.text_to_image"](prompt="x")
