"""Whatever two providers answer, in whatever order: the job ends, nothing is sent twice, nobody left is asked again."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.fakes import DONE, PICTURE
from tests.unit.engine.world import World, world_of_two
from worker.engine import outcome, row_writer
from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)  # fmt: skip
from worker.jobs.job import Job, Stage, Ticket
from worker.providers.base import CancelResult, Ended, Queued, RunFailure, Running
from worker.routing.retry import MAX_UNKNOWN
from worker.routing.routes import name_of

ERRORS: list[Callable[[], ExternalServiceError]] = [
    lambda: RateLimitError("429"),
    lambda: RateLimitError("429", retry_after_s=40),
    lambda: RateLimitError("429", retry_after_s=4000),
    lambda: ServiceUnavailableError("503"),
    lambda: AuthenticationError("401"),
    lambda: AccountLockedError("locked"),
    lambda: RequestRefusedError("422"),
    lambda: RequestRefusedError("404", kind="model_retired"),
    lambda: ContentRefusedError("policy"),
    lambda: BrokenPieceError("no picture", kind="no_image"),
    lambda: BrokenPieceError("black"),
]
error = st.sampled_from(ERRORS).map(lambda make: make())
passing = st.sampled_from(ERRORS[:4]).map(lambda make: make())
lost = st.builds(SubmitUnknownError, st.just("lost"))
fault = error.map(RunFailure)
ticket = st.integers(1, 10**9).map(lambda number: Ticket(f"r-{number}"))
run_status = st.sampled_from([Queued(3), Running(), Ended(), Ended(), RequestRefusedError("gone", kind="not_found")])


def some(*answers: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.one_of(*answers), min_size=1, max_size=6)


courses = st.fixed_dictionaries(
    {
        "fal_submits": some(passing, error, lost, ticket),
        "polls": some(run_status, passing),
        "results": some(st.just(DONE), fault),
        "cancels": some(st.sampled_from(list(CancelResult)), passing),
        "finds": some(st.none(), ticket, passing),
        "vertex_submits": some(passing, error, lost, fault, st.just(PICTURE)),
        "kept": st.lists(passing | error, max_size=3),
        "options": st.fixed_dictionaries(
            {"deadline_s": st.sampled_from([1.0, 30.0, 500.0])},
            optional={
                "provider": st.sampled_from(["fal", "vertex"]),
                "fallback": st.booleans(),
                "fallback_on_policy": st.booleans(),
                "max_queue_s": st.sampled_from([1.0, 20.0]),
            },
        ),
        "cancel_at": st.none() | st.integers(0, 30),
    }
)


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_writer.log, "warning", lambda *_, **__: None)
        patch.setattr(outcome, "STORE_PAUSES_S", (0.0, 0.0))
        yield


@settings(max_examples=60, deadline=None)
@given(courses)
def test_every_course_ends_and_nothing_is_sent_twice(course: dict[str, Any]) -> None:
    rows = asyncio.run(run(world := world_of(course), course))
    row = rows[-1]
    fal, vertex = world.providers["fal"], world.providers["vertex"]
    assert row.ending is not None
    sent = [call.attempt for call in (*fal.sent, *vertex.sent)]
    assert len(sent) == len(set(sent)), "at most one submission an attempt"
    for before, after in itertools.pairwise(rows):
        for attempt in after.attempts[len(before.attempts) :]:
            assert name_of(attempt) not in before.given_up, "a route that was given up is not used again"
            assert all(each.ended_at is not None for each in before.attempts), "nothing is open when another begins"
    assert sum(each.error is not None and each.error.code == "submit_unknown" for each in row.attempts) <= (MAX_UNKNOWN)
    assert world.health and world.health.leaks() == []
    if row.ending == Stage.COMPLETED:
        assert row.artefacts and row.attempts[-1].error is None


def world_of(course: dict[str, Any]) -> World:
    world = world_of_two()
    fal, vertex = world.providers["fal"], world.providers["vertex"]
    fal.submits, fal.polls, fal.results = course["fal_submits"], course["polls"], course["results"]
    fal.cancels, fal.finds = course["cancels"], course["finds"]
    vertex.submits = course["vertex_submits"]
    world.fetcher.errors, world.fetcher.keep_errors = list(course["kept"]), list(course["kept"])
    return world


async def run(world: World, course: dict[str, Any]) -> list[Job]:
    """Every row as it was written, to the job's end; time jumps to whatever is due next."""
    rows = [await world.accept(**course["options"])]
    for name in ("keep", "release"):
        _remember(world.ledger, name, rows)
    for turn in range(3000):
        if turn == course["cancel_at"]:
            await world.ledger.signal("a", "cancel")
        if (await world.turn()).stage == Stage.CLOSING:
            break
        world.now = max(world.now, world.ledger.rows["a"].due)
    return rows


def _remember(ledger: Any, name: str, rows: list[Job]) -> None:
    real = getattr(ledger, name)

    async def write(claim: Any, job: Job, seconds: float) -> None:
        await real(claim, job, seconds)
        rows.append(job)

    setattr(ledger, name, write)
