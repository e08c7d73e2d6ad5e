"""Webhooks over real sockets: a gateway process, a real Redis, and the twin's signer or the whole twin."""

import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.conftest import RedisServer, wait_until
from tests.integration.gateway.conftest import SECRET, Start, address_of, starting
from twin.app import create_app
from twin.fal.webhooks import Signer
from twin.server import in_thread
from worker.health.base import Policy
from worker.health.redis import open_redis_health
from worker.health.verdict import Verdict
from worker.jobs.job import Attempt, Job, Options, Stage, Step, Ticket
from worker.jobs.signals import WebhookReport
from worker.ledger.base import Ledger, Row
from worker.ledger.redis import open_redis_ledger
from worker.net.webhook_url import webhook_url

SIGNER = Signer()
DUE_S = 60.0


@pytest.fixture(scope="module")
def published() -> Iterator[str]:
    """The base URL of a server that only publishes the signer's key."""

    async def keys(_request: Any) -> JSONResponse:
        return JSONResponse(SIGNER.jwks)

    with in_thread(Starlette(routes=[Route("/rest/.well-known/jwks.json", keys)])) as server:
        yield server.url


@pytest.fixture
async def ledger(redis_url: str) -> AsyncIterator[Ledger]:
    ledger = open_redis_ledger(redis_url)
    yield ledger
    await ledger.aclose()


async def put(
    ledger: Ledger, job_id: str, stage: Stage = Stage.WAITING, ticket: str | None = "r-1", attempts: int = 1
) -> None:
    """Write a row at this stage, due in a minute."""
    found = await ledger.get(job_id)
    if found is None:
        step = Step("flux-schnell", {"prompt": "x"}, ())
        await ledger.accept(Job(job_id, "generation.text_to_image", "generation", {}, step, Options(), 0.0))
    else:
        await ledger.signal(job_id, "test")  # due at once, for the claim
    claims, _ = await ledger.claim(["generation"], 100, 8.0)
    (claim,) = [each for each in claims if each.job.id == job_id]
    tried = tuple(Attempt(n, "fal", "fal-ai/flux/schnell", 1.0) for n in range(1, attempts + 1))
    job = replace(claim.job, stage=stage, attempts=tried, ending=Stage.COMPLETED if stage == Stage.CLOSING else None)
    await ledger.release(claim, job.with_attempt(ticket=Ticket(ticket)) if ticket else job, DUE_S)


async def row_of(ledger: Ledger, job_id: str) -> Row:
    row = await ledger.row(job_id)
    assert row
    return row


@dataclass
class Fal:
    """Posts webhooks to this gateway, as fal does."""

    gateway: httpx.Client

    def __post_init__(self) -> None:
        self._before = self._all()

    def url(self, job_id: str = "a", attempt: int = 1) -> str:
        return webhook_url(str(self.gateway.base_url).rstrip("/"), SECRET, "fal", job_id, attempt)

    def post(
        self, job_id: str = "a", attempt: int = 1, request_id: str = "r-1", signer: Signer = SIGNER, **fields: Any
    ) -> tuple[int, str]:
        body = {
            "request_id": request_id,
            "gateway_request_id": request_id,
            "status": "OK",
            "payload": {"seed": 7},
            **fields,
        }
        raw = json.dumps(body).encode()
        headers = signer.headers(request_id, "user-42", int(time.time()), raw)
        answer = self.gateway.post(self.url(job_id, attempt), content=raw, headers=headers)
        reply = answer.json()
        return answer.status_code, reply["heard"] if "heard" in reply else reply["error"]["code"]

    def counts(self) -> dict[str, int]:
        """Webhooks by kind since this object was made."""
        return {
            kind: count for kind, all_of_it in self._all().items() if (count := all_of_it - self._before.get(kind, 0))
        }

    def _all(self) -> dict[str, int]:
        families = text_string_to_metric_families(self.gateway.get("/metrics").text)
        samples = [each for family in families for each in family.samples if each.name == "kilnhand_webhooks_total"]
        return {each.labels["kind"]: int(each.value) for each in samples if each.value}


@pytest.fixture(scope="module")
def _fal(folder: Path, redis_server: RedisServer, published: str) -> Iterator[httpx.Client]:
    with (
        starting(folder, redis_server.url) as begin,
        httpx.Client(base_url=address_of(begin(KILNHAND_FAL_BASE_URL=published)), trust_env=False) as client,
    ):
        yield client


@pytest.fixture
def fal(_fal: httpx.Client, redis_url: str) -> Fal:
    """The module's gateway, over an empty Redis."""
    return Fal(_fal)


async def test_metrics_show_the_health_of_providers_from_redis(fal: Fal, redis_url: str) -> None:
    health = open_redis_health(redis_url, Policy())
    await health.record("fal", "fal-ai/flux/schnell", Verdict("locked"), None)
    await health.aclose()
    lines = {'kilnhand_circuit{provider="fal"} 2.0', 'kilnhand_provider_alert{cause="locked",provider="fal"} 1.0'}
    wait_until(lambda: lines <= set(fal.gateway.get("/metrics").text.splitlines()), "the page is read anew")


async def test_a_genuine_webhook_makes_its_row_due_and_stays_on_it(ledger: Ledger, fal: Fal) -> None:
    await put(ledger, "a")
    now = await ledger.ping()
    assert ((await row_of(ledger, "a")).due_at or 0) > now + DUE_S / 2
    assert fal.post() == (200, "accepted")
    row = await row_of(ledger, "a")
    assert (row.due_at or 0) <= await ledger.ping()
    report = WebhookReport.load(row.signals["webhook:1"])
    assert (report.request_id, report.status, report.payload) == ("r-1", "OK", {"seed": 7})
    assert abs(report.at - now) < 10
    (claim,), _ = await ledger.claim(["generation"], 10, 8.0)
    assert claim.signals["webhook:1"] == row.signals["webhook:1"]


async def test_duplicate_late_stale_and_foreign_webhooks_change_nothing(ledger: Ledger, fal: Fal) -> None:
    await put(ledger, "a")
    await put(ledger, "fetched", Stage.FETCHED)
    await put(ledger, "closing", Stage.CLOSING)
    await put(ledger, "second", Stage.WAITING, "r-2", attempts=2)
    assert fal.post() == (200, "accepted")
    before = [await row_of(ledger, job) for job in ("a", "fetched", "closing", "second")]
    assert fal.post() == fal.post(status="ERROR", error="late word") == (200, "duplicate")
    assert fal.post("fetched") == (200, "duplicate")
    assert fal.post("closing") == (200, "late")
    assert fal.post("second") == (200, "stale")
    assert fal.post("second", attempt=2) == (200, "mismatch")
    assert fal.post("second", attempt=3) == fal.post("nobody") == (200, "unknown_job")
    assert fal.post("second", attempt=2, request_id="r-2", signer=Signer()) == (401, "forged")
    assert [await row_of(ledger, job) for job in ("a", "fetched", "closing", "second")] == before
    assert await ledger.row("nobody") is None
    assert fal.counts() == {
        "accepted": 1, "duplicate": 3, "late": 1, "stale": 1, "mismatch": 1, "unknown_job": 2, "forged": 1,
    }  # fmt: skip


async def test_webhooks_out_of_order_count_only_for_the_current_attempt(ledger: Ledger, fal: Fal) -> None:
    await put(ledger, "a", Stage.SUBMITTING, None, attempts=2)
    assert fal.post(attempt=2, request_id="r-2") == (200, "accepted"), "it came before the answer to the submit"
    assert fal.post(attempt=1, request_id="r-1") == (200, "stale")
    await put(ledger, "a", Stage.WAITING, "r-2", attempts=2)
    assert fal.post(attempt=2, request_id="r-2") == (200, "duplicate")
    signals = (await row_of(ledger, "a")).signals
    assert [name for name in signals if name.startswith("webhook:")] == ["webhook:2"]


@pytest.mark.parametrize("job_id", ["a/b", "/a//b/", "two words", "späte Füchse 狐", "50%2F?x=1#y", "a\nb", "a+b;c:d"])
async def test_a_job_id_may_contain_any_character(ledger: Ledger, fal: Fal, job_id: str) -> None:
    await put(ledger, job_id)
    assert fal.post(job_id) == (200, "accepted")
    assert list((await row_of(ledger, job_id)).signals) == ["webhook:1"]


async def test_a_webhook_during_a_redis_outage_is_accepted_when_fal_retries(
    tmp_path: Path, start: Start, published: str
) -> None:
    server = RedisServer(tmp_path)
    server.start()
    ledger = open_redis_ledger(server.url)
    try:
        await put(ledger, "a")
        process = start(KILNHAND_FAL_BASE_URL=published, KILNHAND_REDIS_URL=server.url)
        with httpx.Client(base_url=address_of(process), trust_env=False, timeout=20) as client:
            fal = Fal(client)
            server.stop()
            assert fal.post() == (503, "failed")
            server.start()
            assert (await row_of(ledger, "a")).signals == {}
            assert fal.post() == (200, "accepted")
            assert fal.counts() == {"failed": 1, "accepted": 1}
            assert list((await row_of(ledger, "a")).signals) == ["webhook:1"]
    finally:
        await ledger.aclose()
        server.stop()


async def test_the_twins_webhook_reports_a_submission_whose_answer_was_lost(ledger: Ledger, start: Start) -> None:
    await put(ledger, "lost", Stage.UNKNOWN, None)
    await put(ledger, "forged", Stage.UNKNOWN, None)
    before = await row_of(ledger, "forged")
    with in_thread(create_app()) as twin, httpx.Client(base_url=twin.url, trust_env=False) as client:
        gateway = address_of(start(KILNHAND_FAL_BASE_URL=twin.url))
        client.post(
            "/_twin/pace", json={"seconds": 0.02, "queue_seconds": 0.0, "webhook_backoff_s": 0.02}
        ).raise_for_status()

        def ended(job_id: str) -> dict[str, Any]:
            params = {"fal_webhook": webhook_url(gateway, SECRET, "fal", job_id, 1)}
            client.post(
                "/queue/fal-ai/flux/schnell", json={"prompt": "x"}, params=params, headers={"authorization": "Key a:b"}
            )
            return dict(
                wait_until(
                    lambda: [r for r in requests(client, params["fal_webhook"]) if r["webhook_statuses"]],
                    "the webhook is answered",
                )[0]
            )

        request = ended("lost")
        report = WebhookReport.load((await row_of(ledger, "lost")).signals["webhook:1"])
        assert request["webhook_statuses"] == [200]
        assert (report.request_id, report.status) == (request["request_id"], "OK")
        assert report.payload is not None and report.payload["images"]
        fault = {"call": "webhook", "what": "bad_signature"}
        client.post("/_twin/script", json=fault).raise_for_status()
        assert ended("forged")["webhook_statuses"][0] == 401
        assert await row_of(ledger, "forged") == before


def requests(client: httpx.Client, url: str) -> list[dict[str, Any]]:
    return [each for each in client.get("/_twin/requests").json()["requests"] if each["webhook_url"] == url]


def test_reading_a_huge_body_stops_long_before_its_end(fal: Fal) -> None:
    url, headers = urlsplit(fal.url()), SIGNER.headers("r-1", "user-42", int(time.time()), b"")
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    sent, piece = 0, b"10000\r\n" + b" " * (1 << 16) + b"\r\n"
    with socket.create_connection((url.hostname, url.port), timeout=20) as connection:  # type: ignore[arg-type]
        connection.sendall(f"POST {url.path} HTTP/1.1\r\nhost: x\r\n{head}transfer-encoding: chunked\r\n\r\n".encode())
        while sent < 1 << 28:
            try:
                connection.sendall(piece)
            except OSError:
                break
            sent += 1 << 16
    assert sent < 1 << 26, f"{sent} bytes were read"
    assert fal.counts() == {"too_large": 1}


def test_a_body_with_a_too_large_content_length_is_refused_at_once(fal: Fal) -> None:
    headers = {**SIGNER.headers("r-1", "user-42", int(time.time()), b""), "content-length": str(5 << 20)}
    url = urlsplit(fal.url())
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection((url.hostname, url.port), timeout=60) as connection:  # type: ignore[arg-type]
        connection.sendall(f"POST {url.path} HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_without_a_secret_there_is_no_endpoint_and_webhooks_on_fails_with_a_message(start: Start, folder: Path) -> None:
    bucket = {"KILNHAND_STORE_URL": "s3://bucket/prefix", "KILNHAND_SECRET": ""}
    without_webhooks = start(**bucket)
    with httpx.Client(base_url=address_of(without_webhooks), trust_env=False) as client:
        assert client.post(urlsplit(Fal(client).url()).path).status_code == 404
    process = start(**bucket, KILNHAND_WEBHOOKS="on")
    _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "KILNHAND_WEBHOOKS is on, but KILNHAND_SECRET is not set" in err


def test_with_webhooks_off_there_is_no_endpoint(start: Start, published: str) -> None:
    with httpx.Client(base_url=address_of(start(KILNHAND_WEBHOOKS="off")), trust_env=False) as client:
        assert client.post(urlsplit(Fal(client).url()).path).status_code == 404
