"""A replica of Redis takes over: workers, ledger, broker and results find it behind the same address, and go on."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery.result import ResultSet

from tasks.generation import text_to_image
from tests.acceptance.conftest import Twin, point_producer_at
from tests.conftest import RedisServer, wait_until
from worker.cli.processes.stack import run_stack
from worker.jobs.job import Stage, load_job


class Address:
    """A port that leads to one server, and from some moment on to another: what a name in DNS, or a proxy, does."""

    def __init__(self, port: int) -> None:
        self.target, self._open = port, set[asyncio.StreamWriter]()
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> "Address":
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        serving = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self._server = serving.result(5)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def variables(self) -> dict[str, str]:
        return {f"KILNHAND_{name}": self.url for name in ("REDIS_URL", "BROKER_URL", "RESULT_BACKEND", "LEDGER_URL")}

    def leads_to(self, port: int) -> None:
        """Whoever was connected has to connect again."""
        self.target = port
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result(5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._open |= {writer, there[1]}
        await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()
        self._open.discard(sink)

    async def _drop(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        await self._drop()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.wait(rest, timeout=2) if rest else None


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A primary and its replica, in step."""
    servers = []
    for name in ("primary", "replica"):
        (tmp_path / name).mkdir()
        servers.append(RedisServer(tmp_path / name))
        servers[-1].start()
    with redis.Redis(port=servers[1].port) as replica:
        replica.replicaof("127.0.0.1", servers[0].port)
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up", "the replica is in step")
    yield servers[0], servers[1]
    for server in servers:
        server.stop()


@pytest.mark.parametrize("how", ["the primary dies", "the primary hands over"])
def test_jobs_in_flight_go_on_with_the_replica_and_are_paid_for_once(
    pair: tuple[RedisServer, RedisServer], tmp_path: Path, _patch: pytest.MonkeyPatch, how: str
) -> None:
    primary, replica = pair
    (tmp_path / "stack").mkdir()
    with (
        Address(primary.port) as address,
        run_stack(tmp_path / "stack", processes=("twin", "worker"), env=address.variables()) as stack,
        redis.Redis(port=replica.port) as second,
    ):
        point_producer_at(stack, _patch)
        twin = Twin(stack.twin_url)
        twin.pace(seconds=600, concurrency=100)
        jobs = [text_to_image.delay(prompt=f"job {n}", image_size="square") for n in range(20)]
        wait_until(lambda: stages(second) == [Stage.WAITING] * 20, "the replica knows every ticket")
        hand_over(primary, replica, dies=how == "the primary dies")
        # Until the name leads to the new one, the old one answers that it is a replica, or not at all.
        wait_until(lambda: "claim_failed" in stack["worker"].log_text(), "the worker has noticed")
        address.leads_to(replica.port)
        later = text_to_image.delay(prompt="after the failover", image_size="square")
        # Celery pauses for 2, 4, 6 … seconds between its tries to connect, and a message that it took meanwhile comes again.
        wait_until(lambda: twin.count == 21, "the one after the failover was submitted", timeout_s=60)
        twin.finish()
        results = ResultSet([*jobs, later]).get(timeout=60)
        assert len({result["request_id"] for result in results}) == twin.count == 21
        assert stack["worker"].is_alive, "the worker that began them ended them"


def hand_over(primary: RedisServer, replica: RedisServer, dies: bool) -> None:
    if dies:
        assert primary.process
        primary.process.kill()
        primary.process.wait(10)
        primary.process = None
    with redis.Redis(port=replica.port) as second:
        second.replicaof("NO", "ONE")
    if not dies:
        with redis.Redis(port=primary.port) as first:  # writes that reach it now are refused
            first.replicaof("127.0.0.1", replica.port)


def stages(client: redis.Redis) -> list[Stage]:
    return [load_job(client.hget(key, "doc")).stage for key in client.scan_iter("kilnhand:job:*")]
