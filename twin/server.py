"""Runs the twin on a port: as a process, or in a thread of a test.

The HTTP protocol is that of uvicorn, with one addition: a handler can close the connection.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from twin.app import create_app
from twin.fault_responses import HANGUP

KEEP_ALIVE_SECONDS = 75
"""As long as nginx, so that a pooled connection is not closed while a client sends its next POST."""
GRACE_SECONDS = 1


class HangupProtocol(H11Protocol):
    """uvicorn's HTTP protocol; puts a function that closes the connection into the scope of each request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wrap the application for this one connection."""
        super().connection_made(transport)
        self.app = _with_hangup(self.app, transport.close)


def _with_hangup(app: Any, close: Callable[[], None]) -> Any:
    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})[HANGUP] = close
        await app(scope, receive, send)

    return wrapped


class TwinServer(uvicorn.Server):
    """A server that reports when it is ready and stops without a traceback on SIGTERM and SIGINT."""

    def __init__(self, app: ASGIApp, host: str, port: int, on_ready: Callable[[str], None] | None = None) -> None:
        config = uvicorn.Config(
            app,
            http=HangupProtocol,
            ws="websockets-sansio",
            log_config=None,
            log_level=logging.CRITICAL,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            backlog=4096,
        )
        super().__init__(config)
        self._socket = _listen(host, port)
        self._on_ready = on_ready
        self.ready = threading.Event()
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self._socket.getsockname()[1]}"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on the socket that `__init__` bound, then report."""
        await super().startup([self._socket])
        self.ready.set()
        if self._on_ready:
            self._on_ready(self.url)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Stop on SIGTERM and SIGINT; unlike uvicorn, do not raise them again afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    """Bind a socket with `proto` set to TCP.

    asyncio turns Nagle's algorithm off only if `proto` is TCP. `socket.create_server` leaves it 0, and then each answer
    takes 40 ms.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    return listener


@contextlib.contextmanager
def in_thread(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> Generator[TwinServer, None, None]:
    """Run the twin in a thread until the block ends."""
    server = TwinServer(app, host, port)
    thread = threading.Thread(target=server.run, name="twin", daemon=True)
    thread.start()
    if not server.ready.wait(30):
        raise RuntimeError("the twin did not start within 30 s")
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(10)


def serve(host: str = "127.0.0.1", port: int = 9100, app: ASGIApp | None = None) -> None:
    """Run the twin until SIGTERM or SIGINT; port 0 picks a free port. Prints one line when it listens."""
    try:
        server = TwinServer(app or create_app(), host, port, lambda url: print(f"twin listening on {url}", flush=True))
    except OSError as error:
        raise SystemExit(
            f"twin cannot listen on {host} port {port}: {error.strerror}; choose another --port"
        ) from error
    server.run()
