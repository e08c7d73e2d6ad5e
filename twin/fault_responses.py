"""Turns a fault into a response: no answer, a closed connection, half an answer, another answer.

A handler can close the connection because `twin.server` puts a function for it into the scope. Under another server
the request gets no answer instead.
"""

import asyncio
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from twin.script import Fault, FaultKind

HANGUP = "twin.hangup"
DEFAULT_HANG_SECONDS = 3_600.0
DEFAULT_DRIP_SECONDS = 2.0
NGINX_TITLES = {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable", 504: "504 Gateway Time-out"}
GARBAGE = b'{"status": "IN_QU\x00\xff<<<not json'


class DroppedConnection(Response):
    """Closes the connection without an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Close the connection and wait until the server has noticed."""
        hangup: Callable[[], None] | None = scope.get("extensions", {}).get(HANGUP)
        if hangup:
            hangup()
        await _until_disconnect(receive)


class TruncatedResponse(Response):
    """Sends the headers and half of the body of another response, then closes the connection."""

    def __init__(self, whole: Response) -> None:
        super().__init__(status_code=whole.status_code, headers=dict(whole.headers))
        self.body = bytes(whole.body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half of the body, then close the connection."""
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
        await DroppedConnection()(scope, receive, send)


class DrippedResponse(Response):
    """Sends the headers of another response at once and its body byte by byte, so many seconds apart."""

    def __init__(self, whole: Response, seconds: float) -> None:
        super().__init__(status_code=whole.status_code, headers=dict(whole.headers))
        self.body, self._seconds = bytes(whole.body), seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send byte by byte until the caller disconnects."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        request = Request(scope, receive)
        for place in range(len(self.body)):
            await send({"type": "http.response.body", "body": self.body[place : place + 1], "more_body": True})
            if await _wait(request, self._seconds):
                return
        await send({"type": "http.response.body", "body": b""})


async def apply_fault(fault: Fault | None, response: Response, request: Request) -> Response:
    """Return the response that the fault causes; without a fault, `response`."""
    match fault.what if fault else None:
        case FaultKind.DROP:
            return DroppedConnection()
        case FaultKind.TRUNCATED:
            return TruncatedResponse(await _with_body(response))
        case FaultKind.DRIP if fault:
            seconds = DEFAULT_DRIP_SECONDS if fault.seconds is None else fault.seconds
            return DrippedResponse(await _with_body(response), seconds)
        case FaultKind.GARBAGE:
            return Response(GARBAGE, media_type="application/json")
    if fault and fault.what is FaultKind.HANG:
        await _wait(request, fault.seconds if fault.seconds is not None else DEFAULT_HANG_SECONDS)
        return DroppedConnection()
    if fault and fault.what is FaultKind.SLOW:
        await _wait(request, fault.seconds or 0.0)
    if fault and fault.what is FaultKind.NGINX:
        return nginx_page(fault)
    return scripted_response(fault) if fault and fault.what is FaultKind.HTTP else response


def nginx_page(fault: Fault) -> Response:
    """Return the page that nginx shows when the server behind it does not answer."""
    title = NGINX_TITLES.get(fault.response_status, f"{fault.response_status} Error")
    head = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    page = head + "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    return Response(page, fault.response_status, media_type="text/html")


def scripted_response(fault: Fault) -> Response:
    """Return the status, body and headers of the fault."""
    if isinstance(fault.body, str):
        return Response(fault.body, fault.response_status, headers=fault.headers)
    body = {"detail": "Ordered by the script"} if fault.body is None else fault.body
    return JSONResponse(body, fault.response_status, headers=fault.headers)


async def _with_body(response: Response) -> Response:
    """Return the response if its body is in memory; else, for a stream, 4096 bytes with the same status."""
    return response if getattr(response, "body", b"") else Response(b"x" * 4096, response.status_code)


async def _wait(request: Request, seconds: float) -> bool:
    """Wait for this time, or until the caller disconnects. Return whether the caller has."""
    try:
        async with asyncio.timeout(seconds):
            await _until_disconnect(request.receive)
    except TimeoutError:
        return False
    return True


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
