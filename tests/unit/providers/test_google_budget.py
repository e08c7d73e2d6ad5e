"""Memory is lent in order, given back whatever happens, and never more than there is."""

import asyncio
from contextlib import suppress

import pytest

from worker.providers.base import Media
from worker.providers.google_budget import MB, MemoryBudget, input_bytes, picture_bytes


class Borrower:
    """Tasks that take room until they are let go."""

    def __init__(self, budget: MemoryBudget) -> None:
        self.budget, self.inside, self.gates = budget, list[str](), dict[str, asyncio.Event]()

    def start(self, name: str, wanted: int) -> asyncio.Task[None]:
        self.gates[name] = asyncio.Event()
        return asyncio.create_task(self._borrow(name, wanted))

    async def _borrow(self, name: str, wanted: int) -> None:
        async with self.budget.room(wanted):
            self.inside.append(name)
            await self.gates[name].wait()
            self.inside.remove(name)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_who_comes_first_is_served_first_even_if_a_smaller_one_would_fit() -> None:
    borrower = Borrower(MemoryBudget(10))
    tasks = [borrower.start(name, wanted) for name, wanted in (("a", 6), ("large", 6), ("small", 1))]
    await settle()
    assert borrower.inside == ["a"]
    borrower.gates["a"].set()
    await settle()
    assert borrower.inside == ["large", "small"]
    for gate in borrower.gates.values():
        gate.set()
    await asyncio.gather(*tasks)


async def test_who_wants_more_than_there_is_gets_all_of_it_alone() -> None:
    borrower = Borrower(MemoryBudget(10))
    tasks = [borrower.start("huge", 99), borrower.start("tiny", 1)]
    await settle()
    assert borrower.inside == ["huge"]
    borrower.gates["huge"].set()
    await settle()
    assert borrower.inside == ["tiny"]
    borrower.gates["tiny"].set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("frees_first", [True, False])
async def test_a_cancelled_wait_neither_keeps_room_nor_blocks_those_behind(frees_first: bool) -> None:
    borrower = Borrower(MemoryBudget(10))
    tasks = [borrower.start(name, wanted) for name, wanted in (("a", 8), ("gone", 10), ("b", 2))]
    await settle()
    if frees_first:  # its turn comes in the same moment
        borrower.gates["a"].set()
        while borrower.inside:
            await asyncio.sleep(0)
    tasks[1].cancel()
    borrower.gates["a"].set()
    await settle()
    assert borrower.inside == ["b"]
    borrower.gates["b"].set()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(1), borrower.budget.room(10):
        pass


async def test_a_room_that_fails_is_given_back() -> None:
    budget = MemoryBudget(10)
    for _ in range(3):
        with suppress(ValueError):
            async with budget.room(10):
                raise ValueError
    async with asyncio.timeout(1), budget.room(10):
        pass


async def test_a_thousand_cancels_at_random_lose_nothing() -> None:
    budget, seen = MemoryBudget(10), [0]

    async def borrow(wanted: int) -> None:
        async with budget.room(wanted):
            seen[0] += wanted
            assert seen[0] <= 10
            try:
                await asyncio.sleep(0)
            finally:
                seen[0] -= wanted

    tasks = [asyncio.create_task(borrow(1 + number % 10)) for number in range(1000)]
    for number, task in enumerate(tasks):
        if number % 3 == 0:
            task.cancel()
        if number % 7 == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(1), budget.room(10):
        assert seen == [0]


def test_a_larger_picture_and_its_inputs_take_more() -> None:
    files = (Media(b"x" * MB, "image/png"), Media(b"x" * MB, "image/png"))

    assert picture_bytes(None, ()) == picture_bytes("1K", ()) < picture_bytes("2K", ()) < picture_bytes("4K", ())
    assert picture_bytes("8K", ()) == picture_bytes("4K", ()) == 100 * MB
    assert picture_bytes("1K", files) - picture_bytes("1K", ()) == input_bytes(files) == 6 * MB
