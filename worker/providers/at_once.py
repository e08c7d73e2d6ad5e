"""The base of a provider that answers inside the call: it has no tickets, and lists neither requests nor prices.

Such a provider writes `name`, `call_s`, `call_bytes` and `submit`, and overrides what it does differently.
"""

from pathlib import Path

from worker.errors import InternalError, RequestRefusedError
from worker.files.media import Media
from worker.jobs.job import Ticket
from worker.providers.base import CancelResult, ListPrice, LostSubmission, Reply, RunFailure, RunStatus, SearchResult


class AtOnceProvider:
    """See `worker.providers.base.Provider`."""

    name: str
    lists_requests = False
    result_bytes = 0

    async def upload(self, media: Media | Path) -> str:
        """Not supported: files go inside the call."""
        raise RequestRefusedError(f"{self.name} takes files inside the call", provider=self.name)

    async def poll(self, endpoint: str, ticket: Ticket) -> RunStatus:
        """Never called: no call returns a ticket."""
        raise InternalError(f"{self.name} has no tickets: there is nothing to poll")

    async def result(self, endpoint: str, ticket: Ticket) -> Reply | RunFailure:
        """Never called: no call returns a ticket."""
        raise InternalError(f"{self.name} has no tickets: there is no result to get")

    async def cancel(self, endpoint: str, ticket: Ticket) -> CancelResult:
        """Every call has ended when it is answered. One that runs is cancelled by closing its connection."""
        return CancelResult.TOO_LATE

    def ticket_of(self, endpoint: str, request_id: str) -> Ticket:
        """A ticket that nothing can be done with."""
        return Ticket(request_id)

    async def find(self, lost: LostSubmission) -> SearchResult:
        """There is no list of requests."""
        return SearchResult()

    def list_price(self, endpoint: str) -> ListPrice | None:
        """There is no price list that can be asked."""
        return None

    async def aclose(self) -> None:
        """Nothing is open."""
