"""The twin as a web application: control calls under `/_twin`, everything else imitates Google, Anthropic or fal."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from twin.anthropic.access import read_path
from twin.anthropic.messages import answer_anthropic
from twin.calls import CallBook
from twin.control import Control
from twin.desk import Desk
from twin.fal.access import Denied
from twin.fal.address import Service, read_address
from twin.fal.cdn import answer_cdn
from twin.fal.direct import answer_run
from twin.fal.platform import answer_platform
from twin.fal.queue import answer_queue
from twin.fal.realtime import answer_realtime
from twin.fal.scheduler import MAX_KEPT
from twin.fal.service import FalService
from twin.fal.storage import answer_rest
from twin.fetch import Fetcher
from twin.files import MAX_UPLOADED, FileStore
from twin.google.address import read_target
from twin.google.wire import answer_google
from twin.pace import Pace
from twin.script import Script

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
ANSWERS = {
    Service.QUEUE: answer_queue,
    Service.RUN: answer_run,
    Service.REST: answer_rest,
    Service.CDN: answer_cdn,
    Service.API: answer_platform,
}


def create_app(
    *,
    public_url: str | None = None,
    pace: Pace | None = None,
    max_kept: int = MAX_KEPT,
    max_uploaded: int = MAX_UPLOADED,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """Return the twin as an ASGI application with a memory of its own.

    `public_url` replaces the address that callers used in every URL of an answer. `max_kept` bounds the finished
    requests, `max_uploaded` the bytes of uploads. Dropping connections works under `twin.server` only.
    """
    pace, script, files = pace or Pace(), Script(), FileStore(max_uploaded)
    http = httpx.AsyncClient(
        trust_env=False, follow_redirects=True, timeout=30, limits=httpx.Limits(max_connections=64)
    )
    fal = FalService(pace, script, files, http, clock, max_kept)
    book = CallBook(files, clock, max_kept)

    desk = Desk(lambda: fal.pace, script, files, Fetcher(files, http), clock, book)

    async def answer(request: Request) -> Response:
        if target := read_target(request):
            return await answer_google(desk, request, target)
        if (path := read_path(request)) is not None:
            return await answer_anthropic(desk, request, path)
        address = read_address(request, public_url)
        if address.service is None:
            return (
                RedirectResponse("/_twin/") if request.url.path == "/" else JSONResponse({"detail": "Not Found"}, 404)
            )
        try:
            return await ANSWERS[address.service](fal, request, address)
        except Denied as denied:
            return denied.response

    async def talk(socket: WebSocket) -> None:
        await answer_realtime(fal, socket, read_address(socket, public_url))

    control = Mount("/_twin", routes=Control(fal, book, script, files, pace).routes())
    rest = [WebSocketRoute("/{path:path}", talk), Route("/{path:path}", answer, methods=METHODS)]
    return Starlette(routes=[control, *rest], lifespan=_closing(fal, http, files))


def _closing(
    fal: FalService, http: httpx.AsyncClient, files: FileStore
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Return the application's lifespan: nothing is opened at its start, everything closed at its end."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        fal.clear()
        await fal.webhooks.aclose()
        await http.aclose()
        files.close()

    return lifespan
