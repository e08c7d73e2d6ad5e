"""Which provider may be asked now: circuits, pauses, probes, and what health is told."""

import asyncio
from typing import Any

import pytest

from tests.unit.engine.fakes import FakeAtOnce
from tests.unit.engine.world import IMAGES, World, world_of_two
from worker.errors import (
    AuthenticationError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)  # fmt: skip
from worker.health.base import Policy
from worker.health.verdict import Verdict
from worker.jobs.job import Job, Options, Stage, Step, Ticket
from worker.providers.base import Call, RunFailure

LORA: dict[str, Any] = {"model": "flux-lora", "given": {"loras": [{"path": "https://x/l.safetensors"}]}}
LOCK_S = 300.0


@pytest.fixture
def world() -> World:
    return world_of_two()


def vertex(world: World) -> FakeAtOnce:
    return world.providers["vertex"]  # type: ignore[no-any-return]


def trouble(row: Job) -> tuple[str, str]:
    assert row.error
    return row.error.code, row.error.message


async def test_an_open_circuit_is_gone_round_at_once(world: World) -> None:
    assert world.health
    await world.health.open("fal")
    await world.accept()
    row = await world.turn()
    assert [attempt.provider for attempt in row.attempts] == ["vertex"]
    assert world.fal.calls == []
    assert row.given_up == (), "fal is not given up: it may serve this job yet"


async def test_a_long_pause_is_gone_round_and_a_brief_one_is_waited_for(world: World) -> None:
    assert world.health
    await world.health.record("fal", "x", Verdict("limited", 1.5), None)
    await world.accept()
    row = await world.turn()
    assert (row.stage, row.attempts) == (Stage.ACCEPTED, ())
    await world.health.record("fal", "x", Verdict("limited", 60), None)
    world.now += 2
    row = await world.turn()
    assert [attempt.provider for attempt in row.attempts] == ["vertex"]


@pytest.mark.parametrize("after_s", [5.0, 77.0, LOCK_S])
async def test_a_lora_is_held_back_for_75_seconds_at_the_most(world: World, after_s: float) -> None:
    world = world_of_two(Policy(lock_s=after_s))
    assert world.health
    await world.health.open("fal")
    await world.accept(**LORA)
    row = await world.until(Stage.CLOSING if after_s > 75 else Stage.WAITING)
    assert vertex(world).calls == []
    if after_s > 75:
        assert row.closed_at and 74 < row.closed_at - row.created_at < 77
        assert trouble(row) == (
            "authentication",
            "fal may not be asked: it refuses our key, or has locked our account; fallback refused: loras",
        )
    else:
        assert world.fal.calls == ["submit"]
        assert row.held_back_at is None
        assert any(note.what == "held_back" and "fal's circuit is open" in note.text for note in row.history)


async def test_a_job_that_has_waited_for_its_turn_is_not_failed_by_a_circuit_that_opens(world: World) -> None:
    world = world_of_two(Policy(concurrency={"fal": 1}, lock_s=10))
    assert world.health
    busy = await world.health.acquire("fal", "x", 1000)
    await world.accept(**LORA)
    for _ in range(120):
        await world.turn()
        world.now += 1
    await world.health.record("fal", "x", Verdict("locked"), busy)  # type: ignore[arg-type]
    for _ in range(3):
        await world.turn()
        world.now += 1
    row = await world.until(Stage.WAITING)
    assert len(row.attempts) == 1


async def test_a_fallback_that_is_merely_full_is_waited_for(world: World) -> None:
    world = world_of_two(Policy(concurrency={"vertex": 1}))
    assert world.health
    await world.health.open("fal")
    busy = await world.health.acquire("vertex", "x", 1000)
    await world.accept()
    for _ in range(100):
        assert (await world.turn()).stage == Stage.ACCEPTED
        world.now += 1
    await world.health.record("vertex", "x", Verdict("ignored"), busy)  # type: ignore[arg-type]
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.attempts[-1].provider) == (Stage.COMPLETED, "vertex")


async def test_a_job_that_no_circuit_lets_through_fails_with_what_was_tried(world: World) -> None:
    world.fal.submits = [AuthenticationError("fal: 401", provider="fal")]
    assert world.health
    await world.health.open("vertex")
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert trouble(row) == (
        "authentication",
        "fal: 401; vertex may not be asked: it refuses our key, or has locked our account",
    )


async def test_one_probe_goes_and_the_others_go_round(world: World) -> None:
    world = world_of_two(Policy(lock_s=5))
    assert world.health
    await world.health.open("fal")
    world.now += 6
    hang = asyncio.Event()
    sent = list[str]()

    async def submit(call: Call) -> Ticket:
        sent.append(call.job_id)
        await hang.wait()
        return Ticket(f"r-{call.job_id}")

    world.fal.submit = submit  # type: ignore[method-assign]
    for number in range(5):
        step = Step("flux-schnell", {"prompt": "x"}, IMAGES)
        await world.ledger.accept(Job(f"j{number}", "generation.text_to_image", "generation", {}, step, Options(), 0.0))
    await world.dispatcher.run_once()
    async with asyncio.timeout(60):
        while len(vertex(world).sent) < 4:
            await asyncio.sleep(0)
    assert len(sent) == 1
    hang.set()
    await world.dispatcher.idle()
    (circuit,) = [state for state in await world.health.states() if (state.provider, state.model) == ("fal", None)]
    assert circuit.stand == "closed"
    assert not world.health.leaks()


async def test_health_is_told_once_the_row_is_written(world: World) -> None:
    assert world.health
    stages = list[Stage]()
    world.health.before_record = lambda: stages.append(world.ledger.rows["a"].job.stage)
    world.fal.submits = [RateLimitError("fal: 429"), Ticket("r-1")]
    await world.accept()
    await world.until(Stage.CLOSING)
    assert stages == [Stage.ACCEPTED, Stage.WAITING]
    assert world.health.told == [("fal", "limited"), ("fal", "good")]


@pytest.mark.parametrize(
    "answer",
    [
        Ticket("r-1"),
        RunFailure(ServiceUnavailableError("503")),
        ServiceUnavailableError("503"),
        RateLimitError("429"),
        AuthenticationError("401"),
        RequestRefusedError("no"),
        SubmitUnknownError("lost"),
    ],
)
async def test_whatever_an_answer_is_its_flight_is_told_of_once(world: World, answer: Any) -> None:
    world.fal.submits = [answer]
    await world.accept()
    await world.until(Stage.CLOSING, seconds=2000)
    assert world.health and world.health.gone
    assert world.health.leaks() == []


async def test_a_run_that_fails_later_is_told_of_too(world: World) -> None:
    world.fal.results = [RunFailure(ServiceUnavailableError("fal: runner gone"))]
    await world.accept(fallback=False)
    await world.until(Stage.CLOSING)
    assert world.health
    assert world.health.told[:2] == [("fal", "good"), ("fal", "bad")]
