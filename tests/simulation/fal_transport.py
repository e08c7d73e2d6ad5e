"""The way from a worker to fal: httpx's transport, on which calls and answers get lost.

With its faults it plays what is between: a connection that fails, a proxy's error page in place of fal's answer, a
worker that dies or freezes in the call.
"""

import asyncio
import json

import httpx

from tests.simulation.decisions import CRASH, FREEZE, Decisions, Fault
from tests.simulation.fal import FalServer
from tests.simulation.virtual_loop import CrashedError, Process

CRASH_IN_CALL = Fault("crash in the call", weight=1.5)
NO_CONNECTION = Fault("no connection")
ANSWER_LOST = Fault("answer lost")
PROXY_ERROR = Fault("503 of a proxy, taken")
TOO_MANY_TAKEN = Fault("429 after it was taken", weight=0.5)
OWN_ERROR_TAKEN = Fault("fal's own 500 after it was taken", weight=0.5)
BUSY = Fault("503 of a proxy, not taken")
INVALID = Fault("422, not taken", weight=0.3)
FREEZE_IN_CALL = Fault("freeze in the call", 1.0, 40.0)
SLOW = Fault("slow", 2.0, 20.0)
POST_FAULTS = (
    CRASH, CRASH_IN_CALL, FREEZE_IN_CALL, NO_CONNECTION, ANSWER_LOST, PROXY_ERROR, BUSY, SLOW, TOO_MANY_TAKEN,
    OWN_ERROR_TAKEN, INVALID,
)  # fmt: skip
# Before a POST a worker is not frozen: docs/reliability.md admits that gap, of microseconds.
FAULTS = (CRASH, FREEZE, CRASH_IN_CALL, FREEZE_IN_CALL, NO_CONNECTION, ANSWER_LOST, PROXY_ERROR, BUSY, SLOW)
BOOST = {"submit": 2.0, "list": 6.0, "cancel": 4.0}  # calls that come seldom
NGINX = "<html><center>nginx</center></html>"


class FalTransport(httpx.AsyncBaseTransport):
    """The transport of one worker."""

    def __init__(self, server: FalServer, process: Process, decisions: Decisions) -> None:
        self._server, self._process, self._decisions = server, process, decisions

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, if it arrives. What was sent arrives at fal, whatever becomes of the process."""
        process, what = self._process, _name(request)
        process.check()
        label = f"{process.name} fal {what}"
        faults = POST_FAULTS if what == "submit" else FAULTS
        fault, seconds = self._decisions.fault(label, faults, BOOST.get(what, 1.0))
        if fault == CRASH.name:
            process.crash()
            raise CrashedError
        if fault == FREEZE.name:
            process.freeze(seconds)
            await asyncio.sleep(0)
        if fault == NO_CONNECTION.name:
            raise httpx.ConnectError("no route", request=request)
        there_s = self._decisions.between(label, 0.01, 0.15)
        back_s = self._decisions.between(label, 0.01, 0.15) + (seconds if fault == SLOW.name else 0.0)
        came: asyncio.Future[httpx.Response] = process.loop.create_future()

        def arrive() -> None:
            response = self._answered(request, what, fault)
            if fault == CRASH_IN_CALL.name:
                process.crash()
            elif fault == FREEZE_IN_CALL.name:
                process.freeze(seconds)
            process.loop.outside_later(back_s, _deliver, came, response)

        process.loop.outside_later(there_s, arrive)
        return await came

    def _answered(self, request: httpx.Request, what: str, fault: str) -> httpx.Response | Exception:
        """What comes back from fal."""
        if fault == BUSY.name:
            return httpx.Response(503, text=NGINX, request=request)
        if fault == INVALID.name:
            refused = {"detail": [{"loc": ["body", "prompt"], "msg": "refused", "type": "value_error"}]}
            return httpx.Response(422, json=refused, request=request)
        given = json.loads(request.content) if request.content else None
        answer = self._server.answer(request.method, str(request.url), request.headers, given)
        if fault and what == "submit":
            self._server.payments.taken[-1].how = fault
        if fault == ANSWER_LOST.name:
            return httpx.ReadError("the connection was reset", request=request)
        if fault == PROXY_ERROR.name:
            return httpx.Response(503, text=NGINX, request=request)
        if fault == TOO_MANY_TAKEN.name:
            return httpx.Response(429, json={"detail": "slow down"}, request=request)
        if fault == OWN_ERROR_TAKEN.name:
            own = {"x-fal-error-type": "internal_error"}
            return httpx.Response(500, json={"detail": "internal"}, headers=own, request=request)
        return httpx.Response(answer.status, json=answer.body, headers=answer.headers, request=request)


def _deliver(came: "asyncio.Future[httpx.Response]", response: httpx.Response | Exception) -> None:
    if came.done():
        return
    if isinstance(response, Exception):
        came.set_exception(response)
    else:
        came.set_result(response)


def _name(request: httpx.Request) -> str:
    path = request.url.path
    if request.url.host == "api.fal.ai":
        return "list"
    if "/requests/" not in path:
        return "submit"
    if path.endswith("/cancel"):
        return "cancel"
    return "status" if path.endswith("/status") else "result"
