"""Our worker with tasks of its user (`-I`), and a visibility timeout that a test can wait for."""

import os
import time

from worker.app import app

OPTIONS = {"visibility_timeout": 1.0, "unacked_restore_interval": 0.2}
app.conf.broker_transport_options = {**app.conf.broker_transport_options, **OPTIONS}
NOTES = "own:notes"


@app.task(name="own.note")
def note(text: str, seconds: float = 0.0) -> int:
    """Note that it has begun, and take so long."""
    app.backend.client.rpush(NOTES, text)
    time.sleep(seconds)
    return os.getpid()


@app.task(name="own.fails", bind=True)
def fails(self: object, text: str) -> str:
    """Fail at first, and succeed when it is sent again under the same id."""
    if app.backend.client.rpush(NOTES, text) == 1:
        raise ValueError(text)
    return text
