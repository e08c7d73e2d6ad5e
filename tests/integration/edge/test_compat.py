"""A Redis outage with celery 5.7.0 and kombu 5.7.0: `worker.edge.compat` is needed for these versions."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import celery
import kombu
import kombu.transport.redis as transport
import pytest

from tests.conftest import RedisServer, wait_until
from worker.edge.compat import NEEDED_FOR, SurvivingQoS


def test_the_versions_are_still_those_that_need_it() -> None:
    assert (celery.__version__, kombu.__version__) == NEEDED_FOR, (
        "try the test below with OUTAGE_COMPAT=no on these versions: if the worker survives, delete worker/edge/compat.py"
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()


def worker(server: RedisServer, folder: Path, compat: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "OUTAGE_REDIS_URL": server.url,
        "OUTAGE_COMPAT": compat,
        "OUTAGE_MARK": str(folder / "held"),
    }
    command = [sys.executable, "-m", "celery", "-A", "tests.integration.edge.outage_app", "worker", "--pool", "threads",
               "--concurrency", "2", "--without-mingle", "--without-gossip"]  # fmt: skip
    with (folder / "worker.log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def send(server: RedisServer, name: str, *args: object) -> None:
    with celery.Celery("x", broker=server.url, set_as_current=False) as app:
        app.send_task(name, args=args, ignore_result=True)


@pytest.mark.parametrize(("compat", "lives"), [("yes", True), ("no", False)])
def test_a_worker_with_an_unacknowledged_message_outlives_an_outage_only_with_it(
    server: RedisServer, tmp_path: Path, compat: str, lives: bool
) -> None:
    process = worker(server, tmp_path, compat)
    try:
        send(server, "hold", 4)
        wait_until((tmp_path / "held").exists, "the message is held")
        server.stop()
        wait_until(lambda: b"Connection to broker lost" in (tmp_path / "worker.log").read_bytes(), "the loss was seen")
        server.start()
        if lives:
            send(server, "touch", str(tmp_path / "works"))
            wait_until((tmp_path / "works").exists, "the worker works again")
            assert process.poll() is None
        else:
            assert process.wait(120) != 0
            assert b"'NoneType' object has no attribute 'hostname'" in (tmp_path / "worker.log").read_bytes()
    finally:
        process.kill()
        process.wait(120)


@pytest.mark.parametrize("call", ["ack_log_error", "reject_log_error"])
def test_a_message_of_a_connection_that_is_gone_does_not_end_the_worker(
    server: RedisServer, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport.Channel, "QoS", SurvivingQoS)
    send(server, "hold", 4)
    with celery.Celery("y", broker=server.url, set_as_current=False) as app:
        connection = app.connection_for_read()
        channel = connection.channel()
        message = connection.SimpleQueue("celery", channel=channel).get(timeout=120)
        channel.connection.client = None  # as kombu leaves it when it closes a broken connection
        errors = list[object]()
        logger = SimpleNamespace(critical=lambda *args, **_: errors.append(args))
        getattr(message, call)(logger, connection.connection_errors)
        channel.qos.restore_unacked()  # or kombu does it when the process ends
    assert len(errors) == 1 and not message.acknowledged
