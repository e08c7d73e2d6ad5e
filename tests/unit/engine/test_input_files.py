"""Files take their time: what happens meanwhile is heard before anything is sent, and others are not held up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.engine.fakes import FakeInputs, WatchedHealth
from tests.unit.engine.world import IMAGES, LEASE_S, World, world_of_two
from worker.errors import RequestRefusedError, ServiceUnavailableError
from worker.files.memory_budget import MB, MemoryBudget
from worker.health.base import Policy
from worker.health.verdict import Verdict
from worker.jobs.job import Job, Options, Stage, Step

OURS, OTHER = "jobs/b/weights-0.safetensors", "jobs/c/weights-0.safetensors"


def loras(*refs: str) -> Step:
    return Step("flux-lora", {"prompt": "x", "loras": [{"path": ref, "scale": 0.8} for ref in refs]}, IMAGES)


async def pass_time(world: World, seconds: float) -> None:
    """Let time pass while claims are renewed, as the dispatcher does."""
    while seconds > 0:
        world.now += min(seconds, LEASE_S / 3)
        seconds -= LEASE_S / 3
        await world.dispatcher.renew_once()


def meanwhile(world: World, happens: Callable[[], Awaitable[Any]]) -> None:
    """What happens while large files are handed over, before the upload itself."""
    assert world.inputs
    hand_over = world.inputs.hand_over

    async def slowly(ref: str, upload: Any, **more: Any) -> str:
        await happens()
        return await hand_over(ref, upload, **more)

    world.inputs.hand_over = slowly  # type: ignore[method-assign]


async def test_a_job_that_is_cancelled_during_its_upload_is_not_submitted() -> None:
    world = World(inputs=FakeInputs())

    async def cancelled() -> None:
        await pass_time(world, 100)
        await world.ledger.signal("a", "cancel")

    meanwhile(world, cancelled)
    await world.accept_step(loras(OURS))
    row = await world.until(Stage.CLOSING)
    assert (row.ending, world.fal.calls) == (Stage.CANCELLED, ["upload"])
    assert row.receipt and row.receipt.in_time


async def test_a_job_whose_deadline_passes_during_its_upload_is_not_submitted() -> None:
    world = World(inputs=FakeInputs())
    meanwhile(world, lambda: pass_time(world, 100))
    await world.accept_step(loras(OURS), deadline_s=10.0)
    row = await world.until(Stage.CLOSING)
    assert (row.error and row.error.code, world.fal.calls) == ("deadline_exceeded", ["upload"])


async def test_a_job_that_is_cancelled_while_it_waits_for_memory_is_not_submitted() -> None:
    world = world_of_two()
    world.memory = MemoryBudget(100 * MB)
    vertex = world.providers["vertex"]
    vertex.call_size = 60 * MB
    world.dispatcher = world.another()
    others = await world.memory.take(100 * MB)
    assert others
    await world.accept(provider="vertex")
    await world.dispatcher.run_once()
    await asyncio.sleep(0)
    await world.ledger.signal("a", "cancel")
    await pass_time(world, 50)
    others.give_back()
    row = await world.until(Stage.CLOSING)
    assert (row.ending, vertex.calls) == (Stage.CANCELLED, [])


async def test_jobs_with_large_files_leave_claims_for_others() -> None:
    world = World(inputs=FakeInputs())
    go_on = asyncio.Event()
    meanwhile(world, go_on.wait)
    for n in range(10):  # as many as a dispatcher here claims at once
        await world.ledger.accept(
            Job(f"u{n}", "generation.text_to_image", "generation", {}, loras(OURS), Options(), 0.0)
        )
    await world.dispatcher.run_once()
    await asyncio.sleep(0.01)
    await world.accept()
    for _ in range(5):
        await world.dispatcher.run_once()
        await asyncio.sleep(0.01)
    assert [call.job_id for call in world.fal.sent] == ["a"]
    await world.dispatcher.stop(0, 0)


async def test_a_probes_lease_does_not_run_while_files_are_uploaded() -> None:
    world = World(inputs=FakeInputs())
    world.health = WatchedHealth(lambda: world.now, Policy(open_s=5.0))
    world.dispatcher = world.another()
    for _ in range(5):
        await world.health.record("fal", "fal-ai/flux-lora", Verdict("bad"), None)
    world.now += 6
    meanwhile(world, lambda: pass_time(world, 60))  # far longer than a submission's lease
    await world.accept_step(loras(OURS))
    await world.turn()
    assert world.fal.calls == ["upload", "submit"]
    assert {state.stand for state in await world.health.states()} == {"closed"}, "its own good answer has closed it"


async def test_what_was_uploaded_is_kept_when_another_file_of_the_call_is_away() -> None:
    world = World(inputs=FakeInputs())
    assert world.inputs
    away, hand_over = [ServiceUnavailableError("the store: away", kind="store")] * 3, world.inputs.hand_over

    async def partly(ref: str, upload: Any, **more: Any) -> str:
        if ref == OTHER and away:
            raise away.pop()
        return await hand_over(ref, upload, **more)

    world.inputs.hand_over = partly  # type: ignore[method-assign]
    await world.accept_step(loras(OURS, OTHER))
    await world.until(Stage.WAITING)
    assert [ref for ref, _, _ in world.inputs.handed] == [OURS, OTHER]


async def test_a_file_that_is_refused_after_a_while_ends_the_job_then() -> None:
    world = World(inputs=FakeInputs())

    async def refused() -> None:
        await pass_time(world, 600)
        raise RequestRefusedError("loras.0.url: our store has no file", kind="missing")

    meanwhile(world, refused)
    await world.accept_step(loras(OURS))
    row = await world.turn()
    assert (row.stage, row.closed_at) == (Stage.CLOSING, pytest.approx(world.now))


@pytest.mark.parametrize("rate_per_s", [1.0, 0.2])
async def test_files_are_brought_without_using_up_the_rate_of_their_call(rate_per_s: float) -> None:
    world = world_of_two(Policy(rate_per_s={"vertex": rate_per_s}))
    step = Step("veo-3.1-lite", {"image": "https://x/i.png", "duration_s": 4}, IMAGES)
    await world.accept_step(step, provider="vertex", fallback=False)
    row = await world.until(Stage.CLOSING, seconds=100)
    assert (row.ending, row.attempts[0].provider) == (Stage.COMPLETED, "vertex")
