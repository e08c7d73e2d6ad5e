"""Serves one paid call of Google or Anthropic: applies the script, stores the call, waits as the pace says.

The imitations check the request before, and make the answer.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from twin.fault_responses import apply_fault
from twin.fetch import Fetcher
from twin.file_store import Drawable, FileStore, GeneratedFile
from twin.pace import Pace
from twin.paid_calls import Answer, CallDetails, CallStore, PaidCall
from twin.script import Call, Fault, FaultKind, Script

FaultFormatter = Callable[[Fault | None], Fault | None]
"""Adds the provider's own error body to a fault that has only a status."""


@dataclass(frozen=True, slots=True)
class CallService:
    """The state that both imitations share; one for each application."""

    pace: Callable[[], Pace]
    script: Script
    files: FileStore
    fetcher: Fetcher
    clock: Callable[[], float]
    call_store: CallStore

    async def serve(
        self,
        request: Request,
        details: CallDetails,
        category: str,
        make: Callable[[PaidCall], Awaitable[Answer]],
        add_error_body: FaultFormatter,
    ) -> Response:
        """Accept a checked call, make its answer, and send it when the pace's time has passed."""
        fault = self.script.take(Call.SUBMIT, details.endpoint, provider=details.provider)
        if fault and not fault.accepts_job:
            return await apply_fault(add_error_body(fault), Response(), request)
        call = self.accept(details, category)
        if call.is_stuck:
            return await apply_fault(Fault(call=Call.SUBMIT, what=FaultKind.HANG), Response(), request)
        answer = await make(call)
        await asyncio.sleep(max(0.0, call.accepted_at + call.seconds - self.clock()))
        self.call_store.end(call, answer, self.clock())
        return await apply_fault(add_error_body(fault), _response(answer), request)

    def accept(self, details: CallDetails, category: str) -> PaidCall:
        """Store a call; a fault of its run is taken from the script now."""
        fault = self.script.take(Call.RUN, details.endpoint, provider=details.provider)
        return self.call_store.accept(details, self.pace().seconds_for(details.endpoint, category), fault)

    async def draw(self, drawable: Drawable, endpoint: str, suffix: str) -> tuple[str, bytes]:
        """Store a drawable file; return its path in the store and its bytes."""
        path = self.files.add_generated(drawable, endpoint, suffix)
        return path, await self.files.draw(path, GeneratedFile(drawable, endpoint))


def _response(answer: Answer) -> Response:
    return JSONResponse(answer.body, answer.status, headers=dict(answer.headers))


def new_id(prefix: str, length: int = 24) -> str:
    """Return a random id of `length` hex digits after the prefix, as the providers' ids look."""
    return prefix + secrets.token_hex(length)[:length]
