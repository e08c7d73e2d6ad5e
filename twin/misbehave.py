"""Acting a fault out on the wire: silence, cut connections, foreign answers.

Cutting needs a hold on the connection, which `server` puts into the scope; under another server the request is left
unanswered.
"""

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from twin.script import Fault, What

HANGUP = "twin.hangup"
USUAL_HANG_SECONDS = 3_600.0
NGINX_TITLES = {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable", 504: "504 Gateway Time-out"}
GARBAGE = b'{"status": "IN_QU\x00\xff<<<not json'


class Dropped(Response):
    """Closes the connection without a word."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hang up, then wait until the server has noticed."""
        hangup: Callable[[], None] | None = scope.get("extensions", {}).get(HANGUP)
        if hangup:
            hangup()
        await _until_gone(receive)


class Truncated(Response):
    """Promises all of another answer, sends half of it, and closes the connection."""

    def __init__(self, whole: Response) -> None:
        super().__init__(status_code=whole.status_code, headers=dict(whole.headers))
        self.body = bytes(whole.body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the half, then hang up."""
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        promised = str(max(2, len(self.body))).encode()
        await send(
            {
                "type": "http.response.start",
                "status": self.status_code,
                "headers": [*headers, (b"content-length", promised)],
            }
        )
        await send({"type": "http.response.body", "body": self.body[: len(self.body) // 2], "more_body": True})
        await Dropped()(scope, receive, send)


async def misbehave(fault: Fault | None, response: Response, request: Request) -> Response:
    """Return what the caller gets instead of a good response; the response itself when there is no fault."""
    match fault.what if fault else None:
        case What.DROP:
            return Dropped()
        case What.TRUNCATED:
            return Truncated(await _with_body(response))
        case What.GARBAGE:
            return Response(GARBAGE, media_type="application/json")
    if fault and fault.what is What.HANG:
        await _wait(request, fault.seconds if fault.seconds is not None else USUAL_HANG_SECONDS)
        return Dropped()
    if fault and fault.what is What.SLOW:
        await _wait(request, fault.seconds or 0.0)
    if fault and fault.what is What.NGINX:
        return nginx_page(fault)
    return scripted_answer(fault) if fault and fault.what is What.HTTP else response


def nginx_page(fault: Fault) -> Response:
    """Return the page that an ingress shows when what stands behind it is gone."""
    title = NGINX_TITLES.get(fault.usual_status, f"{fault.usual_status} Error")
    head = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    page = head + "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    return Response(page, fault.usual_status, media_type="text/html")


def scripted_answer(fault: Fault) -> Response:
    """Return the status, body and headers that a script spells out."""
    if isinstance(fault.body, str):
        return Response(fault.body, fault.usual_status, headers=fault.headers)
    body = {"detail": "Ordered by the script"} if fault.body is None else fault.body
    return JSONResponse(body, fault.usual_status, headers=fault.headers)


async def _with_body(response: Response) -> Response:
    """Return the response itself if its body is at hand, else a stand-in with the same status."""
    return response if getattr(response, "body", b"") else Response(b"x" * 4096, response.status_code)


async def _wait(request: Request, seconds: float) -> None:
    """Wait, but not longer than the caller does."""
    try:
        async with asyncio.timeout(seconds):
            await _until_gone(request.receive)
    except TimeoutError:
        return


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
