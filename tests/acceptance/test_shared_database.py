"""Two installations share one Redis database by `KILNHAND_PREFIX`; neither touches what is the other's."""

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from tasks.generation import text_to_image
from tests.acceptance.conftest import point_producer_at
from tests.conftest import BARE_ROUTES
from worker.cli.processes.stack import Stack

PREFIX = "two:"


@pytest.fixture
def second(stack: Stack) -> Iterator[Stack]:
    """The stack of the other tests, with one more worker that has a prefix."""
    child = stack.start_worker("worker-two", env={"KILNHAND_PREFIX": PREFIX})
    yield stack
    child.stop(10)


def test_their_rows_results_and_queues_are_apart(
    second: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with redis.Redis.from_url(second.redis_url, decode_responses=True) as client:
        before = set(client.scan_iter("*"))
        monkeypatch.setenv("KILNHAND_PREFIX", PREFIX)
        point_producer_at(second, monkeypatch)
        first = text_to_image.delay(prompt="x", idempotency_key="k")
        assert first.get(timeout=120)["images"]
        bare = Celery("bare", broker=second.redis_url, backend=second.redis_url, set_as_current=False)
        options = {"global_keyprefix": PREFIX}
        bare.conf.update(
            task_routes=BARE_ROUTES, broker_transport_options=options, result_backend_transport_options=options
        )
        sent = bare.send_task("generation.text_to_image", kwargs={"prompt": "y"}, link=bare.signature("their.task"))
        assert sent.get(timeout=120)["images"]
        after = set(client.scan_iter("*"))
        assert {key for key in after - before if not key.startswith(PREFIX)} == set()
        assert client.llen(f"{PREFIX}celery") == 1, "the link waits for the backend"
        del sent
        gc.collect()
        bare.close()

        monkeypatch.delenv("KILNHAND_PREFIX")
        point_producer_at(second, monkeypatch)
        other = text_to_image.delay(prompt="z", idempotency_key="k")
        assert other.get(timeout=120)["images"] and other.id != first.id, "the key of the other installation"
        assert text_to_image.AsyncResult(first.id).state == "PENDING"

    command = [sys.executable, "-m", "worker.cli", "audit", "--json"]
    env = {**second.environment, "KILNHAND_PREFIX": PREFIX}
    said = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, check=False, timeout=60).stdout
    assert json.loads(said)["rows"] == 2, "those of this prefix alone"
