"""`kilnhand why` against a stack of real processes."""

import json
import re
from collections.abc import Callable

from tasks.generation import text_to_image
from tests.acceptance.cli.conftest import Finished
from tests.acceptance.conftest import Twin
from tests.conftest import wait_until
from worker import client
from worker.cli.processes.stack import Stack


def test_the_story_of_a_job_with_two_attempts(kilnhand: Callable[..., Finished], stack: Stack, twin: Twin) -> None:
    twin.pace(seconds=0.1)
    twin.script(endpoint="*", call="submit", what="http", status=429, body={"detail": "slow down"})
    sent = text_to_image.delay(prompt="x", image_size="square")
    result = sent.get(timeout=120)
    wait_until(lambda: client.status(sent.id).stage == "completed", "its row has ended")  # type: ignore[union-attr]
    ran = kilnhand("why", sent.id, env=stack.environment)
    assert ran.status == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0] == f"job {sent.id}: generation.text_to_image with flux-schnell, SUCCESS (completed)"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", lines[1])
    assert re.fullmatch(r" +\+0\.0 s  sent to the queue generation", lines[2])
    times = [float(found[1]) for line in lines if (found := re.match(r" +\+([\d.]+) s  ", line))]
    assert times == sorted(times) and len(times) >= 8
    assert [line for line in lines if "will be tried again: rate_limited" in line]
    assert f"taken by the provider as request {result['request_id']}" in ran.out
    (first, second) = (line for line in lines if line.startswith("attempt "))
    assert re.search(r"rate_limited: fal: .*\(HTTP 429\)", first) and result["request_id"] in second
    assert "money: billed 0.0030 USD" in lines
    assert re.fullmatch(r"next: nothing: it ended as SUCCESS, and its row is deleted in [67]\.\d days", lines[-1])


def test_the_story_of_a_running_job_has_its_next_poll(
    kilnhand: Callable[..., Finished], stack: Stack, twin: Twin
) -> None:
    twin.pace(seconds=60)
    job_id = text_to_image.delay(prompt="x", model="nano-banana-pro").id
    wait_until(lambda: client.status(job_id).stage == "waiting", "it waits")  # type: ignore[union-attr]
    answer = json.loads(kilnhand("why", job_id, "--json", env=stack.environment).out)
    client.cancel(job_id)
    assert (answer["job_id"], answer["state"], answer["stage"]) == (job_id, "QUEUED", "waiting") or (
        answer["state"] == "IN_PROGRESS"
    )
    assert [note["what"] for note in answer["history"]][:4] == ["sent", "accepted", "submitting", "ticket"]
    assert answer["attempts"][0]["ticket"]["request_id"] == twin.requests()[0]["request_id"]
    assert "it is polled" in answer["next"]["text"] or "polls it" in answer["next"]["text"]
    assert answer["next"]["at"] > answer["began_at"]
