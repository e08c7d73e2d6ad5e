"""The door for fal's webhooks: is it ours, is it fal's, is it of now? Then it is left on the row and answered at once.

What is cheap to refuse is refused first: the token, the headers, the size, then the signature, and the ledger last.
What the row makes of it is the idea of `worker.gateway.intake` and, later, of a worker.

The status is chosen for fal, which tries again for an hour on all but 2xx and 3xx: 200 where another try could change
nothing, a mismatch among them; 503 where it would. Refusals of what fal never sent are 4xx.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from pydantic import ValidationError
from redis.exceptions import RedisError
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from worker.gateway.intake import Kind, Told, hear
from worker.gateway.jwks import Jwks, JwksAwayError
from worker.gateway.signature import Signed
from worker.health.metrics import Metrics
from worker.ledger.base import Ledger
from worker.net.webhook_url import attempt_of

log = structlog.get_logger(__name__)

LARGEST_BYTES = 4 << 20
_READ_S = 10.0  # fal waits 15 s for the first answer
_LEDGER_S = 5.0
_PROVIDER = "fal"
_LENGTH = re.compile(r"[0-9]{1,20}", re.ASCII)

_STATUS: Mapping[Kind, int] = {
    Kind.ACCEPTED: 200,
    Kind.DUPLICATE: 200,
    Kind.LATE: 200,
    Kind.STALE: 200,
    Kind.UNKNOWN_JOB: 200,
    Kind.MISMATCH: 200,
    Kind.WRONG_TOKEN: 403,
    Kind.FORGED: 401,
    Kind.EXPIRED: 401,
    Kind.MALFORMED: 400,
    Kind.TOO_LARGE: 413,
    Kind.FAILED: 503,
}
_REFUSED = frozenset({kind for kind, status in _STATUS.items() if status != 200} | {Kind.MISMATCH})


class _AnyText(PathConvertor):
    """A job's id: whatever its caller chose, line ends and slashes too."""

    regex = "(?s:.+)"


register_url_convertor("anytext", _AnyText())


class _RefusedError(Exception):
    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True)
class Reception:
    """What webhooks are received with."""

    secret: str
    ledger: Ledger
    jwks: Jwks
    metrics: Metrics
    clock: Callable[[], float]  # seconds since the epoch

    async def answer(self, request: Request) -> JSONResponse:
        """Receive one webhook; whatever is posted, it is answered, counted and at most one row is signalled."""
        job_id, token = request.path_params["job"], request.path_params["token"]
        error = None
        try:
            kind = await self._receive(request, job_id, token)
        except _RefusedError as refused:
            kind = refused.kind
        except (RedisError, OSError, JwksAwayError, ValidationError) as away:  # a row of a newer version, too
            kind, error = Kind.FAILED, type(away).__name__
        self.metrics.webhooks.labels(_PROVIDER, kind).inc()
        if kind in _REFUSED:
            log.warning("webhook_refused", kind=kind, job=job_id[:100], error=error)
        else:
            log.debug("webhook_heard", kind=kind, job=job_id[:100])
        return _answer(kind)

    async def _receive(self, request: Request, job_id: str, token: str) -> Kind:
        attempt = attempt_of(self.secret, _PROVIDER, job_id, token)
        if attempt is None:
            raise _RefusedError(Kind.WRONG_TOKEN)
        signed = Signed.of(request.headers)
        if signed is None:
            raise _RefusedError(Kind.FORGED)
        if not signed.is_timely(self.clock()):
            raise _RefusedError(Kind.EXPIRED)
        body = await _body(request)
        if not await self._is_genuine(signed, body):
            raise _RefusedError(Kind.FORGED)
        told = _told(signed, body)
        async with asyncio.timeout(_LEDGER_S):
            return await hear(self.ledger, job_id, attempt, told, self.clock())

    async def _is_genuine(self, signed: Signed, body: bytes) -> bool:
        """Whether fal signed it, by the keys at hand or, after a rotation, by those of now."""
        keys = await self.jwks.keys()
        if signed.is_by(keys, body):
            return True
        newer = await self.jwks.newer()
        return newer is not keys and signed.is_by(newer, body)


def webhook_routes(reception: Reception) -> list[Route]:
    """`POST /webhooks/fal/{job}/{token}`. Every kind is counted from the start, at zero."""
    for kind in Kind:
        reception.metrics.webhooks.labels(_PROVIDER, kind)
    return [Route(f"/webhooks/{_PROVIDER}/{{job:anytext}}/{{token}}", reception.answer, methods=["POST"])]


async def _body(request: Request) -> bytes:
    """The body as it came. One that is too large is not read to its end."""
    declared = request.headers.get("content-length", "")
    if _LENGTH.fullmatch(declared) and int(declared) > LARGEST_BYTES:
        raise _RefusedError(Kind.TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(_READ_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BYTES:
                    raise _RefusedError(Kind.TOO_LARGE)
    except (ClientDisconnect, TimeoutError) as error:
        raise _RefusedError(Kind.MALFORMED) from error
    return bytes(body)


def _told(signed: Signed, body: bytes) -> Told:
    """What the body says, of the request that the header names."""
    try:
        told = Told.model_validate_json(body)
    except ValidationError as error:
        raise _RefusedError(Kind.MALFORMED) from error
    if told.request_id != signed.request_id:
        raise _RefusedError(Kind.MISMATCH)
    return told


def _answer(kind: Kind) -> JSONResponse:
    status, headers = _STATUS[kind], {"cache-control": "no-store"}
    if status == 200:
        return JSONResponse({"heard": kind}, headers=headers)
    headers["connection"] = "close"  # the body may not have been read
    return JSONResponse({"error": {"code": kind, "message": "The webhook is not taken."}}, status, headers)
