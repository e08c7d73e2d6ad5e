"""A busy worker begins one job a second beyond a tenant's share; an idle one as many as it has room for."""

from dataclasses import replace

import pytest

from worker.engine.spare import LATE_S, TURN_S, SpareCapacity
from worker.jobs.job import Attempt, Job, Options, Stage, Step, Ticket
from worker.ledger.base import Claim

NEW = Job("a", "generation.text_to_image", "generation", {}, Step("flux-schnell", {}, ()), Options(), 0.0)
POLLED = replace(NEW, stage=Stage.WAITING, attempts=(Attempt(1, "fal", "fal-ai/flux/schnell", 0.0, Ticket("r")),))


def claim(job: Job, late_s: float) -> Claim:
    return Claim(job, 1, 0.0, 1, {}, 0, late_s)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_idle_worker_fills_a_part_of_its_claims() -> None:
    spare = SpareCapacity(64, Clock())
    spare.noted(TURN_S / 2, [claim(POLLED, LATE_S / 2), claim(NEW, 60.0)])
    assert [spare.rows(held) for held in (0, 10, 16, 64)] == [16, 6, 1, 1]


@pytest.mark.parametrize(("turn_s", "late_s"), [(2 * TURN_S, 0.0), (0.0, 2 * LATE_S)])
def test_a_busy_worker_begins_one_a_second(turn_s: float, late_s: float) -> None:
    clock = Clock()
    spare = SpareCapacity(64, clock)
    begun = 0
    for _ in range(40):  # four seconds
        spare.noted(turn_s, [claim(POLLED, late_s)])
        begun += spare.rows(3)
        clock.now += 0.1
    assert begun == 4
    clock.now += 1.0
    assert spare.rows(3) == 13, "it is idle again"
