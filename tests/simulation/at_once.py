"""A provider that answers inside the call, as Vertex, Gemini and Anthropic do: no ticket, no list, no webhook."""

import asyncio
from collections.abc import Mapping
from typing import Any

from tests.simulation.decisions import CRASH, Decisions, Fault
from tests.simulation.payments import DIED, Paid, Payments
from tests.simulation.virtual_loop import CrashedError, Process
from worker.errors import RateLimitError, ServiceUnavailableError, SubmitUnknownError
from worker.jobs.job import Ticket
from worker.providers.base import Call, CancelResult, Ended, LostSubmission, Reply, RunFailure, RunStatus, SearchResult

CRASH_IN_CALL = Fault("crash in the call", weight=1.5)
FREEZE_IN_CALL = Fault("freeze in the call", 1.0, 40.0, 1.5)
ANSWER_LOST = Fault("answer lost")
TOO_MANY = Fault("429, not taken")
BUSY = Fault("503, not taken")
FAULTS = (CRASH, CRASH_IN_CALL, FREEZE_IN_CALL, ANSWER_LOST, TOO_MANY, BUSY)
USD = 0.0336


class AtOnce:
    """See `worker.providers.base.Provider`. One for each worker."""

    call_s = 60.0
    lists_requests = False
    result_bytes = 0

    def __init__(self, name: str, process: Process, decisions: Decisions, payments: Payments, before_take: Any) -> None:
        self.name, self._process, self._decisions, self._payments = name, process, decisions, payments
        self._before_take = before_take

    def call_bytes(self, endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
        """None."""
        return 0

    async def submit(self, call: Call) -> Ticket | Reply | RunFailure:
        """A picture after 1 to 15 s. It is billed once the provider has begun, whoever hears of it."""
        process, label = self._process, f"{self._process.name} {self.name} submit"
        process.check()
        fault, seconds = self._decisions.fault(label, FAULTS, boost=2.0)
        if fault == CRASH.name:
            process.crash()
            raise CrashedError
        came: asyncio.Future[Reply] = process.loop.create_future()
        run_s = self._decisions.between(label, 1.0, 15.0)
        process.loop.outside_later(0.05, self._arrive, call, came, fault, seconds, run_s)
        return await came

    def _arrive(self, call: Call, came: "asyncio.Future[Reply]", fault: str, seconds: float, run_s: float) -> None:
        """The call reaches the provider, whatever becomes of the process."""
        process, loop = self._process, self._process.loop
        if fault == TOO_MANY.name:
            _fail(came, RateLimitError("429", provider=self.name, status=429))
            return
        if fault == BUSY.name:
            _fail(came, ServiceUnavailableError("503", provider=self.name, status=503))
            return
        self._before_take(call.job_id)
        number = len(self._payments.taken) + 1
        paid = Paid(self.name, call.job_id, call.attempt, loop.time(), f"{self.name}-{number}", "", USD)
        self._payments.taken.append(paid)
        paid.process = process
        paid.how = DIED if process.is_dead else ""
        if fault == FREEZE_IN_CALL.name:
            process.freeze(seconds)
        elif fault == CRASH_IN_CALL.name:
            loop.outside_later(run_s / 2, process.crash)
        loop.outside_later(run_s, self._answer, paid, came, fault)

    def _answer(self, paid: Paid, came: "asyncio.Future[Reply]", fault: str) -> None:
        if fault == ANSWER_LOST.name:
            paid.how = fault
            _fail(came, SubmitUnknownError("no answer", provider=self.name))
        elif not came.done():
            came.set_result(Reply({"text": "", "images": 1}, billed_units=1.0, files=(b"picture",), version="1"))

    async def poll(self, endpoint: str, ticket: Ticket) -> RunStatus:
        """Never called."""
        return Ended()

    async def result(self, endpoint: str, ticket: Ticket) -> Reply | RunFailure:
        """Never called."""
        raise NotImplementedError

    async def cancel(self, endpoint: str, ticket: Ticket) -> CancelResult:
        """Never called."""
        return CancelResult.TOO_LATE

    def ticket_of(self, endpoint: str, request_id: str) -> Ticket:
        """Never called."""
        return Ticket(request_id)

    async def upload(self, media: Any) -> str:
        """Never called."""
        raise NotImplementedError

    async def find(self, lost: LostSubmission) -> SearchResult:
        """Nothing is listed."""
        return SearchResult()

    def list_price(self, endpoint: str) -> None:
        """Never known."""

    async def aclose(self) -> None:
        """Do nothing."""


def _fail(came: "asyncio.Future[Reply]", error: Exception) -> None:
    if not came.done():
        came.set_exception(error)
