"""Sends webhooks as fal does: signed with ED25519, retried until the answer is 2xx, delivered at least once.

As described at https://fal.ai/docs/documentation/model-apis/inference/webhooks: a 3xx is a failure for good, and there
is no other try after the 31st one, or once the result has expired.

Each process makes a key pair and publishes it as JWKS. Unlike fal, the twin allows loopback targets.
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

from twin.fal.expiry import has_expired
from twin.fal.job import Job, Outcome
from twin.pace import Pace
from twin.script import Call, Fault, FaultKind, Script

FIRST_SECONDS = 15.0
RETRY_SECONDS = 120.0
MAX_ATTEMPTS = 31
MAX_PAUSE = 60.0
MAX_CONCURRENT_POSTS = 64
NOT_SERIALIZABLE = (
    "Response payload is not JSON serializable. Either return a JSON serializable object or use the queue endpoint to "
    "retrieve the response."
)


class Signer:
    """A key pair that signs webhooks."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()

    @property
    def jwks(self) -> dict[str, Any]:
        """The public key as fal publishes it."""
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(raw).rstrip(b"=").decode()}]}

    def headers(self, request_id: str, user_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """Return the four headers of a signed body."""
        lines = (request_id, user_id, str(timestamp), hashlib.sha256(body).hexdigest())
        return {
            "X-Fal-Webhook-Request-Id": request_id,
            "X-Fal-Webhook-User-Id": user_id,
            "X-Fal-Webhook-Timestamp": str(timestamp),
            "X-Fal-Webhook-Signature": self._key.sign("\n".join(lines).encode()).hex(),
        }


def webhook_body(job: Job, outcome: Outcome, is_unserializable: bool = False) -> dict[str, Any]:
    """Return the body of the webhook of an ended job."""
    body: dict[str, Any] = {"request_id": job.request_id, "gateway_request_id": job.request_id}
    if is_unserializable:
        return body | {"status": "OK", "payload": None, "payload_error": NOT_SERIALIZABLE}
    if outcome.is_good:
        return body | {"status": "OK", "payload": outcome.body}
    error = outcome.error or f"Invalid status code: {outcome.status}"
    return body | {"status": "ERROR", "error": error, "payload": outcome.body}


class WebhookSender:
    """Delivers webhooks in background tasks. Uses aiohttp, which costs a third of httpx for a webhook."""

    def __init__(self, script: Script, clock: Callable[[], float]) -> None:
        self.signer = Signer()
        self.pace = Pace()
        self._script, self._clock = script, clock
        self._http: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_POSTS)

    def send(self, job: Job) -> None:
        """Start the delivery of an ended job's webhook, with the script's fault for it."""
        fault = self._script.take(Call.WEBHOOK, job.submission.endpoint)
        copies = {FaultKind.LOST: 0, FaultKind.TWICE: 2}.get(fault.what, 1) if fault else 1
        for _ in range(copies):
            task = asyncio.get_running_loop().create_task(self._deliver(job, fault))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def clear(self) -> None:
        """Cancel all deliveries."""
        for task in self._tasks:
            task.cancel()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._http:
            await self._http.close()

    async def _deliver(self, job: Job, fault: Fault | None) -> None:
        if job.outcome is None or job.submission.webhook_url is None:
            return
        what = fault.what if fault else None
        if fault and what is FaultKind.DELAY:
            await asyncio.sleep(fault.seconds or 0)
        body = json.dumps(webhook_body(job, job.outcome, what is FaultKind.PAYLOAD_ERROR)).encode()
        signer = Signer() if what is FaultKind.BAD_SIGNATURE else self.signer
        for attempt in range(MAX_ATTEMPTS):
            limit_s = RETRY_SECONDS if attempt else FIRST_SECONDS
            async with self._slots:
                status = await self._post(job, job.submission.webhook_url, body, signer, limit_s)
            job.webhook_statuses.append(status)
            if 200 <= status < 400:  # delivered, or refused for good
                return
            await asyncio.sleep(min(MAX_PAUSE, self.pace.webhook_backoff_s * 2**attempt))
            if has_expired(job, self._clock(), self.pace):
                return

    async def _post(self, job: Job, url: str, body: bytes, signer: Signer, limit_s: float) -> int:
        """Make one attempt; return the HTTP status, 0 if there was no answer."""
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
        except (aiohttp.ClientError, OSError, ValueError):  # TimeoutError is an OSError; an invalid URL is a ValueError
            return 0
