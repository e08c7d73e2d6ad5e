"""Why a job that is held back waits: the text of its status and history."""

import pytest

from config.model import Route
from tests.unit.engine.world import World, world_of_two
from worker.engine.held_back import why_held_back
from worker.health.base import Policy, Wait
from worker.jobs.status import status_of

ROUTE = Route(provider="fal", endpoint="fal-ai/flux/schnell", takes=())


@pytest.mark.parametrize(
    ("wait", "text"),
    [
        (
            Wait(300, "open", "locked"),
            "fal's circuit is open: fal refused our key (401), or has locked our account; next try at 00:05:00 UTC",
        ),
        (Wait(5, "open", "failures"), "fal's circuit is open: too many submissions to fal failed"),
        (
            Wait(5, "open", "forbidden"),
            "fal's circuit is open: fal does not let our key use fal-ai/flux/schnell (403)",
        ),
        (Wait(5, "open", "retired"), "fal's circuit is open: fal no longer serves fal-ai/flux/schnell"),
        (Wait(5, "open"), "fal's circuit is open"),
        (
            Wait(1, "probing", "failures"),
            "fal's circuit is open: too many submissions to fal failed; another job tries it now",
        ),
        (Wait(60, "paused"), "fal asked for a pause (rate limit or overload); next try at 00:01:00 UTC"),
        (Wait(1, "full"), "fal already gets as many jobs as its limits in the settings allow"),
    ],
)
def test_every_reason_says_what_happened(wait: Wait, text: str) -> None:
    assert why_held_back(ROUTE, wait, 0.0) == text


async def test_a_job_behind_a_refused_key_says_why_and_when_it_fails() -> None:
    world: World = world_of_two(Policy(lock_s=300.0))
    assert world.health
    await world.health.open("fal")
    await world.accept(model="flux-lora", given={"loras": [{"path": "https://x/l.safetensors"}]})
    text = status_of(await world.turn(), world.now).delayed_by
    assert text and "fal refused our key (401), or has locked our account; next try at " in text
    assert "without a change the job fails at " in text
