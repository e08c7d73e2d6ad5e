"""The provider is told until when a run may begin, so that no job runs for nobody while all workers are down."""

from tests.unit.engine.world import World
from worker.engine.advance import DEADLINE_MARGIN_S
from worker.jobs.job import Stage


async def test_a_submission_carries_what_is_left_until_the_jobs_deadline() -> None:
    world = World()
    job = await world.accept(deadline_s=90.0)
    world.now += 30

    await world.until(Stage.WAITING)

    assert world.fal.sent[0].start_within_s == job.created_at + 90 - world.now + DEADLINE_MARGIN_S


async def test_without_a_deadline_of_its_own_it_is_the_usual_one() -> None:
    world = World()
    await world.accept()

    await world.until(Stage.WAITING)

    assert world.fal.sent[0].start_within_s == 7200 + DEADLINE_MARGIN_S
