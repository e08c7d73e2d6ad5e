"""`cancel`, `status` and `result` of worker.client, against a Redis without workers."""

import time

import pytest
from kombu.exceptions import OperationalError

from tasks.generation import text_to_image
from tests.conftest import point_producer_at
from worker import client
from worker.edge.sending import producer
from worker.errors import UnknownJobError
from worker.jobs.job import Cost, Receipt, Stage
from worker.ledger.redis import open_redis_ledger


@pytest.fixture
def job_id(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A job that was sent and that no worker has accepted."""
    point_producer_at({"KILNHAND_REDIS_URL": redis_url}, monkeypatch)
    return str(text_to_image.delay(prompt="x", model="flux-dev").id)


async def end(redis_url: str, job_id: str, ending: Stage, **changes: object) -> None:
    """End the job, as workers do."""
    ledger = open_redis_ledger(redis_url)
    job = await ledger.get(job_id)
    assert job
    if job.stage == Stage.SENT:
        await ledger.accept(job.move(Stage.ACCEPTED))
    (claim,), _ = await ledger.claim(["generation"], 1, 5.0)
    await ledger.release(claim, claim.job.move(Stage.CLOSING, ending=ending, **changes), 60)
    await ledger.confirm(job_id, 60)
    await ledger.aclose()


def test_a_job_is_known_from_the_moment_it_was_sent(job_id: str) -> None:
    seen = client.status(job_id)
    assert seen and (seen.state, seen.stage, seen.task, seen.model) == (
        "QUEUED", "sent", "generation.text_to_image", "flux-dev",
    )  # fmt: skip


def test_a_cancel_is_stored_on_the_row_and_makes_it_due(job_id: str) -> None:
    seen = client.cancel(job_id)
    row = producer().row(job_id)
    assert seen and seen.state == "QUEUED"
    assert row and row.signals == {"cancel": "1"}
    assert row.due_at and row.due_at <= producer().now()
    assert client.cancel(job_id) is not None, "a second cancel has the same effect"


def test_a_wait_without_an_end_returns_the_current_status(job_id: str) -> None:
    began = time.monotonic()
    seen = client.cancel(job_id, wait_s=0.4)
    assert seen and (seen.state, seen.receipt) == ("QUEUED", None)
    assert 0.4 <= time.monotonic() - began < 30


async def test_after_the_end_a_cancel_changes_nothing_and_returns_the_state(job_id: str, redis_url: str) -> None:
    await end(redis_url, job_id, Stage.COMPLETED, result={"images": []})
    before = producer().row(job_id)
    seen = client.cancel(job_id, wait_s=5)
    assert seen and (seen.state, seen.receipt) == ("SUCCESS", None)
    assert producer().row(job_id) == before
    assert before and before.forgotten_at == pytest.approx(producer().now() + 60, abs=5)
    assert client.result(job_id) == {"images": []}


async def test_a_cancelled_job_has_its_receipt(job_id: str, redis_url: str) -> None:
    receipt = Receipt(1000.0, told=True, in_time=False, cost=Cost(0.006, 2, "megapixel", estimated=False))
    await end(redis_url, job_id, Stage.CANCELLED, receipt=receipt, result={"images": [1]})
    seen = client.cancel(job_id)
    assert seen and (seen.state, seen.receipt) == ("REVOKED", receipt)
    assert client.result(job_id) == {"images": [1]}


@pytest.mark.usefixtures("job_id")
def test_an_unknown_id_has_no_status_and_its_cancel_is_noted() -> None:
    assert (client.status("nope"), client.result("nope")) == (None, None)
    noted = client.cancel("nope", wait_s=5)
    assert (noted.state, noted.stage) == ("PENDING", "cancel_noted")
    assert client.status("nope") is None


def test_without_redis_it_raises_what_delay_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    point_producer_at({"KILNHAND_REDIS_URL": "redis://:hunter22@127.0.0.1:1/0"}, monkeypatch)
    for call in (client.cancel, client.status, client.result):
        with pytest.raises(
            OperationalError, match=r"the ledger cannot be reached: Redis at 127\.0\.0\.1:1 \(KILNHAND_REDIS_URL\)"
        ) as caught:
            call("x")
        assert "hunter22" not in str(caught.value)


async def test_with_a_tenant_a_job_of_another_does_not_exist(job_id: str, redis_url: str) -> None:
    acmes = str(text_to_image.delay(prompt="x", model="flux-dev", tenant="acme").id)
    for wrong in (acmes, job_id, "nope"):
        assert (client.status(wrong, tenant="other"), client.result(wrong, tenant="other")) == (None, None)
        with pytest.raises(UnknownJobError):
            client.cancel(wrong, tenant="other")
    row = producer().row(acmes)
    assert row and not row.signals, "nothing was cancelled"
    seen = client.status(acmes, tenant="acme")
    assert seen and seen.tenant == "acme", "also before a worker has accepted it"
    assert client.cancel(acmes, tenant="acme").state == "QUEUED"
    assert client.status(acmes), "without a tenant every job is known"
