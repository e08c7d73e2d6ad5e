"""README's example for a backend that has only Celery."""

import json
import re
import time
from pathlib import Path

import pytest
import redis

from worker.cli.processes.ports import free_port

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")


def example(redis_url: str) -> str:
    """The code up to the point where it waits for the result."""
    (code,) = [text for text in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "send_task" in text]
    return code.split("print(")[0].replace("redis://127.0.0.1:6399/0", redis_url)


def test_it_sends_to_a_queue_of_ours(redis_url: str) -> None:
    exec(example(redis_url), {})  # our own text
    with redis.Redis.from_url(redis_url) as client:
        (raw,) = client.lrange("generation", 0, -1)
        assert json.loads(raw)["headers"]["task"] == "generation.text_to_image"
        assert client.exists("celery") == 0


def test_it_does_not_hang_while_redis_is_away() -> None:
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="reconnect"):
        exec(example(f"redis://127.0.0.1:{free_port()}/0"), {})
    assert time.monotonic() - began < 18, "Celery's defaults take 20 s"
