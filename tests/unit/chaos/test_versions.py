"""The changes of version in a run with an old version beside the new one."""

from random import Random

import pytest

from tests.chaos import plan
from tests.chaos.versions import NEW, OLD, OLD_WEIGHTS, PARTS, draw_changes

WORKERS = ("worker-1", "worker-2", "worker-3")


@pytest.mark.parametrize("seed", range(6))
def test_every_combination_is_passed_and_every_part_is_rolled_back(seed: int) -> None:
    versions = dict.fromkeys((*WORKERS, "gateway", "callers"), OLD)
    seen, rolled_back, mixed = {(OLD, OLD, OLD)}, set(), False
    for change in draw_changes(Random(f"{seed}"), 90.0, len(WORKERS)):
        before = versions[change.target]
        versions[change.target] = change.fault["version"]
        if (before, versions[change.target]) == (NEW, OLD):
            rolled_back.add("workers" if change.target in WORKERS else change.target)
        of_workers = {versions[name] for name in WORKERS}
        mixed = mixed or len(of_workers) == 2
        if len(of_workers) == 1:
            seen.add((of_workers.pop(), versions["gateway"], versions["callers"]))
    assert len(seen) == 8 and rolled_back == set(PARTS) and mixed
    assert set(versions.values()) == {NEW}, "at the end all is new"


def test_a_worker_is_not_killed_while_its_version_changes() -> None:
    scale = plan.Scale(90.0)
    changes = draw_changes(Random("1"), 90.0, 3)
    for each in plan.draw(Random("1"), scale, changes):
        if each.what in {"kill", "stop", "freeze"} and each.target.startswith("worker"):
            assert not any(
                change.target == each.target and abs(change.at_s - each.at_s) < plan.STARTING_S - 0.1
                for change in changes
            )


def test_what_the_old_version_does_not_survive_is_left_out() -> None:
    assert {"vertex", "gemini", "claude", "next revoked", "body revoked"}.isdisjoint(OLD_WEIGHTS)
