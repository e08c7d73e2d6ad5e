"""What the imitations of Google and Anthropic share: pace, faults, files, the book of calls, how one is served."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from twin.calls import Answer, CallBook, Order, PaidCall
from twin.fetch import Fetcher
from twin.files import FileStore, Made, Recipe
from twin.misbehave import misbehave
from twin.pace import Pace
from twin.script import Call, Fault, Script, What

Form = Callable[[Fault | None], Fault | None]
"""Writes a provider's own error body into a fault that names a status only."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The shared state; one for each app."""

    pace: Callable[[], Pace]
    script: Script
    files: FileStore
    fetcher: Fetcher
    clock: Callable[[], float]
    book: CallBook

    async def serve(
        self,
        request: Request,
        order: Order,
        category: str,
        make: Callable[[PaidCall], Awaitable[Answer]],
        form: Form,
    ) -> Response:
        """Take a call that passed every check, make its answer, and send it when the model would have."""
        fault = self.script.take(Call.SUBMIT, order.endpoint, provider=order.provider)
        if fault and not fault.takes_job:
            return await misbehave(form(fault), Response(), request)
        call = self.accept(order, category)
        if call.is_stuck:
            return await misbehave(Fault(call=Call.SUBMIT, what=What.HANG), Response(), request)
        answer = await make(call)
        await asyncio.sleep(max(0.0, call.accepted_at + call.seconds - self.clock()))
        self.book.end(call, answer, self.clock())
        return await misbehave(form(fault), _response(answer), request)

    def accept(self, order: Order, category: str) -> PaidCall:
        """Write a call down; a fault ordered for the run is decided now."""
        fault = self.script.take(Call.RUN, order.endpoint, provider=order.provider)
        return self.book.accept(order, self.pace().seconds_for(order.endpoint, category), fault)

    async def draw(self, recipe: Recipe, endpoint: str, tail: str) -> tuple[str, bytes]:
        """Keep a recipe; return its path in the store and its bytes."""
        path = self.files.put_made(recipe, endpoint, tail)
        return path, await self.files.draw(path, Made(recipe, endpoint))


def _response(answer: Answer) -> Response:
    return JSONResponse(answer.body, answer.status, headers=dict(answer.headers))


def new_id(prefix: str, length: int = 24) -> str:
    """Return an id in the shape of the providers' own."""
    return prefix + secrets.token_hex(length)[:length]
