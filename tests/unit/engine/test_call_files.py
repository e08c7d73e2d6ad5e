"""Files that go with a call: brought or uploaded before anything is sent, and what follows when they cannot be fetched."""

import asyncio
from typing import Any

import pytest

from tests.unit.engine.fakes import FakeAtOnce
from tests.unit.engine.world import IMAGES, World, world_of_two
from worker.errors import (
    AuthenticationError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
)  # fmt: skip
from worker.health.base import Policy
from worker.jobs.job import Job, Stage, Step, Ticket
from worker.jobs.status import status_of
from worker.providers.base import Ended, Reply, RunFailure

VIDEO = Step("veo-3.1-lite", {"image": "https://x/i.png", "duration_s": 4}, IMAGES)
OURS = Step("veo-3.1-lite", {"image": "jobs/b/images-0.png", "duration_s": 4}, IMAGES)


@pytest.fixture
def world() -> World:
    return world_of_two()


def vertex(world: World) -> FakeAtOnce:
    return world.providers["vertex"]  # type: ignore[no-any-return]


def trouble(row: Job) -> tuple[str, str]:
    assert row.error
    return row.error.code, row.error.message


async def test_a_probe_whose_files_cannot_be_brought_leaves_the_circuit_to_the_next(world: World) -> None:
    world = world_of_two(Policy(lock_s=5))
    assert world.health and world.inputs
    await world.health.open("vertex")
    world.now += 6
    world.inputs.errors = [RequestRefusedError("image: not there", kind="missing")]
    await world.accept_step(VIDEO, provider="vertex")
    row = await world.until(Stage.CLOSING)
    assert trouble(row) == ("request_refused", "image: not there")
    assert (vertex(world).calls, world.health.leaks()) == ([], [])
    assert (world.health.gone, world.health.told) == ([], []), "its files come before anybody is asked"


async def test_files_that_cannot_be_had_now_are_asked_for_again(world: World) -> None:
    assert world.inputs and world.health
    world.inputs.errors = [ServiceUnavailableError("image: 503"), RateLimitError("image: 429")]
    await world.accept_step(VIDEO, provider="vertex")
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    assert [file.data for file in vertex(world).sent[0].files] == [b"https://x/i.png"]
    assert len(world.inputs.asked) == 3
    assert (world.health.leaks(), len(row.attempts)) == ([], 1)


async def test_a_job_whose_file_cannot_be_had_now_says_which_attempt_follows(world: World) -> None:
    assert world.inputs
    world.inputs.errors = [ServiceUnavailableError("image: https://x/i.png answered HTTP 503")] * 2
    await world.accept_step(VIDEO, provider="vertex")
    first = status_of(await world.turn(), world.now).delayed_by
    assert first == (
        "an input file could not be fetched, attempt 2 of 6 follows: image: https://x/i.png answered HTTP 503"
    )


async def test_files_that_never_come_end_the_job_before_anything_is_sent(world: World) -> None:
    assert world.inputs and world.health
    world.inputs.errors = [ServiceUnavailableError("image: 503")] * 99
    await world.accept_step(VIDEO, provider="vertex")
    row = await world.until(Stage.CLOSING)
    assert trouble(row) == ("service_unavailable", "image: 503")
    assert (vertex(world).calls, row.attempts, len(world.inputs.asked)) == ([], (), 6)
    assert world.health.leaks() == []


async def test_looks_at_an_earlier_run_do_not_count_as_tries_of_a_file(world: World) -> None:
    assert world.inputs
    vertex(world).submits = [Ticket("r-1"), Ticket("r-2")]
    vertex(world).polls = [*[ServiceUnavailableError("away")] * 9, Ended()]
    vertex(world).results = [RunFailure(ServiceUnavailableError("vertex: 503")), Reply({}, files=(b"v",))]
    await world.accept_step(VIDEO, providers=("vertex",))
    await world.turn()
    world.inputs.errors = [ServiceUnavailableError("image: 503")]
    row = await world.until(Stage.CLOSING)
    assert (row.ending, len(row.attempts)) == (Stage.COMPLETED, 2)


async def test_a_fallback_whose_files_cannot_be_brought_does_not_hide_the_first_error(world: World) -> None:
    assert world.inputs
    world.fal.submits = [AuthenticationError("fal: 401", provider="fal")]
    world.inputs.errors = [RequestRefusedError("image: not public", kind="inside")]
    await world.accept_step(VIDEO)
    row = await world.until(Stage.CLOSING)
    assert trouble(row) == ("authentication", "fal: 401; vertex was not asked: image: not public")


async def test_a_route_without_files_inside_needs_none(world: World) -> None:
    assert world.inputs
    await world.accept_step(VIDEO)
    await world.turn()
    assert world.inputs.asked == []
    assert world.fal.sent[0].files == ()


async def test_a_defect_while_files_are_brought_leaks_no_flight(world: World) -> None:
    assert world.inputs and world.health
    world.inputs.errors = [RuntimeError("a bug")]
    await world.accept_step(VIDEO, provider="vertex")
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    assert world.health.leaks() == []


async def test_a_worker_that_stops_while_files_are_brought_leaks_no_flight(world: World) -> None:
    assert world.inputs and world.health
    begun = asyncio.Event()

    async def hang(refs: Any, **_: Any) -> Any:
        begun.set()
        await asyncio.Event().wait()

    world.inputs.bring = hang  # type: ignore[method-assign]
    await world.accept_step(VIDEO, provider="vertex")
    await world.dispatcher.run_once()
    await begun.wait()
    await world.dispatcher.stop(0.0, 0.0)
    assert (world.health.gone, world.health.leaks()) == ([], [])


async def test_a_picture_that_a_provider_cannot_fetch_is_uploaded_to_it_once(world: World) -> None:
    world.fal.submits = [RateLimitError("fal: 429"), Ticket("r-1")]
    await world.accept_step(OURS)
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    assert world.fal.calls[:3] == ["upload", "submit", "submit"]
    assert [call.arguments["image_url"] for call in world.fal.sent] == ["https://theirs/1"] * 2


@pytest.mark.parametrize(
    ("error", "tries"),
    [(ServiceUnavailableError("fal: 503", provider="fal"), 3), (AuthenticationError("fal: 401", provider="fal"), 1)],
)
async def test_a_provider_that_takes_no_upload_is_one_that_cannot_serve(
    world: World, error: ExternalServiceError, tries: int
) -> None:
    world.fal.uploads = [error]
    await world.accept_step(OURS)
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.attempts[-1].provider) == (Stage.COMPLETED, "vertex")
    assert [attempt.error and attempt.error.code for attempt in row.attempts] == [error.code] * tries + [None]
    assert world.fal.calls == ["upload"] * tries
    assert [file.data for file in vertex(world).sent[0].files] == [b"jobs/b/images-0.png"]
    assert world.health and world.health.leaks() == []


async def test_a_provider_that_takes_no_upload_and_stands_alone_fails_the_job(world: World) -> None:
    world.fal.uploads = [AuthenticationError("fal: 401", provider="fal")]
    await world.accept_step(OURS, fallback=False)
    row = await world.until(Stage.CLOSING)
    assert trouble(row) == ("authentication", "fal: 401; fallback refused: fallback=false")
    assert world.fal.sent == []
