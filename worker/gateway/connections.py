"""Limits of the gateway's connections: how many, how long a request may take to arrive, how long a client may not read.

uvicorn (0.54) waits for ever for a request that does not come, and refuses everybody once `limit_concurrency`
connections are open. Here a connection that has sent no request makes room for a new one.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_CLOSE = (b"connection", b"close")


@dataclass(frozen=True)
class ConnectionLimits:
    """One address may have half of all connections: a proxy in front of the gateway is one address."""

    total: int = 1000
    head_s: float = 10.0  # from the connection, or the end of the answer before, to the end of the next request's head
    body_s: float = 30.0
    unread_s: float = 60.0  # an answer of which the client reads less than a transport's buffer (48 kB)
    requests: int = 1000  # on one connection

    @property
    def per_address(self) -> int:
        """The most connections of one address."""
        return max(1, self.total // 2)


class _Phase(Enum):
    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"


class Connections:
    """The open connections of a gateway, the longest idle ones first."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: dict[LimitedProtocol, str] = {}  # connection -> address, in the order of opening
        self._by_address: Counter[str] = Counter()

    def admit(self, new: "LimitedProtocol", address: str) -> bool:
        """Whether the connection may stay. An idle one of the same address, or of the most frequent one, is closed."""
        if self._by_address[address] >= self.limits.per_address and not self._close_idle(address):
            return False
        if len(self._open) >= self.limits.total:
            others = (each for each, _ in self._by_address.most_common())
            if not any(self._close_idle(each) for each in others):
                return False
        self._open[new] = address
        self._by_address[address] += 1
        return True

    def remove(self, connection: "LimitedProtocol") -> None:
        """The connection is closed, or about to be."""
        address = self._open.pop(connection, None)
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def _close_idle(self, address: str) -> bool:
        idle = next((each for each, of in self._open.items() if of == address and each.is_idle), None)
        if idle is None:
            return False
        self.remove(idle)
        idle.transport.abort()
        return True


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol with deadlines. `limited_protocol` sets the registry."""

    registry: Connections

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._phase, self._timer, self._unread_timer = _Phase.HEAD, _no_timer(), _no_timer()
        self._requests, self._counted = 0, None

    @property
    def is_idle(self) -> bool:
        """Whether no whole request head has arrived since the last answer."""
        return self._phase is _Phase.HEAD

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new connection. It is closed at once if there are too many that are busy."""
        super().connection_made(transport)
        if not self.registry.admit(self, self.client[0] if self.client else ""):
            transport.abort()
            return
        self._enter(_Phase.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self.registry.remove(self)
        self._timer.cancel()
        self._unread_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, and see how far the request is."""
        super().data_received(data)
        self._see()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._enter(_Phase.HEAD)
        self._see()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        super().pause_writing()
        self._unread_timer.cancel()
        self._unread_timer = self.loop.call_later(self.registry.limits.unread_s, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads."""
        self._unread_timer.cancel()
        super().resume_writing()

    def _see(self) -> None:
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            phase = _Phase.HEAD
        else:
            phase = _Phase.BODY if cycle.more_body else _Phase.ANSWER
            self._count(cycle)
        if phase is not self._phase:
            self._enter(phase)

    def _count(self, cycle: Any) -> None:
        """Let the last allowed request of the connection close it: uvicorn answers `connection: close` if asked to."""
        if cycle is not self._counted:
            self._counted, self._requests = cycle, self._requests + 1
            if self._requests >= self.registry.limits.requests:
                cycle.scope["headers"].append(_CLOSE)

    def _enter(self, phase: _Phase) -> None:
        limits, self._phase = self.registry.limits, phase
        self._timer.cancel()
        if phase is not _Phase.ANSWER and not self.transport.is_closing():
            seconds = limits.head_s if phase is _Phase.HEAD else limits.body_s
            self._timer = self.loop.call_later(seconds, self.transport.abort)


def limited_protocol(limits: ConnectionLimits) -> type[LimitedProtocol]:
    """The protocol class of one server."""
    return type("GatewayProtocol", (LimitedProtocol,), {"registry": Connections(limits)})


def refusing_ambiguous(app: ASGIApp) -> ASGIApp:
    """The app, but 400 for a request with two lengths: a proxy in front may see another end of it than we do."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _is_ambiguous(scope):
            error = {"code": "ambiguous_length", "message": "Content-Length and Transfer-Encoding exclude each other."}
            answer = JSONResponse({"error": error}, 400, headers={"connection": "close", "cache-control": "no-store"})
            await answer(scope, receive, send)
        else:
            await app(scope, receive, send)

    return checked


def _is_ambiguous(scope: Scope) -> bool:
    names = {name for name, _ in scope["headers"]}
    return b"transfer-encoding" in names and (b"content-length" in names or scope["http_version"] == "1.0")


def _no_timer() -> asyncio.TimerHandle:
    timer = asyncio.get_running_loop().call_later(0, lambda: None)
    timer.cancel()
    return timer
