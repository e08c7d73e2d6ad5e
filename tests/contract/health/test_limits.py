"""One suite over every health: pauses, submissions under way at once, submissions a second."""

import asyncio

import pytest

from tests.contract.health.conftest import LEASE_S, POLICY, Bench, limited
from worker.health.base import Permit, Wait
from worker.health.verdict import GOOD, Verdict


async def test_a_provider_that_names_a_pause_is_left_alone_for_so_long(bench: Bench) -> None:
    assert await bench.told(Verdict("limited", retry_after_s=0.3)) == ()
    wait = await bench.health.acquire("fal", "another", LEASE_S)
    assert wait == Wait(pytest.approx(0.3, abs=0.1), "paused")
    await bench.go("m", provider="vertex")
    await bench.passes(0.32)
    assert not (await bench.go()).probe


async def test_a_shorter_pause_does_not_cut_a_longer_one_and_no_pause_is_for_ever(bench: Bench) -> None:
    await bench.health.record("fal", "m", Verdict("limited", retry_after_s=4_294_967), None)
    await bench.health.record("fal", "m", Verdict("limited", retry_after_s=0.1), None)
    assert await bench.health.acquire("fal", "m", LEASE_S) == Wait(pytest.approx(POLICY.pause_max_s, abs=0.5), "paused")


async def test_a_provider_that_names_no_pause_gets_longer_ones_by_itself_and_those_out_already_add_nothing(
    bench: Bench,
) -> None:
    await asyncio.gather(*(bench.health.record("fal", "m", Verdict("limited"), None) for _ in range(20)))
    assert await bench.health.acquire("fal", "m", LEASE_S) == Wait(pytest.approx(POLICY.backoff_s, abs=0.1), "paused")
    await bench.passes(POLICY.backoff_s + 0.02)
    await bench.told(Verdict("limited"))
    wait = await bench.health.acquire("fal", "m", LEASE_S)
    assert isinstance(wait, Wait) and POLICY.backoff_s < wait.after_s <= POLICY.backoff_max_s


async def test_limits_open_no_circuit(bench: Bench) -> None:
    for _ in range(3 * POLICY.failures):
        assert await bench.health.record("fal", "m", Verdict("limited", 0.01), None) == ()
    await bench.passes(0.02)
    await bench.go()


async def test_no_more_are_under_way_than_a_provider_may_have(bench: Bench) -> None:
    health = bench.open(limited(concurrency={"fal": 3}))
    answers = await asyncio.gather(*(health.acquire("fal", f"m{n}", 5) for n in range(50)))
    gos = [answer for answer in answers if isinstance(answer, Permit)]
    assert len(gos) == 3
    assert {answer.why for answer in answers if isinstance(answer, Wait)} == {"full"}
    await bench.open(limited()).acquire("vertex", "m", 5)
    await health.record("fal", "m0", GOOD, gos[0])
    assert isinstance(await health.acquire("fal", "m", 5), Permit)
    assert isinstance(await health.acquire("fal", "m", 5), Wait)


async def test_who_dies_under_way_makes_room_after_its_lease(bench: Bench) -> None:
    health = bench.open(limited(concurrency={"fal": 2}))
    answers = [await health.acquire("fal", "m", LEASE_S) for _ in range(3)]
    await bench.passes(LEASE_S + 0.02)
    answers += [await health.acquire("fal", "m", 5) for _ in range(3)]
    assert [type(answer) for answer in answers] == [Permit, Permit, Wait] * 2


async def test_a_refused_ask_takes_nothing(bench: Bench) -> None:
    health = bench.open(limited(concurrency={"fal": 1}, rate_per_s={"fal": 5}))
    go = await health.acquire("fal", "m", 5)
    assert isinstance(go, Permit)
    for _ in range(20):
        assert isinstance(await health.acquire("fal", "m", 5), Wait)
    await health.record("fal", "m", GOOD, go)
    assert isinstance(await health.acquire("fal", "m", 5), Permit)  # a token of the five is left


async def test_a_rate_lets_a_seconds_worth_go_at_once_and_then_as_many_a_second(bench: Bench) -> None:
    health = bench.open(limited(rate_per_s={"fal": 10}))
    answers = await asyncio.gather(*(health.acquire("fal", "m", 5) for _ in range(30)))
    waits = [answer for answer in answers if isinstance(answer, Wait)]
    assert 20 - 2 <= len(waits) <= 20  # two more may have come while the fifty were asked
    assert all(0 < wait.after_s <= 0.1 and wait.why == "full" for wait in waits)
    await bench.passes(0.31)
    again = [await health.acquire("fal", "m", 5) for _ in range(8)]
    assert 3 <= sum(isinstance(answer, Permit) for answer in again) <= 4


async def test_whether_a_submission_may_go_is_told_without_taking_anything(bench: Bench) -> None:
    health = bench.open(limited(rate_per_s={"fal": 0.5}, concurrency={"fal": 1}))
    assert [await health.peek("fal", "m") for _ in range(3)] == [None] * 3
    assert isinstance(await health.acquire("fal", "m", LEASE_S), Permit), "neither its rate nor its place is used up"
    wait = await health.peek("fal", "m")
    assert wait and wait.why == "full"


async def test_a_probe_is_not_taken_by_who_only_wants_to_know(bench: Bench) -> None:
    for _ in range(POLICY.failures):
        await bench.told(Verdict("bad"))
    wait = await bench.health.peek("fal", "m")
    assert wait and wait.why == "open"
    await bench.passes(POLICY.open_s + 0.02)
    assert await bench.health.peek("fal", "m") is None
    assert (await bench.go()).probe
    wait = await bench.health.peek("fal", "m")
    assert wait and wait.why == "probing"
