"""The users of Redis that docker-compose.yml makes, tried with a real server: each may do its work, and nothing else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError

from config.settings import Settings
from tasks.generation import text_to_image
from tests.conftest import RedisServer, point_producer_at
from tests.contract.ledger.conftest import job
from tests.unit.deploy.compose_file import environment, read
from tests.unit.gateway.webhook_endpoint import REQUEST
from worker.cli.processes.stack import run_stack
from worker.edge.app import app
from worker.gateway.webhook_signals import WebhookBody, WebhookKind, record_webhook
from worker.health.policy import policy_of
from worker.health.redis import open_redis_health
from worker.health.verdict import GOOD
from worker.jobs.job import Attempt, Stage, Ticket
from worker.ledger.redis import open_redis_ledger

SERVICES = read()["services"]
RESERVED = (
    "kilnhand:job:a",
    "generation",
    "celery-task-meta-a",
    "kilnhand:once:a",
    "kilnhand:dead",
    "_kombu.binding.celery",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server with the users of the file."""
    command = list(map(str, SERVICES["redis"]["command"]))
    found = RedisServer(tmp_path_factory.mktemp("redis-users"), command[command.index("--user") :])
    found.start()
    yield found
    found.stop()


def _url(server: RedisServer, name: str) -> str:
    """The URL of a service, at this server."""
    url = str(environment(SERVICES[name])["KILNHAND_REDIS_URL"])
    assert url.startswith(f"redis://{name}:hunter{name}@redis:6379/")
    return url.replace("redis:6379", f"127.0.0.1:{server.port}")


@pytest.fixture
def clients(server: RedisServer) -> Iterator[dict[str, Any]]:
    found = {name: redis.Redis.from_url(_url(server, name)) for name in ("worker", "gateway", "flower")}
    with redis.Redis.from_url(_url(server, "worker")) as worker:
        for key in worker.scan_iter("*"):
            worker.delete(key)
    yield found
    for client in found.values():
        client.close()


def _denied(call: Any, *arguments: Any) -> None:
    with pytest.raises(NoPermissionError):
        call(*arguments)


def test_without_a_password_only_a_ping_is_answered(server: RedisServer) -> None:
    with redis.Redis(port=server.port) as nobody, pytest.raises(redis.AuthenticationError):
        nobody.get("x")
    with redis.Redis(port=server.port, username="health", password="none") as health:
        assert health.ping()
        _denied(health.get, "kilnhand:job:a")


def test_nobody_empties_or_configures_it(clients: dict[str, Any]) -> None:
    for client in clients.values():
        for call in (client.flushall, client.flushdb, client.shutdown, client.acl_list, client.save):
            _denied(call)
        _denied(client.config_set, "maxmemory", "1mb")
        _denied(client.keys, "*")


async def test_the_gateway_leaves_webhooks_and_reads_health(server: RedisServer, clients: dict[str, Any]) -> None:
    theirs, ours = open_redis_ledger(_url(server, "worker")), open_redis_ledger(_url(server, "gateway"))
    policy = policy_of(Settings().health)
    worker_health = open_redis_health(_url(server, "worker"), policy)
    gateway_health = open_redis_health(_url(server, "gateway"), policy)
    await theirs.accept(job("a"))
    (claim,), _ = await theirs.claim(["generation"], 1, 5)
    attempt = Attempt(1, "fal", "e", 0.0, ticket=Ticket(REQUEST))
    await theirs.release(claim, claim.job.move(Stage.WAITING, attempts=(attempt,)), 60)
    await worker_health.record("fal", "m", GOOD, None)

    assert await ours.ping() > 0
    assert await ours.row("a")
    assert await ours.possible_duplicates() == 0
    assert [state.model for state in await gateway_health.states()] == [None, "m"]
    body = WebhookBody(request_id=REQUEST, status="OK", payload={})
    assert await record_webhook(ours, "a", 1, body, 1.0) is WebhookKind.ACCEPTED
    row = await theirs.row("a")
    assert row and list(row.signals) == ["webhook:1"]
    for each in (theirs, ours, worker_health, gateway_health):
        await each.aclose()


def test_the_gateway_writes_no_key_but_its_own(clients: dict[str, Any]) -> None:
    gateway, worker = clients["gateway"], clients["worker"]
    for key in RESERVED[1:]:
        _denied(gateway.hset, key, "x", "y")
        _denied(gateway.hgetall, key)
        _denied(gateway.zadd, key, {"x": 1})
    for key in RESERVED:
        _denied(gateway.delete, key)
        _denied(gateway.set, key, "x")
        _denied(gateway.lpush, key, "x")
        _denied(gateway.expire, key, 1)
    _denied(gateway.publish, "celery-task-meta-a", "x")
    _denied(gateway.eval, "return redis.call('SET', 'x', 1)", 0)
    load = gateway.script_load("return redis.call('LPUSH', KEYS[1], 'x')")
    _denied(gateway.evalsha, load, 1, "generation")
    load = gateway.script_load("return redis.call('HSET', 'kilnhand:once:x', 'a', 'b')")
    with pytest.raises(redis.ResponseError, match="permission"):
        gateway.evalsha(load, 0)
    _denied(gateway.hset, "kilnhand:health:circuit:fal", "until", 9)
    assert not worker.exists(*RESERVED[1:])


def test_flower_reads_and_controls_but_sends_no_job(clients: dict[str, Any]) -> None:
    flower = clients["flower"]
    clients["worker"].lpush("generation", "a message")
    assert flower.llen("generation") == 1
    assert flower.publish("/0.celery.pidbox", "x") == 0
    assert flower.sadd("_kombu.binding.celeryev", "x")
    for key in ("generation", "celery"):
        _denied(flower.lpush, key, "x")
        _denied(flower.brpop, key, 1)
    _denied(flower.hset, "kilnhand:job:a", "doc", "{}")
    _denied(flower.set, "celery-task-meta-a", "{}")
    with pytest.raises(redis.ResponseError, match="permission"):
        flower.eval("return redis.call('LPUSH', 'generation', 'x')", 0)


def test_only_the_health_check_has_no_password() -> None:
    command = " ".join(map(str, SERVICES["redis"]["command"]))
    assert command.count("nopass") == 1
    assert "--user default off" in command
    assert "--user health" in " ".join(SERVICES["redis"]["healthcheck"]["test"])
    assert Path(__file__).name in (Path(__file__).parents[3] / "docker-compose.yml").read_text()


def test_a_worker_does_its_work_with_its_user(server: RedisServer, clients: dict[str, Any], tmp_path: Path) -> None:
    """A job of the real worker, whose result is waited for over publish/subscribe, and remote control."""
    with pytest.MonkeyPatch.context() as patch:
        names = ("REDIS_URL", "BROKER_URL", "RESULT_BACKEND", "LEDGER_URL")
        env = {f"KILNHAND_{name}": _url(server, "worker") for name in names}
        with run_stack(tmp_path, processes=("twin", "worker"), env=env) as stack:
            point_producer_at(stack.environment, patch)
            job = text_to_image.delay(prompt="x", model="flux-schnell", image_size="square")
            assert job.get(timeout=120)["images"]
            assert app.control.ping(timeout=2)
            assert "NOPERM" not in stack["worker"].log_text()
