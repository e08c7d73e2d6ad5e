"""The webhook endpoint in this process: a ledger in memory, published keys, and a clock that the test sets."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette

from worker.gateway.jwks import Jwks
from worker.gateway.metrics import MetricsPage, metrics_routes
from worker.gateway.webhooks import WebhookReceiver, webhook_routes
from worker.health.base import Policy
from worker.health.memory import MemoryHealth
from worker.health.metrics import Metrics
from worker.jobs.job import Attempt, ErrorRecord, Job, Options, Piece, Stage, Step, Ticket
from worker.ledger.base import Row
from worker.ledger.memory import MemoryLedger
from worker.net.webhook_url import webhook_url

FIXTURE = json.loads((Path(__file__).parents[2] / "fixtures/fal_webhooks.json").read_text(encoding="utf-8"))
KEYS, WEBHOOKS = FIXTURE["keys"], FIXTURE["webhooks"]
SIGNED_AT = 1767225600.0
REQUEST, OTHER = "80e732af-660e-45cd-bd63-580e4f2a94cc", "1f0c9b52-7d41-4c6e-9a55-0f2d6f1f6a10"
SECRET = "a secret of the tests"
JOB = "job-7"


def jwk(x: Any, **more: Any) -> dict[str, Any]:
    return {"kty": "OKP", "crv": "Ed25519", "x": x, **more}


def headers_of(name: str) -> dict[str, str]:
    webhook = WEBHOOKS[name]
    return {
        "X-Fal-Webhook-Request-Id": webhook["request_id"],
        "X-Fal-Webhook-User-Id": webhook["user_id"],
        "X-Fal-Webhook-Timestamp": webhook["timestamp"],
        "X-Fal-Webhook-Signature": webhook["signature"],
    }


class KeyServer(httpx.AsyncBaseTransport):
    """Publishes keys, or gives the answer that a test sets, and counts the requests."""

    def __init__(self) -> None:
        self.keys: list[Any] = [jwk(KEYS["first"])]
        self.answer: httpx.Response | Exception | None = None
        self.fetches = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.fetches += 1
        assert request.headers["accept-encoding"] == "identity", "compressed data could grow beyond the limit"
        await asyncio.sleep(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        answer = self.answer or httpx.Response(200, json={"keys": self.keys})
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content))


class WebhookEndpoint:
    """The application and everything that it needs."""

    def __init__(self) -> None:
        self.now = SIGNED_AT
        self.uptime = 50.0
        self.ledger = MemoryLedger(lambda: self.now)
        self.key_server = KeyServer()
        jwks = Jwks(
            "https://keys.example.com/jwks.json", httpx.AsyncClient(transport=self.key_server), lambda: self.uptime
        )
        metrics = Metrics()
        self.receiver = WebhookReceiver((SECRET,), self.ledger, jwks, metrics, lambda: self.now)
        health = MemoryHealth(lambda: self.now, Policy())
        page = MetricsPage(metrics, health.states, {"kilnhand_possible_duplicates": self.ledger.possible_duplicates})
        self.app = Starlette(routes=[*webhook_routes(self.receiver), *metrics_routes(page)])
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://gateway")

    def advance(self, seconds: float) -> None:
        """Let time pass for the keys, but not for the signatures: they were made at a fixed time."""
        self.uptime += seconds

    async def add(
        self,
        job_id: str = JOB,
        stage: Stage = Stage.WAITING,
        ticket: str | None = REQUEST,
        attempts: int = 1,
        refused: bool = False,
    ) -> None:
        """Add a row at this stage, due in a minute. `refused`: fal answered the first attempt with an error."""
        step = Step("flux-schnell", {"prompt": "x"}, (Piece("images", "image", "images.*"),))
        job = Job(job_id, "generation.text_to_image", "generation", {}, step, Options(), 0.0)
        _, job = await self.ledger.accept(job)
        tried = tuple(
            Attempt(n, "fal", "fal-ai/flux/schnell", self.now, ended_at=self.now if n < attempts else None)
            for n in range(1, attempts + 1)
        )
        ending = {Stage.CLOSING: Stage.COMPLETED, Stage.FAILED: Stage.FAILED, Stage.COMPLETED: Stage.COMPLETED}.get(
            stage
        )
        job = replace(job, stage=stage, attempts=tried, ending=ending)
        if refused:
            error = ErrorRecord("rate_limited", "too many", "fal", 429)
            job = replace(job, attempts=(replace(tried[0], ended_at=self.now, error=error), *tried[1:]))
        if ticket and tried:
            job = job.with_attempt(ticket=Ticket(ticket))
        row = self.ledger.rows[job_id]
        row.job, row.due = job, self.now + 60

    async def row(self, job_id: str = JOB) -> Row:
        row = await self.ledger.row(job_id)
        assert row
        return row

    def url(self, job_id: str = JOB, attempt: int = 1) -> str:
        return webhook_url("http://gateway", SECRET, "fal", job_id, attempt)

    async def post(
        self,
        name: str = "ok",
        url: str | None = None,
        body: bytes | AsyncIterator[bytes] | None = None,
        **changes: str | None,
    ) -> httpx.Response:
        """Post a signed webhook, with another URL, body or headers (by keyword; None removes one)."""
        headers: dict[str, str | None] = {**headers_of(name)}
        headers |= {f"X-Fal-Webhook-{key.replace('_', '-').title()}": value for key, value in changes.items()}
        content = WEBHOOKS[name]["body"].encode() if body is None else body
        sent = {key: value for key, value in headers.items() if value is not None}
        return await self.http.post(url or self.url(), content=content, headers=sent)

    async def counts(self) -> dict[str, int]:
        """The counts in /metrics, without the zeros."""
        answer = await self.http.get("/metrics")
        samples = [each for family in text_string_to_metric_families(answer.text) for each in family.samples]
        return {s.labels["kind"]: int(s.value) for s in samples if s.name == "kilnhand_webhooks_total" and s.value}
