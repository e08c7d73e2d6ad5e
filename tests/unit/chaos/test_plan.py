"""The plan of a seed: repeatable, with every fault of the twin, and always with one worker up."""

from random import Random

import pytest

from tests.chaos import load, plan
from tests.chaos.crash_scenarios import SCENARIOS, scenario_of
from tests.chaos.pipelines import STEPS
from tests.chaos.sabotage import BROKEN_PROMISE, PATCHES, SCALE_CHANGES, PatchError, apply
from tests.chaos.source_copy import ROOT, copy_to
from twin.script import RUN_FAULTS, Call, Fault, FaultKind
from worker.testing.crash import POINTS

SCALE = plan.Scale(90.0)


def test_a_seed_draws_the_same_plan_and_the_same_jobs() -> None:
    assert plan.draw(Random("7"), SCALE) == plan.draw(Random("7"), SCALE) != plan.draw(Random("8"), SCALE)
    assert load.draw(Random("7"), 50, 90.0) == load.draw(Random("7"), 50, 90.0)


def test_a_plan_orders_every_fault_at_every_call_in_words_that_the_twin_takes() -> None:
    faults = [
        Fault.model_validate(disruption.fault)
        for disruption in plan.draw(Random("1"), SCALE)
        if disruption.what == "fault"
    ]
    ordered = {(fault.what, fault.affected_call) for fault in faults}
    assert ordered == set(plan.fal_faults())
    assert {what for what, _ in ordered} >= set(FaultKind) - RUN_FAULTS | {
        FaultKind.BLACK,
        FaultKind.STUCK,
        FaultKind.ERROR,
    }
    assert {call for _, call in ordered} == set(Call) - {call for call in Call if call.value in plan.UNUSED_CALLS}
    assert {fault.accepted for fault in faults if fault.affected_call is Call.SUBMIT} >= {True, False}


def test_one_worker_is_always_up_and_redis_is_down_only_while_no_recovery_is_measured(
    subtests: pytest.Subtests,
) -> None:
    for seed in range(20):
        with subtests.test(seed=seed):
            disruptions = plan.draw(Random(f"{seed}"), SCALE)
            of_workers = [each for each in disruptions if each.target.startswith("worker")]
            outages = [each for each in disruptions if each.target == "redis"]
            assert of_workers and {each.what for each in outages} == {"restart", "freeze"}
            for at in (each.at_s for each in of_workers):
                down = {
                    each.target for each in of_workers if each.at_s <= at < each.at_s + each.seconds + plan.STARTING_S
                }
                assert len(down) < SCALE.workers
                assert plan.is_clear(at, outages)


def test_jobs_of_every_kind_carry_a_mark_that_the_provider_sees() -> None:
    items = load.draw(Random("1"), 1_000, 90.0)
    assert {item.kind for item in items} == set(load.WEIGHTS)
    assert sum(1 + len(STEPS.get(part.model, ())) for item in items for part in item.parts) >= 1_000
    for item in items:
        marks = [load.mark_of(part.fields) for part in item.parts]
        assert marks == [(item.number, n + 1) for n in range(len(item.parts))]


def test_every_crash_point_has_a_scenario() -> None:
    assert {scenario_of(point) for point in POINTS} <= set(SCENARIOS)


@pytest.mark.parametrize("name", PATCHES)
def test_every_sabotage_finds_its_text(name: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    copy = copy_to(tmp_path / "source")
    apply(copy, name)
    assert {*SCALE_CHANGES} == {*PATCHES} == {*BROKEN_PROMISE}
    (patch,) = PATCHES[name]
    assert (copy / patch.file).read_text() != (ROOT / patch.file).read_text()
    with pytest.raises(PatchError):
        apply(copy, name)


def test_a_plan_has_bad_lists_with_lost_answers_and_errors_after_the_job_was_taken() -> None:
    disruptions = plan.draw(Random("1"), SCALE)
    faults = [each.fault for each in disruptions if each.what == "fault"]
    assert {fault["status"] for fault in faults if fault["call"] == "list" and fault.get("provider") == "fal"} == {
        503,
        403,
    }
    (lag,) = [each for each in disruptions if each.what == "pace"]
    assert lag.fault["list_lag_s"] > 64 and lag.seconds > 64
    taken = [Fault.model_validate(fault) for fault in faults if fault["what"] == "http" and fault["call"] == "submit"]
    assert {fault.status for fault in taken if fault.accepts_job and fault.provider == "fal"} >= {429, 500, 503}


def test_no_answer_of_a_provider_without_a_list_is_lost_by_a_fault() -> None:
    for disruption in plan.draw(Random("1"), SCALE):
        fault = disruption.fault
        if disruption.what == "fault" and fault["call"] == "submit":
            assert fault["what"] == "slow" or str(fault["endpoint"]).startswith("fal-ai/")
