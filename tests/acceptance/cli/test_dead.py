"""`kilnhand dead` against a stack of real processes: failed jobs are listed, shown, replayed once, and dropped."""

import json
import os
import pty
from collections.abc import Callable

import pytest
from celery import chain

from tasks.generation import text_to_image
from tasks.video import image_to_video
from tests.acceptance.cli.conftest import Finished, RunningCommand
from tests.acceptance.conftest import Twin
from tests.conftest import wait_until
from worker import client
from worker.cli.processes.stack import Stack

Kilnhand = Callable[..., Finished]


@pytest.fixture
def failed(stack: Stack, twin: Twin, kilnhand: Kilnhand) -> str:
    """A failed job. It is the only one on the list."""
    kilnhand("dead", "drop", "--all", env=stack.environment)
    twin.pace(seconds=0.1)
    return fail(twin, prompt="a kiln", num_images=2, image_size="square", tenant="acme", labels={"order": "7"})


def fail(twin: Twin, **request: object) -> str:
    twin.script(endpoint="*", call="submit", what="http", status=422, body={"detail": "not this one"})
    job_id = text_to_image.delay(**request).id
    wait_until(lambda: client.status(job_id).stage == "failed", "it has failed")  # type: ignore[union-attr]
    return str(job_id)


def dead_ids(kilnhand: Kilnhand, stack: Stack) -> list[str]:
    ran = kilnhand("dead", "list", "--json", env=stack.environment)
    return [job["job_id"] for job in json.loads(ran.out)["dead"]]


def test_failed_jobs_are_listed_newest_first(kilnhand: Kilnhand, stack: Stack, twin: Twin, failed: str) -> None:
    newer = fail(twin, prompt="another")
    assert dead_ids(kilnhand, stack) == [newer, failed]
    shown = kilnhand("dead", "list", "--limit", "1", env=stack.environment).out
    assert newer in shown and failed not in shown
    assert "request_refused" in shown and "not this one" in shown and "flux-schnell" in shown
    assert "acme" in kilnhand("dead", "list", env=stack.environment).out
    doctor = json.loads(kilnhand("doctor", "--json", env=stack.environment).out)
    assert [check["detail"] for check in doctor["checks"] if check["name"] == "dead"] == ["2 failed jobs"]


def test_a_failed_job_is_shown_with_its_story_and_its_request(kilnhand: Kilnhand, stack: Stack, failed: str) -> None:
    ran = kilnhand("dead", "show", failed, env=stack.environment)
    assert "the ending is decided: failed; request_refused" in ran.out
    assert '  prompt = "a kiln"' in ran.out and "  num_images = 2" in ran.out
    plain = json.loads(kilnhand("dead", "show", failed, "--json", env=stack.environment).out)
    assert plain["request"] == {"prompt": "a kiln", "num_images": 2, "image_size": "square"}


def test_a_replay_is_a_new_job_with_the_same_request_and_options(
    kilnhand: Kilnhand, stack: Stack, twin: Twin, failed: str
) -> None:
    ran = kilnhand("dead", "replay", failed, "--yes", env=stack.environment)
    new = ran.out.strip()
    assert ran.status == 0 and new != failed, ran.err
    assert "a replay costs about 0.0060 USD" in ran.err
    result = text_to_image.AsyncResult(new).get(timeout=120)
    assert (result["tenant"], result["labels"]) == ("acme", {"order": "7", "replay_of": failed})
    assert len(result["images"]) == 2 and twin.requests()[-1]["input"]["prompt"] == "a kiln"
    assert dead_ids(kilnhand, stack) == []
    assert kilnhand("dead", "list", env=stack.environment).out == "no failed jobs\n"
    taken = twin.count
    again = kilnhand("dead", "replay", failed, "--yes", env=stack.environment)
    assert (again.status, again.out.strip()) == (0, new)
    assert "was already replayed as this job (SUCCESS); nothing was sent" in again.err
    assert twin.count == taken


def test_a_replay_without_a_terminal_needs_yes(kilnhand: Kilnhand, stack: Stack, twin: Twin, failed: str) -> None:
    ran = kilnhand("dead", "replay", failed, env=stack.environment)
    assert ran.status == 2 and "say --yes" in ran.err
    assert dead_ids(kilnhand, stack) == [failed]


@pytest.mark.parametrize(("answer", "status", "left"), [(b"y\n", 0, 0), (b"n\n", 1, 1), (b"\n", 1, 1)])
def test_a_replay_on_a_terminal_asks_first(
    answer: bytes,
    status: int,
    left: int,
    running: Callable[..., RunningCommand],
    kilnhand: Kilnhand,
    stack: Stack,
    failed: str,
) -> None:
    controller, terminal = pty.openpty()
    os.write(controller, answer)
    replay = running("dead", "replay", failed, env=stack.environment, tty=terminal)
    wait_until(replay.ended, "it has ended")
    output = os.read(controller, 100_000).decode()
    os.close(controller)
    os.close(terminal)
    assert "Send it again? [y/N]" in output
    assert replay.process.returncode == status, output
    assert len(dead_ids(kilnhand, stack)) == left


def test_followers_are_not_replayed_and_a_warning_says_so(
    kilnhand: Kilnhand, stack: Stack, twin: Twin, failed: str
) -> None:
    twin.script(endpoint="*", call="submit", what="http", status=422, body={"detail": "no"})
    first = chain(text_to_image.s(prompt="x"), image_to_video.s(prompt="y")).apply_async().parent
    wait_until(lambda: client.status(first.id).stage == "failed", "it has failed")  # type: ignore[union-attr]
    ran = kilnhand("dead", "replay", first.id, "--yes", env=stack.environment)
    assert ran.status == 0
    assert "the jobs after it (a chain, links, a chord) are not replayed" in ran.err
    assert text_to_image.AsyncResult(ran.out.strip()).get(timeout=120)["images"]
    assert twin.requests("fal-ai/veo3.1/fast/image-to-video") == []


def test_a_job_that_no_worker_accepted_is_replayed_from_its_message(
    kilnhand: Kilnhand, stack: Stack, failed: str
) -> None:
    import asyncio

    from worker.jobs.job import ErrorRecord, Stage
    from worker.ledger.redis import open_redis_ledger

    sent = text_to_image.apply_async(kwargs={"prompt": "never taken", "seed": 3}, countdown=3600)

    async def give_up() -> None:  # what the ledger does after an hour and a half without a worker
        ledger = open_redis_ledger(stack.redis_url)
        await ledger.signal(sent.id, "due")
        while not (claims := (await ledger.claim(["generation"], 1, 5.0))[0]):
            await asyncio.sleep(0.01)
        job = claims[0].job.move(Stage.CLOSING, ending=Stage.FAILED, error=ErrorRecord("internal", "no worker"))
        await ledger.release(claims[0], job, 60)
        await ledger.confirm(sent.id, 60)
        await ledger.aclose()

    stack["worker"].stop()
    try:
        asyncio.run(give_up())
    finally:
        stack["worker"].start()
        stack["worker"].wait_ready()
    ran = kilnhand("dead", "replay", sent.id, "--yes", env=stack.environment)
    assert ran.status == 0 and "price unknown" in ran.err, ran.err
    assert text_to_image.AsyncResult(ran.out.strip()).get(timeout=120)["seed"] == 3


def test_drop_only_takes_a_job_off_the_list(kilnhand: Kilnhand, stack: Stack, failed: str) -> None:
    assert kilnhand("dead", "drop", env=stack.environment).status == 2
    assert kilnhand("dead", "drop", failed, env=stack.environment).status == 0
    gone = kilnhand("dead", "drop", failed, env=stack.environment)
    assert gone.status == 1 and "is not on the list" in gone.err
    assert kilnhand("why", failed, env=stack.environment).status == 0


def test_a_job_that_has_not_failed_is_not_replayed(kilnhand: Kilnhand, stack: Stack, twin: Twin) -> None:
    twin.pace(seconds=0.1)
    sent = text_to_image.delay(prompt="x")
    sent.get(timeout=120)
    wait_until(lambda: client.status(sent.id).stage == "completed", "its row has ended")  # type: ignore[union-attr]
    ran = kilnhand("dead", "replay", sent.id, "--yes", env=stack.environment)
    assert ran.status == 1 and "has not failed, it is completed" in ran.err
