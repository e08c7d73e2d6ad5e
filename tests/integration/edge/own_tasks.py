"""A task of somebody else's, run by our worker beside our own (`celery worker -I`)."""

from typing import Any

from worker.edge.app import app


@app.task(name="tests.own.note", shared=False)
def note(*words: Any) -> list[Any]:
    """Give the words back."""
    return list(words)
