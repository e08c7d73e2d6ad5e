"""A replica of Redis takes over: workers, ledger, broker and results find it behind the same address, and go on."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from celery.result import ResultSet

from tasks.generation import text_to_image
from tests.acceptance.conftest import Twin, point_producer_at
from tests.address import Address
from tests.conftest import RedisServer, wait_until
from worker.cli.processes.stack import run_stack
from worker.jobs.job import Stage, load_job


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
        wait_until(lambda: twin.count == 21, "the one after the failover was submitted")
        twin.finish()
        results = ResultSet([*jobs, later]).get(timeout=120)
        assert len({result["request_id"] for result in results}) == twin.count == 21
        assert stack["worker"].is_alive, "the worker that began them ended them"


def hand_over(primary: RedisServer, replica: RedisServer, dies: bool) -> None:
    if dies:
        assert primary.process
        primary.process.kill()
        primary.process.wait(120)
        primary.process = None
    with redis.Redis(port=replica.port) as second:
        second.replicaof("NO", "ONE")
    if not dies:
        with redis.Redis(port=primary.port) as first:  # writes that reach it now are refused
            first.replicaof("127.0.0.1", replica.port)


def stages(client: redis.Redis) -> list[Stage]:
    return [load_job(client.hget(key, "doc")).stage for key in client.scan_iter("kilnhand:job:*")]
