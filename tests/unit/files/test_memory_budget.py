"""Memory is lent in order, given back once whatever happens, and never more than there is."""

import asyncio
import random
from collections.abc import Callable

import pytest

from worker.files.memory_budget import MemoryBudget, Reservation


class Takers:
    """Tasks that take room and keep it until they are told to give it back."""

    def __init__(self, memory: MemoryBudget) -> None:
        self.memory, self.rooms, self.turned_away = memory, dict[str, Reservation](), list[str]()

    async def start(self, name: str, wanted: int) -> asyncio.Task[None]:
        task = asyncio.create_task(self._take(name, wanted))
        await settle()
        return task

    async def _take(self, name: str, wanted: int) -> None:
        room = await self.memory.take(wanted)
        if room is None:
            self.turned_away.append(name)
        else:
            self.rooms[name] = room

    async def end(self, name: str) -> None:
        self.rooms.pop(name).give_back()
        await settle()

    @property
    def inside(self) -> list[str]:
        return list(self.rooms)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def is_whole(memory: MemoryBudget) -> bool:
    """Whether all of it is free."""
    async with asyncio.timeout(1):
        room = await memory.take(memory.total_bytes)
    assert room
    whole = room.bytes == memory.total_bytes
    room.give_back()
    return whole


async def test_who_comes_first_is_served_first_even_if_a_smaller_one_would_fit() -> None:
    takers = Takers(MemoryBudget(10))
    for name, wanted in (("a", 6), ("large", 6), ("small", 1)):
        await takers.start(name, wanted)
    assert takers.inside == ["a"]
    await takers.end("a")
    assert takers.inside == ["large", "small"]


async def test_who_wants_nothing_waits_for_nobody() -> None:
    takers = Takers(MemoryBudget(10, most_waiting=1))
    for name, wanted in (("a", 10), ("b", 1), ("none", 0)):
        await takers.start(name, wanted)
    assert takers.inside == ["a", "none"]


async def test_who_wants_more_than_there_is_gets_all_of_it_alone() -> None:
    takers = Takers(MemoryBudget(10))
    await takers.start("huge", 99)
    await takers.start("tiny", 1)
    assert takers.inside == ["huge"] and takers.rooms["huge"].bytes == 10
    await takers.end("huge")
    assert takers.inside == ["tiny"]


async def test_what_a_room_shrinks_by_goes_to_the_next_in_line_and_a_room_never_grows() -> None:
    takers = Takers(MemoryBudget(10))
    await takers.start("a", 10)
    await takers.start("b", 4)
    takers.rooms["a"].shrink(7)
    await settle()
    assert takers.inside == ["a"]
    takers.rooms["a"].shrink(6)
    takers.rooms["a"].shrink(9)
    await settle()
    assert takers.inside == ["a", "b"] and takers.rooms["a"].bytes == 6


async def test_what_is_given_back_twice_comes_back_once() -> None:
    memory = MemoryBudget(10)
    first, second = await memory.take(5), await memory.take(5)
    assert first and second
    for _ in range(3):
        first.give_back()
    takers = Takers(memory)
    await takers.start("a", 6)
    assert takers.inside == []
    second.give_back()
    await settle()
    assert takers.inside == ["a"]


@pytest.mark.parametrize("frees_first", [True, False])
async def test_a_cancelled_wait_neither_keeps_room_nor_blocks_those_behind(frees_first: bool) -> None:
    takers = Takers(MemoryBudget(10))
    await takers.start("a", 8)
    gone = await takers.start("gone", 10)
    await takers.start("b", 2)
    if frees_first:  # its turn comes in the same moment
        takers.rooms.pop("a").give_back()
    gone.cancel()
    await settle()
    assert takers.inside == (["b"] if frees_first else ["a", "b"])
    for name in takers.inside:
        await takers.end(name)
    assert await is_whole(takers.memory)


async def test_where_too_many_wait_the_next_is_turned_away_at_once() -> None:
    takers = Takers(MemoryBudget(10, most_waiting=2))
    for name, wanted in (("a", 10), ("b", 5), ("c", 5), ("d", 1)):
        await takers.start(name, wanted)
    assert (takers.inside, takers.turned_away) == (["a"], ["d"])
    await takers.end("a")
    assert takers.inside == ["b", "c"]


async def test_who_has_waited_too_long_is_turned_away_and_blocks_nobody() -> None:
    takers = Takers(MemoryBudget(10, patience_s=0.05))
    await takers.start("a", 8)
    late = await takers.start("late", 10)
    async with asyncio.timeout(1):
        await late
    await takers.start("b", 2)
    assert (takers.inside, takers.turned_away) == (["a", "b"], ["late"])
    for name in takers.inside:
        await takers.end(name)
    assert await is_whole(takers.memory)


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_course_it_takes_no_more_is_lent_than_there_is_and_all_comes_back(seed: int) -> None:
    chance = random.Random(seed)
    memory, lent = MemoryBudget(50, most_waiting=20, patience_s=0.02), [0]
    served = list[int]()

    async def claim(number: int) -> None:
        room = await memory.take(chance.randint(0, 70))
        if room is None:
            return
        served.append(number)
        charged = room.bytes
        lent[0] += charged
        try:
            assert lent[0] <= 50
            for act in chance.sample(_ACTS, 3):
                act(room)
                lent[0], charged = lent[0] - charged + room.bytes, room.bytes
                await asyncio.sleep(chance.choice([0, 0, 0.001]))
                assert 0 <= lent[0] <= 50
        finally:
            lent[0] -= charged
            room.give_back()

    tasks = list[asyncio.Task[None]]()
    for number in range(300):
        tasks.append(asyncio.create_task(claim(number)))
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
        if chance.random() < 0.5:
            await asyncio.sleep(chance.choice([0, 0, 0.002]))
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [end for end in ended if end is not None and not isinstance(end, asyncio.CancelledError)] == []
    assert len(served) > 50 and lent == [0]
    assert await is_whole(memory)


_ACTS: list[Callable[[Reservation], None]] = [
    Reservation.give_back,
    lambda room: room.shrink(room.bytes // 2),
    lambda room: room.shrink(room.bytes + 5),
    lambda room: room.shrink(-1),
    lambda room: None,
]


async def test_one_tenant_neither_takes_all_memory_nor_all_places_in_the_queue() -> None:
    budget = MemoryBudget(100, most_waiting=8)
    assert await budget.take(75, "evil")
    queue = [asyncio.ensure_future(budget.take(20, "evil")) for _ in range(4)]
    await asyncio.sleep(0)
    assert [await work for work in queue[2:]] == [None, None], "a quarter of the queue"
    async with asyncio.timeout(1):
        good = await budget.take(25, "good")
    assert good and budget.free_bytes == 0, "it passes those whose tenant has its share"
    for work in queue[:2]:
        work.cancel()
    await asyncio.gather(*queue[:2], return_exceptions=True)


async def test_a_tenant_alone_may_have_one_call_of_any_size() -> None:
    budget = MemoryBudget(100)
    reservation = await budget.take(100, "a")
    assert reservation
    reservation.give_back()
    assert (budget.free_bytes, budget._held) == (100, {})
