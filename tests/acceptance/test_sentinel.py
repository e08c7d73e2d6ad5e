"""Behind Sentinel: the primary dies while jobs run, Sentinel elects its replica, and each job ends there, once."""

from pathlib import Path

import pytest
import redis
from celery.result import ResultSet

from tasks.generation import text_to_image
from tests.acceptance.conftest import Twin, point_producer_at
from tests.acceptance.test_failover import stages
from tests.conftest import wait_until
from tests.sentinels import NAME, watched_pair
from worker.cli.processes.ports import free_port
from worker.cli.processes.stack import run_stack
from worker.jobs.job import Stage


def test_jobs_go_on_with_the_elected_primary_and_are_paid_for_once(tmp_path: Path, _patch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stack").mkdir()
    with watched_pair(tmp_path, password="of-server", sentinel_password="of-sentinel") as (primary, replica, sentinel):
        gone = f"127.0.0.1:{free_port()}"  # one of the Sentinels does not answer
        query = f"master_name={NAME}&sentinel_password=of-sentinel"
        url = f"sentinel://:of-server@{gone};127.0.0.1:{sentinel.port}/0?{query}"
        urls = {f"KILNHAND_{name}": url for name in ("REDIS_URL", "BROKER_URL", "RESULT_BACKEND", "LEDGER_URL")}
        with (
            run_stack(tmp_path / "stack", processes=("twin", "worker", "gateway"), env=urls) as stack,
            redis.Redis(port=replica.port, password="of-server") as second,
        ):
            point_producer_at(stack, _patch)
            twin = Twin(stack.twin_url)
            twin.pace(seconds=600, concurrency=100)
            jobs = [text_to_image.delay(prompt=f"job {n}", image_size="square") for n in range(12)]
            wait_until(lambda: stages(second) == [Stage.WAITING] * 12, "the replica knows every ticket")
            assert primary.process
            primary.process.kill()
            primary.process.wait(120)
            primary.process = None
            wait_until(lambda: sentinel.primary() == replica.port, "Sentinel has elected the replica")
            wait_until(lambda: second.info("replication")["role"] == "master", "the replica is the primary")
            later = text_to_image.delay(prompt="after the failover", image_size="square")
            wait_until(lambda: twin.count == 13, "the one after the failover was submitted")
            twin.finish()
            results = ResultSet([*jobs, later]).get(timeout=120)
            assert len({result["request_id"] for result in results}) == twin.count == 13
            assert stack["worker"].is_alive, "the worker that began them ended them"
            assert "of-server" not in stack["worker"].log_text() + stack["gateway"].log_text()
