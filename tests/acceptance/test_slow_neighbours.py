"""Files and answers that drip: the jobs of others end as usual, and a cancel and the deadline are heard."""

from celery.result import AsyncResult

from tasks.generation import text_to_image
from tests.acceptance.conftest import Twin
from tests.conftest import wait_until
from worker import client
from worker.cli.processes.stack import Stack

SLOW = {"flux-dev": ("fal-ai/flux/dev", "file"), "flux-realism": ("fal-ai/flux-lora", "result")}
GOOD = "flux-schnell"


def is_ended(sent: AsyncResult) -> bool:
    return sent.state in {"SUCCESS", "FAILURE", "REVOKED"}


def test_what_drips_holds_nobody_up_and_hears_its_end(stack: Stack, twin: Twin) -> None:
    twin.pace(seconds=0.1, queue_seconds=0.0)
    late, cancelled = list[AsyncResult](), list[AsyncResult]()
    for model, (endpoint, call) in SLOW.items():
        twin.script(provider="fal", endpoint=endpoint, call=call, what="drip", times=-1, seconds=2)
        request = {"prompt": "slow", "model": model, "num_images": 4, "tenant": "slow"}
        late += [text_to_image.delay(**request, deadline_s=3.0) for _ in range(4)]
        cancelled += [text_to_image.delay(**request) for _ in range(10)]
    wait_until(lambda: (seen := client.status(late[0].id)) and seen.stage == "fetched", "its files drip")

    good = [text_to_image.delay(prompt="good", model=GOOD, tenant="good") for _ in range(5)]
    wait_until(lambda: all(each.state == "SUCCESS" for each in good), "the jobs of others end")
    assert not any(map(is_ended, cancelled)), "they did not wait for what drips"
    for each in cancelled:
        each.revoke()
    wait_until(lambda: all(map(is_ended, [*late, *cancelled])), "its deadlines and cancels are heard")
    assert {each.state for each in cancelled} == {"REVOKED"}
    assert {type(each.result).__name__ for each in late} == {"DeadlineExceededError"}
