"""`kilnhand cancel` against a stack of real processes."""

import json
import re
from collections.abc import Callable

from tasks.generation import text_to_image
from tests.acceptance.cli.conftest import Finished, RunningCommand
from tests.acceptance.conftest import HTTP, Twin
from tests.conftest import wait_until
from worker import client
from worker.cli.processes.stack import Stack


def waits(job_id: str, twin: Twin) -> None:
    wait_until(lambda: twin.count and client.status(job_id).stage == "waiting", "it waits")  # type: ignore[union-attr]


def test_a_cancel_waits_for_the_receipt(kilnhand: Callable[..., Finished], stack: Stack, twin: Twin) -> None:
    twin.pace(seconds=60)
    job_id = text_to_image.delay(prompt="x").id
    waits(job_id, twin)
    ran = kilnhand("cancel", job_id, env=stack.environment)
    assert (ran.status, ran.out, ran.err) == (0, "stopped in time; up to 0.0030 USD may have been billed\n", "")
    again = kilnhand("cancel", job_id, "--json", env=stack.environment)
    answer = json.loads(again.out)
    assert (again.status, answer["state"], answer["receipt"]["in_time"]) == (0, "REVOKED", True)
    shown = kilnhand("status", job_id, env=stack.environment)
    assert re.search(r"receipt +stopped in time; up to 0.0030 USD may have been billed", shown.out)


def test_a_cancel_that_comes_too_late_shows_the_files(
    running: Callable[..., RunningCommand], stack: Stack, twin: Twin
) -> None:
    twin.pace(seconds=600)
    twin.script(endpoint="*", call="cancel", what="ignored")
    job_id = text_to_image.delay(prompt="x", image_size="square_hd").id
    waits(job_id, twin)
    cancel = running("cancel", job_id, env=stack.environment)
    wait_until(lambda: not HTTP.get(f"{stack.twin_url}/_twin/script").json()["script"], "the cancel was ignored")
    twin.finish()
    wait_until(cancel.ended, "it has ended")
    assert cancel.process.returncode == 0
    assert "cancelled too late; billed 0.0060 USD; its files are kept\n" in cancel.text()
    (url,) = (line for line in cancel.text().splitlines() if line.startswith("http"))
    assert HTTP.get(url).status_code == 200
    assert twin.requests()[0]["billed"]["usd"] == 0.006


def test_cancel_can_return_without_waiting(kilnhand: Callable[..., Finished], stack: Stack, twin: Twin) -> None:
    twin.pace(seconds=60)
    job_id = text_to_image.delay(prompt="x").id
    waits(job_id, twin)
    ran = kilnhand("cancel", job_id, "--no-wait", env=stack.environment)
    assert (ran.status, ran.out.startswith("cancel requested; now ")) == (0, True)
    assert f"kilnhand why {job_id}" in ran.err
    wait_until(lambda: client.status(job_id).state == "REVOKED", "it has ended")  # type: ignore[union-attr]


def test_a_job_that_had_ended_is_not_changed_and_the_status_is_1(
    kilnhand: Callable[..., Finished], stack: Stack, twin: Twin
) -> None:
    twin.pace(seconds=0.1)
    sent = text_to_image.delay(prompt="x")
    sent.get(timeout=120)
    ran = kilnhand("cancel", sent.id, env=stack.environment)
    assert ran.status == 1
    assert f"job {sent.id} had already ended as SUCCESS" in ran.err
    assert f"{stack.gateway_url}/files/" in ran.out


def test_an_unknown_id_is_an_error(kilnhand: Callable[..., Finished], stack: Stack) -> None:
    for command in (["why", "nope"], ["dead", "show", "nope"]):
        ran = kilnhand(*command, env=stack.environment)
        assert (ran.status, ran.out) == (1, "")
        assert "no job nope: the ledger does not know it" in ran.err


def test_a_cancel_of_an_id_without_a_job_says_that_it_is_noted(kilnhand: Callable[..., Finished], stack: Stack) -> None:
    ran = kilnhand("cancel", "not-yet", env=stack.environment)
    assert (ran.status, ran.out) == (1, "")
    assert "no job not-yet: nothing was cancelled. The cancel is noted:" in ran.err
    assert "a job that gets this id ends as REVOKED, and nothing is submitted" in ran.err
    ran = kilnhand("cancel", "not-yet", "--json", env=stack.environment)
    shown = json.loads(ran.out)
    assert (ran.status, shown["stage"], shown["known"]) == (1, "cancel_noted", False)


def test_without_redis_the_error_says_what_to_do(kilnhand: Callable[..., Finished]) -> None:
    nowhere = {"KILNHAND_REDIS_URL": "redis://:hunter22@127.0.0.1:1/0"}
    commands = (["cancel", "x"], ["why", "x"], ["dead", "list"], ["dead", "drop", "x"], ["dead", "replay", "x"])
    for ran in (kilnhand(*command, env=nowhere) for command in commands):
        assert ran.status == 1
        assert "Redis cannot be reached" in ran.err and "kilnhand up" in ran.err
        assert "hunter22" not in ran.err and "Traceback" not in ran.err
