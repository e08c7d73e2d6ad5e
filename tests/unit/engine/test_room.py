"""The room in memory that a call takes: before anything is asked or brought, until its answer is stored, once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.unit.engine.fakes import PICTURE, FakeAtOnce
from tests.unit.engine.world import IMAGES, World, world_of_two
from worker.engine import outcome
from worker.errors import ContentRefusedError, RequestRefusedError, ServiceUnavailableError
from worker.files.media import Media
from worker.files.memory_budget import MB, MemoryBudget
from worker.jobs.job import Job, Options, Stage, Step, Ticket
from worker.ledger.base import Claim
from worker.providers.base import Call, Reply, RunFailure

TOTAL = 100 * MB
VIDEO = Step("veo-3.1-lite", {"image": "https://x/i.png", "duration_s": 4}, IMAGES)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "STORE_PAUSES_S", (0.01,) * 100)


@pytest.fixture
def world() -> World:
    return crowded(most_waiting=2)


def crowded(**memory: Any) -> World:
    """A world whose calls to vertex take 60 of 100 MB each, so that there is room for one."""
    world = world_of_two()
    world.memory = MemoryBudget(TOTAL, **memory)
    vertex(world).call_size = 60 * MB
    world.dispatcher = world.another()
    return world


def vertex(world: World) -> FakeAtOnce:
    return world.providers["vertex"]  # type: ignore[no-any-return]


def free(world: World) -> int:
    assert world.memory
    return world.memory.free_bytes


async def accept(world: World, job_id: str, provider: str = "vertex", model: str = "flux-schnell") -> None:
    step, options = Step(model, {"prompt": "x"}, IMAGES), Options(provider=provider)
    await world.ledger.accept(Job(job_id, "generation.text_to_image", "generation", {}, step, options, 0.0))


async def row_of(world: World, job_id: str) -> Job:
    row = await world.ledger.get(job_id)
    assert row
    return row


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]], world: World | None = None) -> None:
    """Let tasks run, and rounds where a world is given, until it holds."""
    async with asyncio.timeout(60):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            if world:
                world.now += 0.5
                await world.dispatcher.run_once()
            await asyncio.sleep(0.001)


def hangs(world: World) -> tuple[asyncio.Event, asyncio.Event]:
    """Calls to vertex that are out (the first event) until they are let go of (the second)."""
    out, go_on = asyncio.Event(), asyncio.Event()

    async def submit(call: Call) -> Any:
        vertex(world).sent.append(call)
        out.set()
        await go_on.wait()
        return PICTURE

    vertex(world).submit = submit  # type: ignore[method-assign]
    return out, go_on


async def end(world: World) -> None:
    await world.dispatcher.stop(0.0, 0.0)
    assert free(world) == TOTAL


async def test_room_is_taken_before_the_provider_is_asked_and_given_back_once_the_piece_is_stored(world: World) -> None:
    assert world.health
    seen = dict[str, int]()
    ask = world.health.acquire

    async def watched(*asked: Any) -> Any:
        seen["asked"] = free(world)
        return await ask(*asked)

    world.health.acquire = watched  # type: ignore[method-assign]
    vertex(world).before_submit = lambda: seen.update(submitted=free(world))
    world.fetcher.before_keep = lambda: seen.update(stored=free(world))
    world.health.before_record = lambda: seen.update(told=free(world))
    await world.accept(provider="vertex")
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    assert seen == {**dict.fromkeys(("asked", "submitted", "stored"), 40 * MB), "told": TOTAL}


async def test_while_the_store_is_away_what_came_keeps_its_room_and_no_further_call_is_made(world: World) -> None:
    world.fetcher.keep_errors = [ServiceUnavailableError("the store: away")] * 20
    for job_id in ("a", "b"):
        await accept(world, job_id)
    await world.dispatcher.run_once()
    await until(lambda: len(world.fetcher.keep_errors) < 10)
    assert (len(vertex(world).sent), free(world)) == (1, 40 * MB)
    await until(lambda: len(world.fetcher.kept) == 2, world)
    await end(world)


async def test_while_one_waits_for_room_its_provider_is_not_asked_and_a_call_without_room_goes(world: World) -> None:
    assert world.health
    out, go_on = hangs(world)
    await accept(world, "a")
    await world.dispatcher.run_once()
    await out.wait()
    for job_id in ("b", "c", "d"):
        await accept(world, job_id)
    await accept(world, "free", provider="fal")
    await until(lambda: len(world.fal.sent) == 1, world)
    assert len(world.health.gone) == 2, "asked for a and for the one at fal"
    waiting = set(world.dispatcher.jobs) - {"a"}
    assert len(waiting) == 2, "of three, two may wait"
    go_on.set()

    async def all_done() -> bool:
        rows = [await row_of(world, job_id) for job_id in "abcd"]
        return all(row.ending == Stage.COMPLETED for row in rows)

    await until(all_done, world)
    assert sorted(call.job_id for call in vertex(world).sent) == ["a", "b", "c", "d"]
    await end(world)


async def test_who_is_turned_away_says_why_and_comes_again() -> None:
    world = crowded(most_waiting=0)
    assert world.memory
    taken = await world.memory.take(TOTAL)
    assert taken
    await world.accept(provider="vertex")
    row = await world.turn()
    assert (row.stage, row.attempts) == (Stage.ACCEPTED, ())
    assert "no memory for it now" in row.history[-1].text
    taken.give_back()
    assert (await world.until(Stage.CLOSING)).ending == Stage.COMPLETED


async def test_an_attempt_begins_when_its_waits_are_over(world: World) -> None:
    assert world.memory and world.inputs
    taken, bring = await world.memory.take(TOTAL), world.inputs.bring
    assert taken

    async def slowly(*refs: Any, **limits: Any) -> tuple[Media, ...]:
        world.now += 2
        return await bring(*refs, **limits)

    def give_back() -> None:
        world.now += 1
        taken.give_back()

    world.inputs.bring = slowly  # type: ignore[method-assign]
    asyncio.get_running_loop().call_later(0.05, give_back)
    claimed_at = world.now
    await world.accept_step(VIDEO, provider="vertex")
    row = await world.until(Stage.CLOSING)
    assert row.attempts[0].started_at - claimed_at == 3, "until a lost call must be over is counted from then"


async def test_a_call_that_nobody_may_make_gives_its_room_back(world: World) -> None:
    assert world.health
    await world.health.open("vertex")
    await world.accept(providers=("vertex",))
    row = await world.turn()
    assert (row.stage, vertex(world).sent, free(world)) == (Stage.ACCEPTED, [], TOTAL)


@pytest.mark.parametrize(
    "answer",
    [RuntimeError("a bug"), RunFailure(ContentRefusedError("no"), 1.0), ServiceUnavailableError("503"), Ticket("r-1")],
    ids=["defect", "fault", "refused for now", "ticket"],
)
async def test_whatever_comes_of_the_call_its_room_comes_back_once(world: World, answer: Any) -> None:
    vertex(world).submits = [answer]
    await world.accept(provider="vertex")
    await world.turn()
    assert vertex(world).calls[0] == "submit" and free(world) == TOTAL


async def test_a_job_that_goes_elsewhere_in_the_same_claim_takes_the_room_of_one_call() -> None:
    world = world_of_two(other=FakeAtOnce("gemini"), vertex=FakeAtOnce())
    world.memory = MemoryBudget(TOTAL)
    lows = list[int]()
    for name in ("fal", "vertex"):
        world.providers[name].call_size = 60 * MB
        world.providers[name].before_submit = lambda: lows.append(free(world))
    world.fal.submits = [RunFailure(ServiceUnavailableError("fal: broke"), 0.0)]
    world.dispatcher = world.another()
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert row.attempts[-1].provider == "vertex" and set(lows) == {40 * MB} and free(world) == TOTAL


async def test_what_an_operation_brought_keeps_its_room_while_the_store_is_away(world: World) -> None:
    v, seen = vertex(world), list[int]()
    v.result_bytes, v.submits, v.results = 60 * MB, [Ticket("r-1")], [Reply({}, files=(b"v",))]
    world.fetcher.keep_errors = [ServiceUnavailableError("the store: away")] * 3
    world.fetcher.before_keep = lambda: seen.append(free(world))
    await world.accept(provider="vertex")
    row = await world.until(Stage.CLOSING)
    assert (row.ending, seen, free(world)) == (Stage.COMPLETED, [40 * MB] * 4, TOTAL)


async def test_an_answer_that_there_is_no_room_for_is_asked_for_later() -> None:
    world = crowded(most_waiting=0)
    assert world.memory
    v = vertex(world)
    v.call_size, v.result_bytes = 0, 60 * MB
    v.submits, v.results = [Ticket("r-1")], [Reply({}, files=(b"v",))]
    taken = await world.memory.take(TOTAL)
    assert taken
    await world.accept(provider="vertex")
    for _ in range(40):
        world.now += 1
        row = await world.turn()
    assert (row.stage, v.calls.count("result")) == (Stage.WAITING, 0)
    taken.give_back()
    assert (await world.until(Stage.CLOSING)).ending == Stage.COMPLETED


async def test_a_claim_that_is_lost_gives_its_room_back(world: World) -> None:
    vertex(world).before_submit = lambda: setattr(world.ledger.rows["a"], "fence", 99)
    await world.accept(provider="vertex")
    await world.turn()
    assert len(vertex(world).sent) == 1 and free(world) == TOTAL


async def test_an_intent_that_cannot_be_written_gives_its_room_back(world: World) -> None:
    real = world.ledger.keep

    async def keep(claim: Claim, job: Job, lease_s: float) -> None:
        if job.stage == Stage.SUBMITTING:
            world.ledger.rows["a"].fence += 1
        await real(claim, job, lease_s)

    world.ledger.keep = keep  # type: ignore[method-assign]
    await world.accept(provider="vertex")
    await world.turn()
    assert vertex(world).sent == [] and free(world) == TOTAL


async def test_a_worker_that_stops_gives_back_the_room_of_a_call_and_of_those_who_wait(world: World) -> None:
    out, _ = hangs(world)
    for job_id in ("a", "b", "c"):
        await accept(world, job_id)
    await world.dispatcher.run_once()
    await out.wait()
    assert free(world) == 40 * MB and len(world.dispatcher.jobs) == 3
    await end(world)
    assert len(vertex(world).sent) == 1


async def test_files_are_taken_to_be_of_a_usual_size_and_what_they_do_not_need_is_free_for_others(world: World) -> None:
    vertex(world).call_size = 0
    lows, bring = list[int](), world.inputs.bring  # type: ignore[union-attr]

    async def watched(*refs: Any, **limits: Any) -> tuple[Media, ...]:
        lows.append(free(world))
        return await bring(*refs, **limits)

    world.inputs.bring = watched  # type: ignore[union-attr, method-assign]
    vertex(world).before_submit = lambda: lows.append(free(world))
    await world.accept_step(VIDEO, provider="vertex")
    await world.until(Stage.CLOSING)
    assert lows == [TOTAL - 4 * MB, TOTAL - len(b"https://x/i.png")] and free(world) == TOTAL


async def test_files_larger_than_usual_are_brought_anew_with_room_for_the_largest(world: World) -> None:
    assert world.inputs and world.health
    vertex(world).call_size = 0
    brought = list[tuple[int, int]]()

    async def bring(refs: Any, *, most_bytes: int, kind: Any, labels: Any, fit: Any, tenant: Any) -> tuple[Media, ...]:
        brought.append((most_bytes, free(world)))
        if most_bytes < 9 * MB:
            raise RequestRefusedError("image: larger than the limit of 4 MB", kind="too_large")
        return (Media(b"x" * 9 * MB, "image/png"),)

    world.inputs.bring = bring  # type: ignore[method-assign, assignment]
    await world.accept_step(VIDEO, provider="vertex")
    row = await world.until(Stage.CLOSING)
    assert (row.ending, len(row.attempts)) == (Stage.COMPLETED, 1)
    assert brought == [(4 * MB, 96 * MB), (100 * MB, 0)]
    assert (world.health.leaks(), free(world)) == ([], TOTAL)


async def test_files_larger_than_any_call_may_have_are_refused(world: World) -> None:
    assert world.inputs
    world.inputs.errors = [RequestRefusedError("image: too large", kind="too_large")] * 3
    await world.accept_step(VIDEO, provider="vertex")
    row = await world.until(Stage.CLOSING)
    assert (row.ending, len(world.inputs.asked), free(world)) == (Stage.FAILED, 2, TOTAL)


async def test_a_file_that_is_uploaded_takes_room_until_it_is_there(world: World) -> None:
    lows = list[int]()
    world.fal.before_submit = lambda: lows.append(free(world))
    step = Step("veo-3.1-fast", {"prompt": "x", "image": "jobs/b/images-0.png"}, IMAGES)
    await world.accept_step(step, provider="fal")
    await world.turn()
    assert 4 * MB in world.fal.sized, "charged before it is brought"
    assert lows == [TOTAL]
