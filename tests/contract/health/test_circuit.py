"""One suite over every health: when circuits open, who probes, when they close."""

import asyncio

import pytest

from tests.contract.health.conftest import BAD, LEASE_S, LOCKED, POLICY, Bench
from worker.health.base import Change, Permit, Wait
from worker.health.verdict import GOOD, IGNORED, Verdict


async def test_nobody_waits_for_a_provider_that_was_never_told_of(bench: Bench) -> None:
    assert not (await bench.go()).probe


async def test_enough_failures_open_the_models_circuit_and_no_other(bench: Bench) -> None:
    assert await bench.told(BAD, POLICY.failures - 1) == ()
    assert await bench.told(BAD) == (Change("opened", "fal", "m", "failures", POLICY.open_s),)
    wait = await bench.health.ask("fal", "m", LEASE_S)
    assert isinstance(wait, Wait) and wait.why == "open" and 0 < wait.after_s <= POLICY.open_s + 0.001
    await bench.go("another")
    await bench.go("m", provider="vertex")


async def test_failures_that_are_the_smaller_part_open_nothing(bench: Bench) -> None:
    await bench.told(GOOD, POLICY.failures + 3)
    assert await bench.told(BAD, POLICY.failures + 2) == ()
    assert [change.kind for change in await bench.told(BAD)] == ["opened"]


async def test_failures_before_the_window_are_forgotten(bench: Bench) -> None:
    await bench.told(BAD, POLICY.failures - 1)
    await bench.passes(POLICY.window_s + 0.01)
    assert await bench.told(BAD) == ()


async def test_failures_of_more_than_one_model_open_the_providers_circuit(bench: Bench) -> None:
    await bench.told(BAD, POLICY.failures - 1, model="a")
    assert await bench.told(BAD, model="b") == (Change("opened", "fal", None, "failures", POLICY.open_s),)
    for model in ("a", "b", "c"):
        assert isinstance(await bench.health.ask("fal", model, LEASE_S), Wait)


async def test_one_of_fifty_who_ask_at_once_probes_a_half_open_circuit(bench: Bench) -> None:
    await bench.half_open()
    answers = await asyncio.gather(*(bench.health.ask("fal", "m", LEASE_S) for _ in range(50)))
    (go,) = [answer for answer in answers if isinstance(answer, Permit)]
    assert go.probe
    assert {answer.why for answer in answers if isinstance(answer, Wait)} == {"probing"}
    assert all(0 < answer.after_s <= POLICY.again_s for answer in answers if isinstance(answer, Wait))


async def test_one_of_many_models_probes_a_half_open_provider(bench: Bench) -> None:
    await bench.health.record("fal", "m", LOCKED, None)
    await bench.passes(POLICY.lock_s + 0.02)
    answers = await asyncio.gather(*(bench.health.ask("fal", str(model), 60.0) for model in range(50)))
    assert sum(isinstance(answer, Permit) for answer in answers) == 1


async def test_a_probe_whose_holder_dies_is_replaced_after_its_lease(bench: Bench) -> None:
    await bench.half_open()
    assert (await bench.go()).probe
    assert isinstance(await bench.health.ask("fal", "m", LEASE_S), Wait)
    await bench.passes(LEASE_S + 0.02)
    assert (await bench.go()).probe
    assert isinstance(await bench.health.ask("fal", "m", LEASE_S), Wait)


async def test_a_good_probe_closes_and_what_failed_before_is_forgotten(bench: Bench) -> None:
    await bench.half_open()
    assert await bench.health.record("fal", "m", GOOD, await bench.go()) == (Change("closed", "fal", "m"),)
    assert not (await bench.go()).probe
    assert await bench.told(BAD, POLICY.failures - 1) == ()
    assert await bench.told(BAD) == (Change("opened", "fal", "m", "failures", POLICY.open_s),)


async def test_a_bad_probe_opens_for_twice_as_long_up_to_the_longest(bench: Bench) -> None:
    await bench.half_open()
    for for_s in (2 * POLICY.open_s, POLICY.open_max_s):
        assert await bench.health.record("fal", "m", BAD, await bench.go()) == (
            Change("opened", "fal", "m", "failures", for_s),
        )
        await bench.passes(for_s + 0.02)


async def test_a_probe_that_says_nothing_lets_another_one_go(bench: Bench) -> None:
    await bench.half_open()
    assert await bench.health.record("fal", "m", IGNORED, await bench.go()) == ()
    assert (await bench.go()).probe


async def test_only_the_probe_decides_about_a_half_open_circuit(bench: Bench) -> None:
    before = await bench.go()
    await bench.half_open()
    for go in (before, None):
        for verdict in (GOOD, BAD):
            assert await bench.health.record("fal", "m", verdict, go) == ()
    assert (await bench.go()).probe


async def test_what_was_asked_before_the_circuit_closed_does_not_open_it_again(bench: Bench) -> None:
    late = [await bench.go() for _ in range(POLICY.failures)]
    await bench.half_open()
    await bench.health.record("fal", "m", GOOD, await bench.go())
    assert [await bench.health.record("fal", "m", BAD, go) for go in late] == [()] * len(late)


async def test_a_failure_that_says_when_to_come_again_is_believed(bench: Bench) -> None:
    hinted = Verdict("bad", retry_after_s=2)
    await bench.health.record("fal", "m", hinted, None)
    assert await bench.health.ask("fal", "m", LEASE_S) == Wait(pytest.approx(2, abs=0.2), "paused")
    for _ in range(POLICY.failures - 2):
        await bench.health.record("fal", "m", hinted, None)
    (opened,) = await bench.health.record("fal", "m", hinted, None)
    assert opened.for_s == 2
    await bench.go("another")


async def test_a_locked_account_opens_at_once_and_alerts_one_of_all_replicas(bench: Bench) -> None:
    replicas = [bench.health] * 2
    if type(bench.health).__name__ == "RedisHealth":
        replicas = [bench.health, bench.open(POLICY)]
    gos = [await bench.go() for _ in range(20)]
    told = await asyncio.gather(*(replicas[n % 2].record("fal", f"m{n}", LOCKED, go) for n, go in enumerate(gos)))
    changes = sorted(change.kind for found in told for change in found)
    assert changes == ["alert", "opened"]
    assert isinstance(await bench.health.ask("fal", "another", LEASE_S), Wait)


async def test_a_lock_that_goes_on_alerts_no_more_until_the_circuit_has_closed(bench: Bench) -> None:
    def kinds(changes: tuple[Change, ...]) -> list[str]:
        return [change.kind for change in changes]

    assert kinds(await bench.told(LOCKED)) == ["opened", "alert"]
    await bench.passes(POLICY.lock_s + 0.02)
    assert kinds(await bench.told(LOCKED)) == ["opened"]
    await bench.passes(POLICY.lock_s + 0.02)
    assert kinds(await bench.told(GOOD)) == ["closed"]
    await bench.passes(0.01)
    assert kinds(await bench.told(LOCKED)) == ["opened", "alert"]


async def test_a_lock_seen_while_failures_have_opened_the_circuit_alerts_all_the_same(bench: Bench) -> None:
    go = await bench.go()
    await bench.told(BAD, POLICY.failures - 1, model="a")
    await bench.told(BAD, model="b")
    assert await bench.health.record("fal", "m", LOCKED, go) == (
        Change("opened", "fal", None, "locked", POLICY.lock_s),
        Change("alert", "fal", None, "locked", POLICY.lock_s),
    )


async def test_a_model_that_is_not_ours_to_use_is_shut_alone_and_alerts(bench: Bench) -> None:
    assert await bench.told(Verdict("forbidden")) == (
        Change("opened", "fal", "m", "forbidden", POLICY.lock_s),
        Change("alert", "fal", "m", "forbidden", POLICY.lock_s),
    )
    await bench.go("another")


async def test_a_retired_model_is_shut_alone_for_long_without_an_alert(bench: Bench) -> None:
    assert await bench.told(Verdict("retired")) == (Change("opened", "fal", "m", "retired", POLICY.retired_s),)
    assert await bench.health.ask("fal", "m", LEASE_S) == Wait(pytest.approx(POLICY.retired_s, abs=1), "open")
    await bench.go("another")


async def test_what_is_the_requests_own_fault_never_counts(bench: Bench) -> None:
    assert await bench.told(IGNORED, 3 * POLICY.failures) == ()
    assert await bench.told(BAD, POLICY.failures - 1) == ()


async def test_states_are_providers_by_name_each_before_its_models(bench: Bench) -> None:
    await bench.told(BAD, POLICY.failures)
    await bench.told(GOOD, model="another")
    await bench.health.record("anthropic", "haiku", Verdict("limited", 3), None)
    flying = await bench.go("another")
    states = await bench.health.states()
    assert [(state.provider, state.model) for state in states if state.model != "haiku"] == [
        ("anthropic", None), ("fal", None), ("fal", "another"), ("fal", "m"),
    ]  # fmt: skip
    found = {(state.provider, state.model): state for state in states}
    ill, whole = found["fal", "m"], found["fal", None]
    assert (ill.stand, ill.cause, ill.failures) == ("open", "failures", POLICY.failures)
    assert ill.open_until == pytest.approx(flying.at + POLICY.open_s, abs=0.15)
    assert (whole.stand, whole.failures, whole.answers, whole.in_flight) == ("closed", 5, 6, 1)
    assert found["anthropic", None].paused_until == pytest.approx(flying.at + 3, abs=0.2)
    await bench.passes(POLICY.open_s + 0.02)
    (half,) = [state for state in await bench.health.states() if state.model == "m"]
    assert half.stand == "half_open" and half.open_until is None
