"""Receives fal's webhooks: checks token, signature and time, stores the webhook on its row, and answers at once.

The cheap checks come first: token, headers, size, then the signature, and the ledger last. `webhook_signals` classifies
the webhook against its row; a worker acts on it later.

fal retries for an hour on every status but 2xx and 3xx. So the status is 200 where a retry cannot change the result (a
mismatch, for example), 503 where it can, and 4xx for requests that fal did not send.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from worker.gateway.jwks import Jwks, JwksUnavailableError
from worker.gateway.signature import WebhookSignature
from worker.gateway.webhook_signals import WebhookBody, WebhookKind, record_webhook
from worker.health.metrics import Metrics
from worker.ledger.base import Ledger, UnreadableRowError
from worker.net.answer import LARGE_BYTES
from worker.net.answer_json import AnswerTooLargeError, clean_json, read_json
from worker.net.webhook_url import attempt_of

log = structlog.get_logger(__name__)

MAX_BYTES = 4 << 20
_READ_S = 10.0  # fal waits 15 s for the first answer
_LEDGER_S = 5.0
_PROVIDER = "fal"
_LENGTH = re.compile(r"[0-9]{1,20}", re.ASCII)

_STATUS: Mapping[WebhookKind, int] = {
    WebhookKind.ACCEPTED: 200,
    WebhookKind.DUPLICATE: 200,
    WebhookKind.LATE: 200,
    WebhookKind.STALE: 200,
    WebhookKind.UNKNOWN_JOB: 200,
    WebhookKind.MISMATCH: 200,
    WebhookKind.WRONG_TOKEN: 403,
    WebhookKind.FORGED: 401,
    WebhookKind.EXPIRED: 401,
    WebhookKind.MALFORMED: 400,
    WebhookKind.TOO_LARGE: 413,
    WebhookKind.FAILED: 503,
}
_REFUSED = frozenset({kind for kind, status in _STATUS.items() if status != 200} | {WebhookKind.MISMATCH})


class _AnyText(PathConvertor):
    """A job's id. The caller chooses it, so it may contain any character, also line breaks and slashes."""

    regex = "(?s:.+)"


register_url_convertor("anytext", _AnyText())


class _RefusedError(Exception):
    def __init__(self, kind: WebhookKind) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True)
class WebhookReceiver:
    """Handles webhook requests."""

    secrets: Sequence[str]  # that are accepted
    ledger: Ledger
    jwks: Jwks
    metrics: Metrics
    clock: Callable[[], float]  # seconds since the epoch

    async def answer(self, request: Request) -> JSONResponse:
        """Handle one webhook: every request is answered and counted, and signals at most one row."""
        job_id, token = request.path_params["job"], request.path_params["token"]
        error = None
        try:
            kind = await self._receive(request, job_id, token)
        except _RefusedError as refused:
            kind = refused.kind
        except (RedisError, OSError, JwksUnavailableError, UnreadableRowError) as caught:
            kind, error = WebhookKind.FAILED, type(caught).__name__
        self.metrics.webhooks.labels(_PROVIDER, kind).inc()
        if kind in _REFUSED:
            log.warning("webhook_refused", kind=kind, job=job_id[:100], error=error)
        else:
            log.debug("webhook_heard", kind=kind, job=job_id[:100])
        return _response(kind)

    async def _receive(self, request: Request, job_id: str, token: str) -> WebhookKind:
        attempts = (attempt_of(secret, _PROVIDER, job_id, token) for secret in self.secrets)
        attempt = next((each for each in attempts if each is not None), None)
        if attempt is None:
            raise _RefusedError(WebhookKind.WRONG_TOKEN)
        signed = WebhookSignature.of(request.headers)
        if signed is None:
            raise _RefusedError(WebhookKind.FORGED)
        if not signed.is_timely(self.clock()):
            raise _RefusedError(WebhookKind.EXPIRED)
        body = await _read_body(request)
        if not await self._is_genuine(signed, body):
            raise _RefusedError(WebhookKind.FORGED)
        is_large = len(body) >= LARGE_BYTES
        parsed = await asyncio.to_thread(_parse_body, signed, body) if is_large else _parse_body(signed, body)
        async with asyncio.timeout(_LEDGER_S):
            return await record_webhook(self.ledger, job_id, attempt, parsed, self.clock())

    async def _is_genuine(self, signed: WebhookSignature, body: bytes) -> bool:
        """Whether fal signed it: checked with the cached keys, and after a rotation with the new ones."""
        keys = await self.jwks.keys()
        if signed.is_by(keys, body):
            return True
        newer = await self.jwks.refetched()
        return newer is not keys and signed.is_by(newer, body)


def webhook_routes(receiver: WebhookReceiver) -> list[Route]:
    """`POST /webhooks/fal/{job}/{token}`. The counter of every kind starts at zero, so that it is exported."""
    for kind in WebhookKind:
        receiver.metrics.webhooks.labels(_PROVIDER, kind)
    return [Route(f"/webhooks/{_PROVIDER}/{{job:anytext}}/{{token}}", receiver.answer, methods=["POST"])]


async def _read_body(request: Request) -> bytes:
    """The raw body. Reading stops when it is too large."""
    declared = request.headers.get("content-length", "")
    if _LENGTH.fullmatch(declared) and int(declared) > MAX_BYTES:
        raise _RefusedError(WebhookKind.TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(_READ_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise _RefusedError(WebhookKind.TOO_LARGE)
    except (ClientDisconnect, TimeoutError) as error:
        raise _RefusedError(WebhookKind.MALFORMED) from error
    return bytes(body)


def _parse_body(signed: WebhookSignature, body: bytes) -> WebhookBody:
    """The parsed body. Its request id must be the one in the signed header."""
    try:
        body.decode()  # JSON in another encoding than UTF-8 is not fal's
        parsed = WebhookBody.model_validate(read_json(clean_json(body)))
    except (ValueError, AnswerTooLargeError) as error:
        raise _RefusedError(WebhookKind.MALFORMED) from error
    if parsed.request_id != signed.request_id:
        raise _RefusedError(WebhookKind.MISMATCH)
    return parsed


def _response(kind: WebhookKind) -> JSONResponse:
    status, headers = _STATUS[kind], {"cache-control": "no-store"}
    if status == 200:
        return JSONResponse({"heard": kind}, headers=headers)
    headers["connection"] = "close"  # the body may not have been read
    return JSONResponse({"error": {"code": kind, "message": "The webhook was not accepted."}}, status, headers)
