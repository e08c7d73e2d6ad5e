"""Every kind of Redis URL with real servers: broker, results, ledger and `doctor` alike work, or alike do not."""

import asyncio
import gc
import warnings
from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis
from kombu.exceptions import OperationalError

from config.settings import RedisSettings
from tests.address import Address
from tests.certificates import write_certificates
from tests.conftest import RedisServer, point_producer_at
from tests.sentinels import NAME, watched_pair
from worker.cli.commands.doctor_checks import check_redis
from worker.edge.app import app
from worker.edge.queued import QueuedMessages
from worker.edge.sending import producer
from worker.health.base import Policy
from worker.health.redis import open_redis_health
from worker.ledger.dead_messages import open_dead_messages
from worker.ledger.redis import open_redis_ledger
from worker.ledger.scan import ledger_time, scan_rows

# Celery's clients in this process leave sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

USER = ["--user", "kiln", "on", ">p@ss/w", "~*", "&*", "+@all", "--user", "default", "off"]
LOGIN = "kiln:p%40ss%2Fw@"
WORKING = {
    "a server": "redis://127.0.0.1:{open}/3",
    "capitals": "REDIS://127.0.0.1:{open}",
    "a user of an ACL": f"redis://{LOGIN}127.0.0.1:{{closed}}/0",
    "a socket": "unix://{socket}",
    "a socket, as kombu writes it": "redis+socket://{socket}?virtual_host=2",
    "a socket and a user": f"unix://{LOGIN}{{closed_socket}}?db=1",
    "TLS by an authority of our own": "rediss://localhost:{tls}/0?ssl_ca_certs={folder}/ca.pem",
    "TLS and a user": f"rediss://{LOGIN}localhost:{{closed_tls}}/1?ssl_ca_certs={{folder}}/ca.pem&ssl_cert_reqs=CERT_REQUIRED",
    "TLS by a name that is not in it": "rediss://127.0.0.1:{tls}/0?ssl_ca_certs={folder}/ca.pem&ssl_check_hostname=false",
    "TLS without a check": "rediss://127.0.0.1:{tls}/0?ssl_cert_reqs=none",
    "Sentinel": f"sentinel://:of-server@127.0.0.1:{{sentinel}}/2?master_name={NAME}&sentinel_password=of-sentinel",
}  # fmt: skip
FAILING = {
    "TLS by an authority that is not known": "rediss://localhost:{tls}/0",
    "a wrong password": "redis://kiln:hunter@127.0.0.1:{closed}/0",
    "no socket": "unix://{folder}/none.sock",
    "another name of the primary": "sentinel://:of-server@127.0.0.1:{sentinel}/0?master_name=other&sentinel_password=of-sentinel",
}  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """The servers: one open, one with a user, each with a socket and behind TLS; a primary behind a Sentinel."""
    folder = tmp_path_factory.mktemp("servers")
    tls = write_certificates(folder)
    servers = []
    for name, options in (("open", []), ("closed", USER)):
        (folder / name).mkdir()
        servers.append(RedisServer(folder / name, ["--unixsocket", str(folder / f"{name}.sock"), *options]))
        servers[-1].start()
    watched = watched_pair(folder, password="of-server", sentinel_password="of-sentinel")
    with Address(servers[0].port, tls) as first, Address(servers[1].port, tls) as second, watched as (_, _, sentinel):
        ports = {"tls": first.port, "closed_tls": second.port, "sentinel": sentinel.port}
        sockets = {"socket": folder / "open.sock", "closed_socket": folder / "closed.sock"}
        yield {"folder": folder, "open": servers[0].port, "closed": servers[1].port, **ports, **sockets}
    for server in servers:
        server.stop()


@pytest.fixture
def url(request: pytest.FixtureRequest, places: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL, set for this process's producer, and cleared after."""
    text = str(request.param).format(**places)
    point_producer_at({"KILNHAND_REDIS_URL": text}, monkeypatch)
    yield RedisSettings().redis_url
    monkeypatch.undo()
    point_producer_at({}, monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.parametrize("url", WORKING.values(), ids=WORKING, indirect=True)
def test_it_works_in_all_of_them(url: str) -> None:
    send_and_receive("by this URL")
    job_id = str(uuid4())
    app.backend.store_result(job_id, {"by": url}, "SUCCESS")
    assert app.AsyncResult(job_id).get(timeout=120) == {"by": url}
    assert producer().now() > 0
    asyncio.run(use_all_clients(url))
    assert {check.verdict for check in check_redis(RedisSettings())} == {"ok"}


@pytest.mark.parametrize("url", FAILING.values(), ids=FAILING, indirect=True)
def test_it_fails_in_all_of_them(url: str) -> None:
    with pytest.raises((redis.RedisError, OSError, OperationalError)), app.connection_for_write() as connection:
        connection.transport_options |= {"socket_timeout": 3, "max_retries": 1}
        connection.default_channel.client.ping()
    with pytest.raises((redis.RedisError, OSError)):
        app.backend.client.get("a-job")
    with pytest.raises((redis.RedisError, OSError)):
        producer().now()
    with pytest.raises((redis.RedisError, OSError)):
        asyncio.run(use_all_clients(url))
    (check,) = check_redis(RedisSettings())
    assert check.verdict == "broken"
    assert "hunter" not in check.detail and "of-server" not in check.detail


def send_and_receive(text: str) -> None:
    policy = {"max_retries": 0}
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=3)
        queue = connection.SimpleQueue("a-queue", serializer="json")
        queue.producer.publish(text, routing_key="a-queue", retry=False, retry_policy=policy)
        message = queue.get(timeout=120)
        assert message.payload == text
        message.ack()
        queue.close()


async def use_all_clients(url: str) -> None:
    ledger, health, queued = open_redis_ledger(url), open_redis_health(url, Policy()), QueuedMessages(url)
    try:
        assert await ledger.ping() > 0
        assert await ledger.get("nobody") is None
        assert await health.states() == ()
        assert await queued._oldest(queued._redis, "a-queue") is None
        assert await ledger_time(url) > 0
        assert [batch.jobs async for batch in scan_rows(url)] == [()]
    finally:
        for client in (ledger, health, queued):
            await client.aclose()
    dead = open_dead_messages(url)
    assert dead.counts() == {}
    dead.close()
