"""Webhooks as fal sends them: signed with ED25519, tried again while the answer is not 2xx, delivered at least once.

The key pair is made for each process and published as JWKS. Unlike fal, loopback targets are allowed.
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from twin.fal.job import Job, Outcome
from twin.pace import Pace
from twin.script import Call, Fault, Script, What

FIRST_SECONDS = 15.0
RETRY_SECONDS = 120.0
MAX_ATTEMPTS = 10
MAX_PAUSE = 60.0
AT_ONCE = 64
NOT_SERIALIZABLE = (
    "Response payload is not JSON serializable. Either return a JSON serializable object or use the queue endpoint to "
    "retrieve the response."
)


class Signer:
    """The process's key pair."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()

    @property
    def jwks(self) -> dict[str, Any]:
        """The public key as fal publishes it."""
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}]}

    def headers(self, request_id: str, user_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """Sign a body and return the four headers."""
        lines = (request_id, user_id, str(timestamp), hashlib.sha256(body).hexdigest())
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": user_id,
            "X-Fal-Webhook-Timestamp": str(timestamp),
            "X-Fal-Webhook-Signature": self._key.sign("\n".join(lines).encode()).hex(),
        }


def webhook_body(job: Job, outcome: Outcome, is_unserializable: bool = False) -> dict[str, Any]:
    """Return what a webhook says about an ended job."""
    body: dict[str, Any] = {"request_id": job.request_id, "gateway_request_id": job.request_id}
    if is_unserializable:
        return body | {"status": "OK", "payload": None, "payload_error": NOT_SERIALIZABLE}
    if outcome.is_good:
        return body | {"status": "OK", "payload": outcome.body}
    error = outcome.error or f"Invalid status code: {outcome.status}"
    return body | {"status": "ERROR", "error": error, "payload": outcome.body}


class WebhookSender:
    """Delivers webhooks in tasks of its own, by aiohttp: a webhook costs a third of what it does by httpx."""

    def __init__(self, script: Script, clock: Callable[[], float]) -> None:
        self.signer = Signer()
        self.pace = Pace()
        self._script, self._clock = script, clock
        self._http: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def send(self, job: Job) -> None:
        """Begin to deliver an ended job's webhook; faults on order are settled here."""
        fault = self._script.take(Call.WEBHOOK, job.submission.endpoint)
        copies = {What.LOST: 0, What.TWICE: 2}.get(fault.what, 1) if fault else 1
        for _ in range(copies):
            task = asyncio.get_running_loop().create_task(self._deliver(job, fault))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def clear(self) -> None:
        """Give up everything under way."""
        for task in self._tasks:
            task.cancel()

    async def aclose(self) -> None:
        """Close connections."""
        if self._http:
            await self._http.close()

    async def _deliver(self, job: Job, fault: Fault | None) -> None:
        if job.outcome is None or job.submission.webhook_url is None:
            return
        what = fault.what if fault else None
        if fault and what is What.DELAY:
            await asyncio.sleep(fault.seconds or 0)
        body = json.dumps(webhook_body(job, job.outcome, what is What.PAYLOAD_ERROR)).encode()
        signer = Signer() if what is What.BAD_SIGNATURE else self.signer
        for attempt in range(MAX_ATTEMPTS):
            limit_s = RETRY_SECONDS if attempt else FIRST_SECONDS
            async with self._slots:
                status = await self._post(job, job.submission.webhook_url, body, signer, limit_s)
            job.webhook_statuses.append(status)
            if 200 <= status < 400:
                return
            await asyncio.sleep(min(MAX_PAUSE, self.pace.webhook_backoff_s * 2**attempt))

    async def _post(self, job: Job, url: str, body: bytes, signer: Signer, limit_s: float) -> int:
        """Make one attempt; return the HTTP status, 0 when there was no answer."""
        headers = signer.headers(job.request_id, job.submission.account, int(self._clock()), body)
        self._http = self._http or aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        try:
            async with self._http.post(
                url,
                data=body,
                headers=headers | {"Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(limit_s),
                allow_redirects=False,
            ) as response:
                return response.status
        except (aiohttp.ClientError, OSError, ValueError):  # a TimeoutError is an OSError; a URL may be none
            return 0
