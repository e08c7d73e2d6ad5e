"""A worker whose Redis is full: it takes no more messages, loses none, and goes on when there is room."""

import os
import signal
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from tests.conftest import RedisServer, wait_until
from tests.integration.edge.hostile_messages import OWN_TASK, QUEUE
from tests.integration.edge.test_hostile_messages import run_worker


def test_a_worker_outlives_a_full_redis_and_loses_no_message(
    redis_server: RedisServer, redis_url: str, tmp_path: Path
) -> None:
    client: Any = redis.Redis.from_url(redis_url)
    process = run_worker(redis_server, tmp_path)
    log = tmp_path / "worker.log"
    try:
        with Celery("backend", broker=redis_url, backend=redis_url, set_as_current=False) as backend:
            assert backend.send_task(OWN_TASK, args=["ready"], queue=QUEUE).get(timeout=120) == ["ready"]
            os.kill(process.pid, signal.SIGSTOP)
            sent = [backend.send_task(OWN_TASK, args=[number], queue=QUEUE) for number in range(5)]
            client.config_set("maxmemory", "1")
            os.kill(process.pid, signal.SIGCONT)
            wait_until(lambda: b"redis_full" in log.read_bytes(), "the worker has met the full Redis")
            assert process.poll() is None and client.llen(QUEUE) == 4, "it has taken one, and asks for no more"
            client.config_set("maxmemory", "0")
            assert [each.get(timeout=120) for each in sent] == [[0], [1], [2], [3], [4]]
            assert process.poll() is None
    finally:
        client.config_set("maxmemory", "0")
        os.kill(process.pid, signal.SIGCONT)
        process.terminate()
        process.wait(120)
        client.close()
