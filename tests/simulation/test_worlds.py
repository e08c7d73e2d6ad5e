"""The simulation itself: one seed is one world, a quiet one keeps every promise, a violation becomes small."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.simulation.case_line import case_of, line_of
from tests.simulation.plan import Order, Plan, plan_of
from tests.simulation.runner import run_case
from tests.simulation.shrink import shrink
from tests.simulation.world import Case, Course

STORY = "from tests.simulation.test_worlds import story_of; print(story_of(12, 18))"


def story_of(first: int, last: int) -> str:
    """The stories of some seeds, as a digest."""
    told = [line for seed in range(first, last) for line in run_case(Case(seed, plan_of(seed)), tells=True).story]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


@pytest.mark.parametrize("kind", ["job", "bare", "chain", "chord"])
@pytest.mark.parametrize("provider", ["fal", "vertex"])
@pytest.mark.parametrize("webhooks", [True, False])
def test_a_world_without_faults_keeps_every_promise(kind, provider, webhooks) -> None:
    orders = (Order("j1", kind, provider), Order("j2", kind, provider, at_s=3.0))
    course = run_case(Case(1, Plan(2, orders, webhooks=webhooks), {}), tells=True)
    assert course.violations == ()
    assert sum("SUCCESS" in line for line in course.story) == sum(len(order.jobs) for order in orders)
    assert not course.faults


def test_a_seed_is_the_same_world_in_every_process() -> None:
    stories = [
        subprocess.run(
            [sys.executable, "-c", STORY],
            env={**os.environ, "PYTHONHASHSEED": hashseed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashseed in ("1", "2")
    ]
    assert stories[0] == stories[1]


def test_the_faults_that_a_seed_chose_make_the_same_world_again() -> None:
    for seed in range(40, 60):
        chosen = run_case(Case(seed, plan_of(seed)), tells=True)
        given = run_case(Case(seed, plan_of(seed), chosen.faults), tells=True)
        assert given.story == chosen.story


def test_a_case_is_one_line() -> None:
    plan = Plan(2, (Order("j1", "chord", deadline_s=30.0), Order("j2")), list_is_forbidden=True)
    case = Case(7, plan, {"w1 keep #1": "crash"})
    assert case_of(line_of(case, dict(case.faults or {}))) == case


def test_a_crash_in_an_at_once_call_of_a_world_is_seen_by_its_provider() -> None:
    course = run_case(
        Case(1, Plan(1, (Order("j1", provider="vertex"),)), {"w1 vertex submit #1": "crash in the call"}), tells=True
    )
    assert any("w1 ends" in line for line in course.story)
    assert course.violations == ()


def test_a_violation_is_shrunk_to_what_it_needs(monkeypatch) -> None:
    from tests.simulation.promises import Promises

    def on_state(self, job_id, state, result) -> None:
        if (
            state == "SUCCESS"
            and job_id == "j2"
            and any("crash" in fault for fault in self._world.decisions.taken.values())
        ):
            self.broken("one_ending", "made up", job_id, "for this test")

    monkeypatch.setattr(Promises, "on_state", on_state)
    plan = Plan(3, (Order("j1"), Order("j2", "job", at_s=2.0), Order("j3", "chain")))
    faults = {"w1 claim #2": "crash", "w2 claim #1": "freeze 9.0", "w3 keep #1": "answer lost"}
    smallest = shrink(run_case(Case(3, plan, faults)), run_case)
    assert (len(smallest.faults), smallest.case.plan.workers, len(smallest.case.plan.orders)) == (1, 1, 1)


@pytest.mark.parametrize("seed", range(0, 160, 20))
def test_rows_in_a_real_redis_are_written_by_the_ledgers_scripts_and_make_the_same_world(seed) -> None:
    plan = plan_of(seed)
    in_memory, scripted = (run_case(Case(seed, replace(plan, is_scripted=each)), tells=True) for each in (False, True))
    assert scripted.violations == ()
    assert scripted.faults == in_memory.faults
    assert ended(scripted) == ended(in_memory)


def ended(course: Course) -> set[str]:
    """Which jobs ended, and how."""
    states = ("SUCCESS", "FAILURE", "REVOKED")
    return {line.split(maxsplit=1)[1] for line in course.story if line.endswith(states)}
