"""What a seed draws: the same again, every fault that the twin knows, and always one worker that is up."""

from random import Random

import pytest

from tests.chaos import load, plan
from tests.chaos.sabotage import FAVOURED, PATCHES, SHOWN_BY, PatchError, apply
from tests.chaos.scenarios import SCENARIOS, scenario_of
from tests.chaos.source import ROOT, copy_to
from twin.script import OF_A_RUN, Call, Fault, What
from worker.testing.crash import POINTS

SCALE = plan.Scale(90.0)


def test_a_seed_draws_the_same_plan_and_the_same_jobs() -> None:
    assert plan.draw(Random("7"), SCALE) == plan.draw(Random("7"), SCALE) != plan.draw(Random("8"), SCALE)
    assert load.draw(Random("7"), 50, 90.0) == load.draw(Random("7"), 50, 90.0)


def test_a_plan_orders_every_fault_at_every_call_in_words_that_the_twin_takes() -> None:
    faults = [Fault.model_validate(strike.fault) for strike in plan.draw(Random("1"), SCALE) if strike.what == "fault"]
    ordered = {(fault.what, fault.strikes_at) for fault in faults}
    assert ordered == set(plan.fal_faults())
    assert {what for what, _ in ordered} >= set(What) - OF_A_RUN | {What.BLACK, What.STUCK, What.ERROR}
    assert {call for _, call in ordered} == set(Call) - {call for call in Call if call.value in plan.NOT_OF_A_JOB}
    assert {fault.accepted for fault in faults if fault.strikes_at is Call.SUBMIT} >= {True, False}


def test_one_worker_is_always_up_and_redis_goes_away_only_while_no_recovery_is_under_way(
    subtests: pytest.Subtests,
) -> None:
    for seed in range(20):
        with subtests.test(seed=seed):
            strikes = plan.draw(Random(f"{seed}"), SCALE)
            blows = [each for each in strikes if each.target.startswith("worker")]
            restarts = [each.at_s for each in strikes if each.what == "restart"]
            assert blows and restarts
            for at in (each.at_s for each in blows):
                away = {each.target for each in blows if each.at_s <= at < each.at_s + each.seconds + plan.STARTING_S}
                assert len(away) < SCALE.workers
                assert all(not time - plan.REDIS_CLEAR_S[0] < at < time + plan.REDIS_CLEAR_S[1] for time in restarts)


def test_jobs_of_every_kind_carry_a_mark_that_the_provider_sees() -> None:
    asks = load.draw(Random("1"), 300, 90.0)
    assert {ask.kind for ask in asks} == set(load.WEIGHTS)
    assert sum(len(ask.parts) for ask in asks) >= 300
    for ask in asks:
        marks = [load.mark_of(part.fields) for part in ask.parts]
        assert marks == [(ask.number, n + 1) for n in range(len(ask.parts))]


def test_every_crash_point_has_a_scenario() -> None:
    assert {scenario_of(point) for point in POINTS} <= set(SCENARIOS)


@pytest.mark.parametrize("name", PATCHES)
def test_every_sabotage_finds_its_text(name: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    copy = copy_to(tmp_path / "source")
    apply(copy, name)
    assert {*FAVOURED} == {*PATCHES} == {*SHOWN_BY}
    (patch,) = PATCHES[name]
    assert (copy / patch.file).read_text() != (ROOT / patch.file).read_text()
    with pytest.raises(PatchError):
        apply(copy, name)
