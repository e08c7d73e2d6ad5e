"""The contract for every implementation: pauses, concurrency limits, rate limits."""

import asyncio

import pytest

from tests.contract.health.conftest import LEASE_S, POLICY, Bench, limited
from worker.health.base import Permit, Wait
from worker.health.verdict import GOOD, Verdict


async def test_a_retry_after_pauses_the_provider(bench: Bench) -> None:
    assert await bench.submit(Verdict("limited", retry_after_s=0.3)) == ()
    wait = await bench.health.acquire("fal", "another", LEASE_S)
    assert wait == Wait(pytest.approx(0.3, abs=0.1), "paused")
    await bench.permit("m", provider="vertex")
    await bench.passes(0.32)
    assert not (await bench.permit()).probe


async def test_a_shorter_pause_does_not_replace_a_longer_one_and_pauses_have_a_maximum(bench: Bench) -> None:
    await bench.health.record("fal", "m", Verdict("limited", retry_after_s=4_294_967), None)
    await bench.health.record("fal", "m", Verdict("limited", retry_after_s=0.1), None)
    assert await bench.health.acquire("fal", "m", LEASE_S) == Wait(pytest.approx(POLICY.pause_max_s, abs=0.5), "paused")


async def test_pauses_without_a_retry_after_grow_and_simultaneous_answers_count_once(
    bench: Bench,
) -> None:
    await asyncio.gather(*(bench.health.record("fal", "m", Verdict("limited"), None) for _ in range(20)))
    assert await bench.health.acquire("fal", "m", LEASE_S) == Wait(pytest.approx(POLICY.backoff_s, abs=0.1), "paused")
    await bench.passes(POLICY.backoff_s + 0.02)
    await bench.submit(Verdict("limited"))
    wait = await bench.health.acquire("fal", "m", LEASE_S)
    assert isinstance(wait, Wait) and POLICY.backoff_s < wait.after_s <= POLICY.backoff_max_s


async def test_rate_limit_answers_open_no_circuit(bench: Bench) -> None:
    for _ in range(3 * POLICY.failures):
        assert await bench.health.record("fal", "m", Verdict("limited", 0.01), None) == ()
    await bench.passes(0.02)
    await bench.permit()


async def test_the_concurrency_limit_of_a_provider_holds(bench: Bench) -> None:
    health = bench.open(limited(concurrency={"fal": 3}))
    answers = await asyncio.gather(*(health.acquire("fal", f"m{n}", 5) for n in range(50)))
    permits = [answer for answer in answers if isinstance(answer, Permit)]
    assert len(permits) == 3
    assert {answer.why for answer in answers if isinstance(answer, Wait)} == {"full"}
    await bench.open(limited()).acquire("vertex", "m", 5)
    await health.record("fal", "m0", GOOD, permits[0])
    assert isinstance(await health.acquire("fal", "m", 5), Permit)
    assert isinstance(await health.acquire("fal", "m", 5), Wait)


async def test_a_lost_submission_frees_its_slot_after_its_lease(bench: Bench) -> None:
    health = bench.open(limited(concurrency={"fal": 2}))
    answers = [await health.acquire("fal", "m", LEASE_S) for _ in range(3)]
    await bench.passes(LEASE_S + 0.02)
    answers += [await health.acquire("fal", "m", 5) for _ in range(3)]
    assert [type(answer) for answer in answers] == [Permit, Permit, Wait] * 2


async def test_a_refused_call_takes_no_slot_and_no_token(bench: Bench) -> None:
    health = bench.open(limited(concurrency={"fal": 1}, rate_per_s={"fal": 5}))
    permit = await health.acquire("fal", "m", 5)
    assert isinstance(permit, Permit)
    for _ in range(20):
        assert isinstance(await health.acquire("fal", "m", 5), Wait)
    await health.record("fal", "m", GOOD, permit)
    assert isinstance(await health.acquire("fal", "m", 5), Permit)  # a token of the five is left


async def test_a_rate_limit_allows_a_burst_of_one_second_and_then_the_rate(bench: Bench) -> None:
    health = bench.open(limited(rate_per_s={"fal": 10}))
    answers = await asyncio.gather(*(health.acquire("fal", "m", 5) for _ in range(30)))
    waits = [answer for answer in answers if isinstance(answer, Wait)]
    assert 20 - 2 <= len(waits) <= 20  # up to two tokens may be added while the thirty calls run
    assert all(0 < wait.after_s <= 0.1 and wait.why == "full" for wait in waits)
    await bench.passes(0.31)
    again = [await health.acquire("fal", "m", 5) for _ in range(8)]
    assert 3 <= sum(isinstance(answer, Permit) for answer in again) <= 4


async def test_peek_takes_no_slot_and_no_token(bench: Bench) -> None:
    health = bench.open(limited(rate_per_s={"fal": 0.5}, concurrency={"fal": 1}))
    assert [await health.peek("fal", "m") for _ in range(3)] == [None] * 3
    assert isinstance(await health.acquire("fal", "m", LEASE_S), Permit), "peek has used neither the rate nor the slot"
    wait = await health.peek("fal", "m")
    assert wait and wait.why == "full"


async def test_peek_takes_no_probe(bench: Bench) -> None:
    for _ in range(POLICY.failures):
        await bench.submit(Verdict("bad"))
    wait = await bench.health.peek("fal", "m")
    assert wait and wait.why == "open"
    await bench.passes(POLICY.open_s + 0.02)
    assert await bench.health.peek("fal", "m") is None
    assert (await bench.permit()).probe
    wait = await bench.health.peek("fal", "m")
    assert wait and wait.why == "probing"
