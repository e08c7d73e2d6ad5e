"""A provider that answers inside the call has no tickets, and lists nothing."""

import pytest

from worker.errors import InternalError, RequestRefusedError
from worker.files.media import Media
from worker.jobs.job import Ticket
from worker.providers.at_once import AtOnceProvider
from worker.providers.base import CancelResult, LostSubmission, SearchResult


class Own(AtOnceProvider):
    name = "own"


async def test_what_needs_a_ticket_is_a_defect() -> None:
    for call in (Own().poll, Own().result):
        with pytest.raises(InternalError, match="own has no tickets"):
            await call("a", Ticket("1"))
    assert await Own().cancel("a", Ticket("1")) is CancelResult.TOO_LATE


async def test_files_go_inside_the_call_and_nothing_is_listed() -> None:
    with pytest.raises(RequestRefusedError, match="own takes files inside the call") as refused:
        await Own().upload(Media(b"x", "image/png"))
    assert refused.value.provider == "own"
    assert await Own().find(LostSubmission("a", 1, "e", {}, 0.0)) == SearchResult()
    assert Own().list_price("e") is None and not Own.lists_requests
