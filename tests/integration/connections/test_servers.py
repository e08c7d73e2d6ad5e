"""A server that kilnhand cannot work with is refused at every start, by one sentence: old ones, cluster nodes, Sentinels."""

import contextlib
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from config.settings import RedisSettings, Settings
from tests.conftest import RedisServer, point_producer_at
from worker.cli.commands.doctor_checks import check_redis
from worker.cli.commands.serve import run_worker
from worker.cli.commands.up import up
from worker.cli.errors import CliError
from worker.cli.processes.ports import free_port
from worker.cli.processes.up_plan import Ports
from worker.cli.redis_errors import report_redis_errors
from worker.edge.consumer import SafeConsumer
from worker.edge.sending import producer
from worker.edge.steps import DispatcherStep
from worker.gateway.serve import serve
from worker.net.redis_server import UnusableRedisError, require_usable


class Hello(socketserver.StreamRequestHandler):
    """Answers HELLO as a server of some version, and OK to everything else that a client says first."""

    answer = b""

    def handle(self) -> None:
        while count := self.rfile.readline():
            words = [self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2] for _ in range(int(count[1:]))]
            self.wfile.write(self.answer if words[0].upper() == b"HELLO" else b"+OK\r\n")


@contextlib.contextmanager
def server_that_says(answer: bytes) -> Iterator[str]:
    handler = type("Answer", (Hello,), {"answer": answer})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield f"redis://:hunter@127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()


def version(text: str) -> bytes:
    """What a server of this version says, as Redis 6.2.14 does."""
    pairs = {"server": "redis", "version": text, "mode": "standalone", "role": "master"}
    words = b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for pair in pairs.items() for word in pair)
    return b"%%%d\r\n" % len(pairs) + words


@pytest.fixture(scope="module")
def cluster_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = RedisServer(tmp_path_factory.mktemp("cluster"), ["--cluster-enabled", "yes"])
    server.start()
    yield server.url
    server.stop()


def test_a_node_of_a_cluster_is_refused(cluster_node: str) -> None:
    with pytest.raises(UnusableRedisError, match=r"the Redis at 127\.0\.0\.1:\d+ is a node of a cluster"):
        require_usable([cluster_node])


def test_a_sentinel_without_its_scheme_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sentinel.conf").write_text("")
    server = RedisServer(tmp_path, ["--sentinel"])
    server.config = (str(tmp_path / "sentinel.conf"),)
    server.start()
    with pytest.raises(UnusableRedisError, match=r"is a Sentinel\. Write sentinel://"):
        require_usable([server.url])
    server.stop()


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (version("6.2.14"), r"is Redis 6\.2\.14\. kilnhand needs Redis 7 or newer"),
        (b"-ERR unknown command `HELLO`\r\n", "is older than Redis 6.2"),
        (version("7.0.0"), None),
        (version("10.1"), None),
        (version("unstable"), None),
        (b"-NOPERM this user has no permissions to run the 'hello' command\r\n", None),
    ],
    ids=["6.2", "5", "7.0", "10.1", "unstable", "no right to ask"],
)
def test_a_server_older_than_7_is_refused_with_its_version(answer: bytes, refused: str | None) -> None:
    with server_that_says(answer) as url:
        if refused is None:
            require_usable([url])
            return
        with pytest.raises(UnusableRedisError, match=refused) as error:
            require_usable([url])
        assert "hunter" not in str(error.value)


def test_one_that_does_not_answer_is_not_refused() -> None:
    require_usable([f"redis://127.0.0.1:{free_port()}/0", "unix:///not/there.sock"])


def test_every_start_refuses_it(
    cluster_node: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """Also where only the ledger is such a server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KILNHAND_SECRET", "9f8e1c40aa53b7d2")
    gone = f"redis://127.0.0.1:{free_port()}/0"
    point_producer_at({"KILNHAND_REDIS_URL": gone, "KILNHAND_LEDGER_URL": cluster_node}, monkeypatch)
    why, settings = "is a node of a cluster", Settings()
    worker = SimpleNamespace(pool_cls=SimpleNamespace(__module__="celery.concurrency.thread"))
    starts = {
        "kilnhand worker": (CliError, lambda: run_worker([])),
        "celery worker": (UnusableRedisError, lambda: DispatcherStep(worker).start(worker)),
        "a worker whose Redis comes later": (UnusableRedisError, lambda: _connect(monkeypatch)),
        "gateway": (SystemExit, lambda: serve(settings)),
        "kilnhand up": (CliError, lambda: up(Ports(), demo=False, once=False)),
        "a producer": (UnusableRedisError, producer),
        "another command": (CliError, _command),
    }
    for name, (error, start) in starts.items():
        with subtests.test(name), pytest.raises(error, match=why):
            start()
    with subtests.test("doctor"):
        assert [why in check.detail for check in check_redis(RedisSettings()) if "ledger" in check.name] == [True]
    monkeypatch.undo()
    point_producer_at({}, monkeypatch)


def _connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("celery.worker.consumer.Consumer.connect", lambda self: "connection")
    SafeConsumer.connect(SafeConsumer.__new__(SafeConsumer))


def _command() -> None:
    with report_redis_errors("the job was not sent"):
        producer()
