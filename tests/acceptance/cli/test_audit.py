"""`kilnhand audit` against a stack of real processes: agreement, drift, and bills that cannot be read."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.generation import text_to_image
from tests.acceptance.cli.conftest import Finished, RunningCommand
from tests.acceptance.conftest import HTTP, Twin
from tests.conftest import wait_until
from worker import client
from worker.cli.processes.stack import Stack

Audit = Callable[..., Finished]
KEY = {"Authorization": "Key twin:twin"}  # the worker's, without a key


@pytest.fixture
def audit(stack: Stack, twin: Twin, kilnhand: Callable[..., Finished]) -> Audit:
    """Audits what happens from now on. Rows of the tests before have no bills any more."""
    since = datetime.now(UTC).isoformat()
    twin.pace(seconds=0.1)

    def run(*options: str, lag: str = "0") -> Finished:
        return kilnhand("audit", "--since", since, "--lag", lag, *options, env=stack.environment)

    return run


def completed(**request: Any) -> str:
    sent = text_to_image.delay(prompt="a kiln", **request)
    sent.get(timeout=120)
    wait_until(lambda: client.status(sent.id).stage == "completed", "its row has ended")  # type: ignore[union-attr]
    return str(sent.id)


def paid_for(twin: Twin, tags: str) -> None:
    """A run that was paid for, and that no row knows."""
    headers = KEY | {"X-Fal-Tags": tags}
    body = {"prompt": "a fox", "image_size": "square"}
    HTTP.post(f"{twin.url}/run/fal-ai/flux/schnell", json=body, headers=headers, timeout=20).raise_for_status()


def test_jobs_that_are_booked_as_billed_have_no_drift(audit: Audit) -> None:
    completed(tenant="acme")
    completed(num_images=2, image_size="square")
    ran = audit("--json")
    told = json.loads(ran.out)
    assert ran.status == 0, ran.out
    assert told["agrees"] and told["counts"]["agrees"] == 2 and told["entries"] == []
    assert told["totals"]["billed_usd"] == told["totals"]["booked_usd"] > 0 and told["totals"]["drift_usd"] == 0
    assert set(told["by_tenant"]) == {"acme", "(none)"} and set(told["by_model"]) == {"flux-schnell"}
    shown = audit("--tenant", "acme")
    assert shown.status == 0 and "1 agree" in shown.out and shown.out.rstrip().endswith("no drift"), shown.out


def test_a_paid_request_that_no_row_knows_is_drift(audit: Audit, twin: Twin) -> None:
    job_id = completed()
    paid_for(twin, f"job={job_id},attempt=1")
    paid_for(twin, "job=gone,attempt=1")
    paid_for(twin, "team=design")
    ran = audit("--json")
    told = json.loads(ran.out)
    assert ran.status == 1
    assert [(one["verdict"], one["job_id"], one["drift_usd"]) for one in told["entries"]] == [
        ("paid_not_booked", job_id, 0.003),
        ("paid_not_booked", "gone", 0.003),
        ("foreign", None, 0.0),
    ]
    shown = audit().out
    assert "paid and not booked: gone attempt 1" in shown and shown.rstrip().endswith("drift")
    assert audit(lag="3600").status == 1, "a request with our tag and no row is drift at once"


def test_a_booked_request_that_was_never_billed_is_drift(audit: Audit, twin: Twin) -> None:
    job_id = completed()
    twin.reset()
    told = json.loads(audit("--json").out)
    assert [(one["verdict"], one["job_id"]) for one in told["entries"]] == [("booked_not_paid", job_id)]
    late = audit("--json", lag="3600")
    assert late.status == 0 and json.loads(late.out)["counts"]["pending"] == 1


def test_without_tags_only_known_requests_are_judged(audit: Audit, twin: Twin) -> None:
    completed()
    paid_for(twin, "job=gone,attempt=1")
    HTTP.post(f"{twin.url}/_twin/platform", json={"tagged_reporting": False}).raise_for_status()
    told = json.loads(audit("--json").out)
    assert (told["counts"]["agrees"], told["counts"]["not_checkable"]) == (1, 1)
    assert "tagged reporting" in told["notes"][0]


def test_bills_that_cannot_be_read_are_no_agreement(audit: Audit, twin: Twin, kilnhand: Any, stack: Stack) -> None:
    HTTP.post(f"{twin.url}/_twin/platform", json={"billing_allowed": False}).raise_for_status()
    ran = audit()
    assert ran.status == 2 and "billing:usage:read" in ran.err and "Traceback" not in ran.err
    twin.reset()
    twin.script(call="billing", what="http", status=503, times=-1)
    assert audit().status == 2
    no_redis = stack.environment | {"KILNHAND_REDIS_URL": "redis://127.0.0.1:1/0"}
    assert kilnhand("audit", env=no_redis).status == 2
    no_key = {"KILNHAND_REDIS_URL": stack.redis_url}
    assert "FAL_KEY" in kilnhand("audit", env=no_key).err
    wrong = kilnhand("audit", "--since", "yesterday", env=stack.environment)
    assert wrong.status == 2 and "--since 'yesterday': allowed are a date" in wrong.err


def test_an_audit_can_be_interrupted(twin: Twin, stack: Stack, running: Callable[..., RunningCommand]) -> None:
    twin.script(call="billing", what="hang", seconds=60)
    before = len(HTTP.get(f"{twin.url}/_twin/script").json()["script"])
    command = running("audit", env=stack.environment)
    wait_until(lambda: len(HTTP.get(f"{twin.url}/_twin/script").json()["script"]) < before, "it reads the bills")
    assert command.end() == 130
    assert "nothing was changed" in command.text() and "Traceback" not in command.text()


def test_a_submission_that_was_found_again_is_booked_as_billed(audit: Audit, twin: Twin) -> None:
    twin.script(call="submit", what="drop")
    completed()
    told = json.loads(audit("--json").out)
    assert told["agrees"] and told["counts"]["agrees"] == 1, told["entries"]
