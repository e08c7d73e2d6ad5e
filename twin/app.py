"""The twin as a web application: control calls under `/_twin`; every other path imitates Google, Anthropic or fal."""

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
from twin.call_service import CallService
from twin.control import Control
from twin.fal.access import Denied
from twin.fal.address import Service, read_address
from twin.fal.cdn import answer_cdn
from twin.fal.direct_runs import answer_run
from twin.fal.platform_api import answer_platform
from twin.fal.platform_settings import PlatformSettings
from twin.fal.queue import answer_queue
from twin.fal.realtime import answer_realtime
from twin.fal.rest import answer_rest
from twin.fal.scheduler import MAX_KEPT
from twin.fal.service import FalService
from twin.fetch import Fetcher
from twin.file_store import MAX_UPLOADED, FileStore
from twin.google.address import read_target
from twin.google.handlers import answer_google
from twin.pace import Pace
from twin.paid_calls import CallStore
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
    any_endpoint: bool = False,
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """Return the twin as an ASGI application; two applications share no state.

    `public_url` is the base of all URLs in answers; without it the address that the caller used is the base.
    `max_kept` limits the number of ended requests that are kept, `max_uploaded` the total bytes of uploads.
    With `any_endpoint` also ids that are not in the twin's list of fal's endpoints are accepted.
    Faults that close a connection need `twin.server`.
    """
    pace, script, files = pace or Pace(), Script(), FileStore(max_uploaded)
    http = httpx.AsyncClient(
        trust_env=False, follow_redirects=True, timeout=30, limits=httpx.Limits(max_connections=64)
    )
    fal = FalService(pace, script, files, http, clock, max_kept, PlatformSettings(any_endpoint=any_endpoint))
    call_store = CallStore(files, clock, max_kept)

    service = CallService(lambda: fal.pace, script, files, Fetcher(files, http), clock, call_store)

    async def answer(request: Request) -> Response:
        if target := read_target(request):
            return await answer_google(service, request, target)
        if (path := read_path(request)) is not None:
            return await answer_anthropic(service, request, path)
        address = read_address(request, public_url)
        if address.service is None:
            return (
                RedirectResponse("/_twin/") if request.url.path == "/" else JSONResponse({"detail": "Not Found"}, 404)
            )
        try:
            return await ANSWERS[address.service](fal, request, address)
        except Denied as denied:
            return denied.response

    async def answer_socket(socket: WebSocket) -> None:
        await answer_realtime(fal, socket, read_address(socket, public_url))

    control = Mount("/_twin", routes=Control(fal, call_store, script, files, pace).routes())
    rest = [WebSocketRoute("/{path:path}", answer_socket), Route("/{path:path}", answer, methods=METHODS)]
    return Starlette(routes=[control, *rest], lifespan=_closing(fal, http, files))


def _closing(
    fal: FalService, http: httpx.AsyncClient, files: FileStore
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Return the lifespan of the application, which closes everything at its end."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        fal.clear()
        await fal.webhooks.aclose()
        await http.aclose()
        files.close()

    return lifespan
