"""Transfer slots are shared by tenant, host and job, and a transfer that gets none is told so within seconds."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from worker.errors import ServiceUnavailableError
from worker.files.slots import SharedSlots, SlotUser, host_of

FAST = {"patience_s": 0.02}


async def held(slots: SharedSlots, stack: AsyncExitStack, users: list[SlotUser]) -> int:
    """How many of these transfers get a slot; they keep it."""
    count = 0
    for user in users:
        try:
            await stack.enter_async_context(slots.take(user))
            count += 1
        except ServiceUnavailableError as error:
            assert error.kind == "busy"
    return count


@pytest.mark.parametrize(
    ("users", "most"),
    [
        ([SlotUser("evil", f"h{n}", f"j{n}") for n in range(40)], 12),
        ([SlotUser(None, "cdn", f"j{n}") for n in range(40)], 24),
        ([SlotUser(None, f"h{n}", "j") for n in range(40)], 4),
        ([SlotUser(None, "", f"j{n}") for n in range(40)], 32),
    ],
    ids=["tenant", "host", "job", "nobody"],
)
async def test_nobody_holds_all_slots(users: list[SlotUser], most: int) -> None:
    slots = SharedSlots(32, **FAST)
    async with AsyncExitStack() as stack:
        assert await held(slots, stack, users) == most
        others = await held(slots, stack, [SlotUser("good", f"g{n}", f"g{n}") for n in range(5)])
        assert others == (0 if most == 32 else 5)
    assert slots._free == 32 and not +slots._held


async def test_a_free_slot_goes_to_the_tenant_that_holds_the_fewest() -> None:
    slots, order = SharedSlots(8), list[str]()

    async def transfer(user: SlotUser) -> None:
        async with slots.take(user):
            order.append(user.tenant or "")
            await asyncio.sleep(0)

    async with AsyncExitStack() as stack:
        await held(slots, stack, [SlotUser("evil", "", "e0"), *(SlotUser(f"t{n}", "", f"j{n}") for n in range(7))])
        works = [asyncio.ensure_future(transfer(SlotUser("evil", "", f"e{n}"))) for n in range(1, 5)]
        await asyncio.sleep(0)
        works.append(asyncio.ensure_future(transfer(SlotUser("good", "", "g"))))
        await asyncio.sleep(0)
    await asyncio.gather(*works)
    assert order[0] == "good" and order.count("evil") == 4


@pytest.mark.parametrize(("tenant", "host", "most"), [("evil", "", 2), (None, "drip", 6)], ids=["tenant", "host"])
async def test_one_tenant_or_host_does_not_fill_the_queue_of_those_who_wait(
    tenant: str | None, host: str, most: int
) -> None:
    slots = SharedSlots(8, most_waiting=64)
    async with AsyncExitStack() as stack:
        await held(slots, stack, [SlotUser(None, "", f"j{n}") for n in range(8)])
        waiting = [asyncio.ensure_future(held(slots, stack, [SlotUser(tenant, host, f"e{n}")])) for n in range(9)]
        await asyncio.sleep(0.01)
        assert [work.done() for work in waiting] == [n >= most for n in range(9)]
        for work in waiting:
            work.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_transfer_that_stops_waiting_keeps_no_slot() -> None:
    slots = SharedSlots(1)
    async with slots.take(SlotUser("a")):
        work = asyncio.ensure_future(slots.take(SlotUser("b")).__aenter__())
        await asyncio.sleep(0)
    work.cancel()  # in the moment in which it was given its slot
    await asyncio.gather(work, return_exceptions=True)
    assert slots._free == 1 and not +slots._held


@pytest.mark.parametrize(
    ("url", "host"), [("https://Cdn.example/a", "cdn.example"), ("data:image/png;base64,AA", ""), ("http://[", "")]
)
def test_the_host_of_a_url(url: str, host: str) -> None:
    assert host_of(url) == host
