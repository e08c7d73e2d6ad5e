"""The contract for every implementation: when circuits open, which submission probes, when they close."""

import asyncio
from dataclasses import replace

import pytest

from tests.contract.health.conftest import BAD, LEASE_S, LOCKED, POLICY, Bench
from worker.health.base import Change, Health, Permit, Wait
from worker.health.memory import MemoryHealth
from worker.health.verdict import GOOD, IGNORED, Verdict


async def test_a_provider_without_records_gives_a_permit(bench: Bench) -> None:
    assert not (await bench.permit()).probe


async def test_enough_failures_open_the_models_circuit_and_no_other(bench: Bench) -> None:
    assert await bench.submit(BAD, POLICY.failures - 1) == ()
    assert await bench.submit(BAD) == (Change("opened", "fal", "m", "failures", POLICY.open_s),)
    wait = await bench.health.acquire("fal", "m", LEASE_S)
    assert isinstance(wait, Wait) and wait.why == "open" and 0 < wait.after_s <= POLICY.open_s + 0.001
    await bench.permit("another")
    await bench.permit("m", provider="vertex")


async def test_a_small_share_of_failures_opens_no_circuit(bench: Bench) -> None:
    await bench.submit(GOOD, POLICY.failures + 3)
    assert await bench.submit(BAD, POLICY.failures + 2) == ()
    assert [change.kind for change in await bench.submit(BAD)] == ["opened"]


async def test_failures_before_the_window_do_not_count(bench: Bench) -> None:
    await bench.submit(BAD, POLICY.failures - 1)
    await bench.passes(POLICY.window_s + 0.01)
    assert await bench.submit(BAD) == ()


async def test_failures_of_more_than_one_model_open_the_providers_circuit(bench: Bench) -> None:
    await bench.submit(BAD, POLICY.failures - 1, model="a")
    assert await bench.submit(BAD, model="b") == (Change("opened", "fal", None, "failures", POLICY.open_s),)
    for model in ("a", "b", "c"):
        assert isinstance(await bench.health.acquire("fal", model, LEASE_S), Wait)


async def test_one_of_fifty_simultaneous_callers_probes_a_half_open_circuit(bench: Bench) -> None:
    await bench.half_open()
    answers = await asyncio.gather(*(bench.health.acquire("fal", "m", LEASE_S) for _ in range(50)))
    (permit,) = [answer for answer in answers if isinstance(answer, Permit)]
    assert permit.probe
    assert {answer.why for answer in answers if isinstance(answer, Wait)} == {"probing"}
    assert all(0 < answer.after_s <= POLICY.recheck_s for answer in answers if isinstance(answer, Wait))


async def test_one_of_many_models_probes_a_half_open_provider(bench: Bench) -> None:
    await bench.health.record("fal", "m", LOCKED, None)
    await bench.passes(POLICY.lock_s + 0.02)
    answers = await asyncio.gather(*(bench.health.acquire("fal", str(model), 60.0) for model in range(50)))
    assert sum(isinstance(answer, Permit) for answer in answers) == 1


async def test_a_lost_probe_is_replaced_after_its_lease(bench: Bench) -> None:
    await bench.half_open()
    assert (await bench.permit()).probe
    assert isinstance(await bench.health.acquire("fal", "m", LEASE_S), Wait)
    await bench.passes(LEASE_S + 0.02)
    assert (await bench.permit()).probe
    assert isinstance(await bench.health.acquire("fal", "m", LEASE_S), Wait)


async def test_a_good_probe_closes_the_circuit_and_earlier_failures_do_not_count(bench: Bench) -> None:
    await bench.half_open()
    assert await bench.health.record("fal", "m", GOOD, await bench.permit()) == (Change("closed", "fal", "m"),)
    assert not (await bench.permit()).probe
    assert await bench.submit(BAD, POLICY.failures - 1) == ()
    assert await bench.submit(BAD) == (Change("opened", "fal", "m", "failures", POLICY.open_s),)


async def test_a_bad_probe_opens_for_twice_as_long_up_to_the_maximum(bench: Bench) -> None:
    await bench.half_open()
    for for_s in (2 * POLICY.open_s, POLICY.open_max_s):
        assert await bench.health.record("fal", "m", BAD, await bench.permit()) == (
            Change("opened", "fal", "m", "failures", for_s),
        )
        await bench.passes(for_s + 0.02)


async def test_a_probe_with_an_ignored_verdict_is_replaced(bench: Bench) -> None:
    await bench.half_open()
    assert await bench.health.record("fal", "m", IGNORED, await bench.permit()) == ()
    assert (await bench.permit()).probe


async def test_only_the_probe_decides_about_a_half_open_circuit(bench: Bench) -> None:
    before = await bench.permit()
    await bench.half_open()
    for permit in (before, None):
        for verdict in (GOOD, BAD):
            assert await bench.health.record("fal", "m", verdict, permit) == ()
    assert (await bench.permit()).probe


async def test_a_permit_given_before_the_circuit_closed_does_not_open_it_again(bench: Bench) -> None:
    late = [await bench.permit() for _ in range(POLICY.failures)]
    await bench.half_open()
    await bench.health.record("fal", "m", GOOD, await bench.permit())
    assert [await bench.health.record("fal", "m", BAD, permit) for permit in late] == [()] * len(late)


async def test_a_failure_with_a_retry_after_pauses_the_model(bench: Bench) -> None:
    hinted = Verdict("bad", retry_after_s=2)
    await bench.health.record("fal", "m", hinted, None)
    assert await bench.health.acquire("fal", "m", LEASE_S) == Wait(pytest.approx(2, abs=0.2), "paused")
    for _ in range(POLICY.failures - 2):
        await bench.health.record("fal", "m", hinted, None)
    (opened,) = await bench.health.record("fal", "m", hinted, None)
    assert opened.for_s == 2
    await bench.permit("another")


async def test_a_locked_account_opens_at_once_and_alerts_one_of_all_replicas(bench: Bench) -> None:
    replicas = [bench.health] * 2
    if type(bench.health).__name__ == "RedisHealth":
        replicas = [bench.health, bench.open(POLICY)]
    permits = [await bench.permit() for _ in range(20)]
    results = await asyncio.gather(
        *(replicas[n % 2].record("fal", f"m{n}", LOCKED, permit) for n, permit in enumerate(permits))
    )
    changes = sorted(change.kind for found in results for change in found)
    assert changes == ["alert", "opened"]
    assert isinstance(await bench.health.acquire("fal", "another", LEASE_S), Wait)


async def test_a_lasting_lock_alerts_once_until_the_circuit_has_closed(bench: Bench) -> None:
    def kinds(changes: tuple[Change, ...]) -> list[str]:
        return [change.kind for change in changes]

    assert kinds(await bench.submit(LOCKED)) == ["opened", "alert"]
    await bench.passes(POLICY.lock_s + 0.02)
    assert kinds(await bench.submit(LOCKED)) == ["opened"]
    await bench.passes(POLICY.lock_s + 0.02)
    assert kinds(await bench.submit(GOOD)) == ["closed"]
    await bench.passes(0.01)
    assert kinds(await bench.submit(LOCKED)) == ["opened", "alert"]


def two_keys(bench: Bench) -> tuple[Health, Health]:
    """Two replicas that share all circuits, and have different keys of fal."""
    old, new = (bench.open(replace(POLICY, lock_s=60, open_s=60, open_max_s=60, keys={"fal": key})) for key in "ab")
    if isinstance(old, MemoryHealth) and isinstance(new, MemoryHealth):
        new._circuits = old._circuits
    return old, new


async def test_a_changed_key_is_tried_at_once(bench: Bench) -> None:
    old, new = two_keys(bench)
    await old.record("fal", "m", LOCKED, None)
    assert await old.acquire("fal", "m", LEASE_S) == Wait(pytest.approx(60, abs=1), "open", "locked")
    assert await new.peek("fal", "m") is None

    probe = await new.acquire("fal", "m", LEASE_S)
    assert isinstance(probe, Permit) and probe.probe
    assert (await new.record("fal", "m", LOCKED, probe))[0].kind == "opened", "the new key is refused, too"
    assert isinstance(await new.acquire("fal", "m", LEASE_S), Wait)

    probe = await old.acquire("fal", "m", LEASE_S)
    assert isinstance(probe, Permit)
    assert [change.kind for change in await old.record("fal", "m", GOOD, probe)] == ["closed"]
    assert isinstance(await new.acquire("fal", "m", LEASE_S), Permit)


async def test_a_changed_key_is_tried_at_once_for_a_forbidden_model(bench: Bench) -> None:
    old, new = two_keys(bench)
    await old.record("fal", "m", Verdict("forbidden"), None)
    wait = await old.acquire("fal", "m", LEASE_S)
    assert isinstance(wait, Wait) and wait.cause == "forbidden"
    assert isinstance(await new.acquire("fal", "m", LEASE_S), Permit)


async def test_failures_keep_a_circuit_open_whatever_key_is_used(bench: Bench) -> None:
    old, new = two_keys(bench)
    for _ in range(POLICY.failures):
        await old.record("fal", "m", BAD, None)
    wait = await new.acquire("fal", "m", LEASE_S)
    assert isinstance(wait, Wait) and (wait.why, wait.cause) == ("open", "failures")


async def test_a_lock_alerts_also_when_failures_have_opened_the_circuit(bench: Bench) -> None:
    permit = await bench.permit()
    await bench.submit(BAD, POLICY.failures - 1, model="a")
    await bench.submit(BAD, model="b")
    assert await bench.health.record("fal", "m", LOCKED, permit) == (
        Change("opened", "fal", None, "locked", POLICY.lock_s),
        Change("alert", "fal", None, "locked", POLICY.lock_s),
    )


async def test_a_forbidden_model_opens_only_its_own_circuit_and_alerts(bench: Bench) -> None:
    assert await bench.submit(Verdict("forbidden")) == (
        Change("opened", "fal", "m", "forbidden", POLICY.lock_s),
        Change("alert", "fal", "m", "forbidden", POLICY.lock_s),
    )
    await bench.permit("another")


async def test_a_retired_model_opens_only_its_own_circuit_for_long_without_an_alert(bench: Bench) -> None:
    assert await bench.submit(Verdict("retired")) == (Change("opened", "fal", "m", "retired", POLICY.retired_s),)
    assert await bench.health.acquire("fal", "m", LEASE_S) == Wait(
        pytest.approx(POLICY.retired_s, abs=1), "open", "retired"
    )
    await bench.permit("another")


async def test_a_fault_of_the_request_never_counts(bench: Bench) -> None:
    assert await bench.submit(IGNORED, 3 * POLICY.failures) == ()
    assert await bench.submit(BAD, POLICY.failures - 1) == ()


async def test_states_are_providers_by_name_each_before_its_models(bench: Bench) -> None:
    await bench.submit(BAD, POLICY.failures)
    await bench.submit(GOOD, model="another")
    await bench.health.record("anthropic", "haiku", Verdict("limited", 3), None)
    running = await bench.permit("another")
    states = await bench.health.states()
    assert [(state.provider, state.model) for state in states if state.model != "haiku"] == [
        ("anthropic", None), ("fal", None), ("fal", "another"), ("fal", "m"),
    ]  # fmt: skip
    found = {(state.provider, state.model): state for state in states}
    broken, own = found["fal", "m"], found["fal", None]
    assert (broken.stand, broken.cause, broken.failures) == ("open", "failures", POLICY.failures)
    assert broken.open_until == pytest.approx(running.at + POLICY.open_s, abs=0.15)
    assert (own.stand, own.failures, own.answers, own.in_flight) == ("closed", 5, 6, 1)
    assert found["anthropic", None].paused_until == pytest.approx(running.at + 3, abs=0.2)
    await bench.passes(POLICY.open_s + 0.02)
    (half,) = [state for state in await bench.health.states() if state.model == "m"]
    assert half.stand == "half_open" and half.open_until is None
