"""The contract for every ledger, part two: sent rows, endings, the list of failed jobs, idempotency keys."""

from dataclasses import replace
from typing import Any

import pytest
import redis

from tests.contract.ledger.conftest import LEASE_S, Bench, job
from worker.errors import ClaimLostError, KeyReusedError
from worker.jobs.job import Attempt, ErrorRecord, HistoryEntry, Job, Stage
from worker.ledger.base import IdempotencyKey
from worker.ledger.producer import RedisProducer, open_redis_producer
from worker.ledger.redis import open_redis_ledger


def sent(job_id: str = "a", queue: str = "generation") -> Job:
    return replace(job(job_id, queue), stage=Stage.SENT, sent_at=5.0, history=(HistoryEntry(5.0, "sent"),))


async def closing(bench: Bench, job_id: str, ending: Stage, **changes: Any) -> None:
    await bench.ledger.accept(job(job_id))
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    error = ErrorRecord("internal", "x") if ending == Stage.FAILED else None
    await bench.ledger.release(claim, claim.job.move(Stage.CLOSING, ending=ending, error=error, **changes), 60)


async def test_a_sent_row_is_due_when_no_worker_has_accepted_it_in_time(bench: Bench) -> None:
    await bench.send(sent(), 0.3)
    claims, wait = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert claims == [] and wait is not None and 0.1 < wait <= 0.3
    await bench.passes(0.4)
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert claim.job.stage == Stage.SENT


async def test_a_second_send_does_not_change_the_row(bench: Bench) -> None:
    await bench.send(sent(), 60)
    await bench.ledger.accept(job())
    await bench.send(sent(), 60)
    row = await bench.ledger.get("a")
    assert row and row.stage == Stage.ACCEPTED


async def test_an_accepted_row_keeps_the_time_and_history_of_its_sent_row(bench: Bench) -> None:
    await bench.send(sent(), 60)
    new, row = await bench.ledger.accept(job())
    assert (new, row.stage, row.sent_at) == (True, Stage.ACCEPTED, 5.0)
    assert [entry.what for entry in row.history] == ["sent", "accepted"]
    claims, _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert [claim.job for claim in claims] == [row]
    assert await bench.ledger.accept(job()) == (False, row)


async def test_an_acceptance_makes_a_claim_of_the_sent_row_lose(bench: Bench) -> None:
    await bench.send(sent(), 0)
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.ledger.accept(job())
    with pytest.raises(ClaimLostError):
        await bench.ledger.release(claim, claim.job.move(Stage.SENT, tries=1), 20)
    row = await bench.ledger.get("a")
    assert row and row.stage == Stage.ACCEPTED


async def test_a_row_that_is_accepted_in_another_queue_is_due_only_there(bench: Bench) -> None:
    await bench.send(sent(queue="elsewhere"), 0)
    await bench.ledger.accept(job())
    assert (await bench.ledger.claim(["elsewhere"], 10, LEASE_S))[0] == []
    assert len((await bench.ledger.claim(["generation"], 10, LEASE_S))[0]) == 1


async def test_a_sent_row_is_withdrawn_and_an_accepted_one_is_not(bench: Bench) -> None:
    await bench.send(sent(), 0)
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert await bench.ledger.withdraw("a")
    assert await bench.ledger.get("a") is None
    assert (await bench.ledger.in_flight(["generation"])) == {"generation": 0}
    with pytest.raises(ClaimLostError):
        await bench.ledger.release(claim, claim.job.move(Stage.SENT, tries=1), 20)
    await bench.ledger.accept(job())
    assert not await bench.ledger.withdraw("a")
    assert await bench.ledger.get("a")


async def test_a_renewed_lease_on_an_ending_lasts_and_a_missing_row_is_not_created(bench: Bench) -> None:
    await closing(bench, "a", Stage.COMPLETED)
    assert await bench.ledger.take("a", 0.3)
    for _ in range(3):
        await bench.passes(0.2)
        assert await bench.ledger.take("a", 0.3) is None
        await bench.ledger.hold(["a", "gone"], 0.3)
    await bench.passes(0.4)
    assert await bench.ledger.take("a", 0.3)
    assert await bench.ledger.row("gone") is None


async def test_a_withdrawn_row_frees_its_key(redis_url: str, producer: RedisProducer) -> None:
    ledger, key = open_redis_ledger(redis_url), IdempotencyKey("k", "request", 60)
    producer.send(sent(), 60, key)
    await ledger.withdraw("a", key)
    assert (await ledger.accept(job("c"), key))[0]
    await ledger.aclose()


async def test_a_signal_on_a_sent_row_survives_its_acceptance(bench: Bench) -> None:
    await bench.send(sent(), 60)
    assert await bench.ledger.signal("a", "cancel")
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert claim.signals == {"cancel": "1"}
    await bench.ledger.accept(job())
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert claim.signals == {"cancel": "1"}


async def test_signals_are_deleted_once_the_ending_is_decided(bench: Bench) -> None:
    await bench.ledger.accept(job())
    await bench.ledger.signal("a", "webhook:1", "a large payload")
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.ledger.release(claim, claim.job.move(Stage.CLOSING, ending=Stage.COMPLETED), 60)
    row = await bench.ledger.row("a")
    assert row and row.signals == {}


async def test_a_row_shows_its_claim_its_signals_and_its_times(bench: Bench) -> None:
    assert await bench.ledger.row("a") is None
    await bench.ledger.accept(job())
    now = await bench.ledger.ping()
    (claim,), _ = await bench.ledger.claim(["generation"], 10, 5.0)
    await bench.ledger.signal("a", "cancel")
    row = await bench.ledger.row("a")
    assert row and row.job == claim.job
    assert (row.fence, row.claims_since_write, row.signals) == (claim.fence, 1, {"cancel": "1"})
    assert row.held_until == row.due_at == pytest.approx(now + 5, abs=0.5)
    await bench.ledger.release(claim, claim.job.move(Stage.CLOSING, ending=Stage.COMPLETED), 60)
    await bench.ledger.confirm("a", 60)
    row = await bench.ledger.row("a")
    assert row and (row.due_at, row.held_until, row.job.history[-1].what) == (None, None, "closed")
    assert row.forgotten_at == pytest.approx(now + 60, abs=0.5)


async def test_failed_jobs_are_listed_newest_first_until_dropped_or_expired(bench: Bench) -> None:
    for job_id, ending in (("a", Stage.FAILED), ("b", Stage.COMPLETED), ("c", Stage.FAILED), ("d", Stage.CANCELLED)):
        await closing(bench, job_id, ending)
        await bench.ledger.confirm(job_id, 1.0)
        await bench.passes(0.01)
    assert [row.id for row in await bench.ledger.dead()] == ["c", "a"]
    assert [row.id for row in await bench.ledger.dead(limit=1)] == ["c"]
    assert await bench.ledger.drop("c")
    assert not await bench.ledger.drop("c")
    assert [row.id for row in await bench.ledger.dead()] == ["a"]
    assert await bench.ledger.get("c"), "its row stays"
    await bench.passes(1.2)
    assert await bench.ledger.dead() == []


@pytest.fixture
def producer(redis_url: str) -> RedisProducer:
    return open_redis_producer(redis_url)


async def test_every_key_of_a_final_job_expires(redis_url: str, producer: RedisProducer) -> None:
    ledger = open_redis_ledger(redis_url)
    key = IdempotencyKey("k", "request", 0.5)
    producer.send(sent(), 60, key)
    await ledger.accept(job(), key)
    (claim,), _ = await ledger.claim(["generation"], 10, LEASE_S)
    await ledger.release(
        claim, claim.job.move(Stage.CLOSING, ending=Stage.FAILED, error=ErrorRecord("internal", "x")), 60
    )
    await ledger.confirm("a", 0.5)
    with redis.Redis.from_url(redis_url) as client:
        assert {client.pttl(key) > 0 for key in client.scan_iter()} == {True}
    await ledger.aclose()


def test_a_producer_withdraws_only_a_sent_row_that_no_worker_has_claimed(
    redis_url: str, producer: RedisProducer
) -> None:
    key = IdempotencyKey("k", "request", 60)
    assert producer.send(sent(), 60, key) == "a"
    assert producer.withdraw(sent(), key)
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
    producer.send(sent(), 60, key)
    producer.cancel("a", 60)
    with redis.Redis.from_url(redis_url) as client:
        client.hset("kilnhand:job:a", "fence", 1)  # a worker has claimed it
    assert not producer.withdraw(sent(), key)
    assert producer.row("a")


def test_a_key_belongs_to_the_first_job_that_brings_it(producer: RedisProducer, redis_url: str) -> None:
    assert producer.send(sent("a"), 60, IdempotencyKey("k", "request", 60)) == "a"
    assert producer.send(sent("b"), 60, IdempotencyKey("k", "request", 60)) == "a"
    assert producer.row("b") is None
    with pytest.raises(KeyReusedError, match="by job a"):
        producer.send(sent("c"), 60, IdempotencyKey("k", "another request", 60))


async def test_a_message_with_a_key_gets_the_first_job_of_the_same_request(bench: Bench) -> None:
    key = IdempotencyKey("k", "request", 60)
    assert (await bench.ledger.accept(job("a"), key))[0]
    is_new, first = await bench.ledger.accept(job("b"), key)
    assert (is_new, first.id) == (False, "a")
    assert await bench.ledger.get("b") is None, "nothing is submitted for it"
    with pytest.raises(KeyReusedError, match="job a already owns it"):
        await bench.ledger.accept(job("c"), replace(key, fingerprint="another request"))


async def test_a_cancel_without_a_row_is_noted_and_the_row_has_it_from_its_beginning(bench: Bench) -> None:
    assert await bench.ledger.cancel("a", 60) is None
    assert await bench.ledger.get("a") is None
    await bench.send(sent(), 60)
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)  # due at once: nobody waits for its message
    assert (claim.job.stage, claim.signals) == (Stage.SENT, {"cancel": "1"})


async def test_a_noted_cancel_is_on_a_row_that_is_accepted_without_having_been_sent(bench: Bench) -> None:
    await bench.ledger.cancel("a", 60)
    await bench.ledger.accept(job())
    await bench.ledger.accept(job("b"))
    claims, _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert {claim.job.id: claim.signals for claim in claims} == {"a": {"cancel": "1"}, "b": {}}


async def test_a_noted_cancel_is_forgotten_after_its_time(bench: Bench) -> None:
    await bench.ledger.cancel("a", 0.2)
    await bench.passes(0.4)
    await bench.send(sent(), 0)
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert claim.signals == {}


async def test_a_cancel_of_a_row_is_a_signal_and_leaves_no_note(bench: Bench) -> None:
    await bench.ledger.accept(job())
    assert await bench.ledger.cancel("a", 60) == await bench.ledger.get("a")
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert claim.signals == {"cancel": "1"}


async def test_a_message_that_is_older_than_any_row_is_not_accepted_anew(bench: Bench) -> None:
    """Its job has ended, and its row was forgotten: it would be paid for a second time."""
    now = await bench.ledger.ping()
    old, new = replace(job(), sent_at=now - 2 * 86_400), replace(job("b"), sent_at=now - 3600)
    assert (await bench.ledger.accept(old))[0] is False
    assert (await bench.ledger.accept(new))[0] is True
    assert (await bench.ledger.get("a"), (await bench.ledger.in_flight(["generation"]))) == (None, {"generation": 1})


async def test_a_message_with_a_row_is_accepted_however_old_it_is(bench: Bench) -> None:
    now = await bench.ledger.ping()
    await bench.send(replace(sent(), sent_at=now - 2 * 86_400), 60)
    assert (await bench.ledger.accept(replace(job(), sent_at=now - 2 * 86_400)))[0] is True


async def test_a_job_with_a_possible_duplicate_is_counted_once_when_it_ends(bench: Bench) -> None:
    assert await bench.ledger.possible_duplicates() == 0
    doubted = (Attempt(1, "fal", "e", 0.0), Attempt(2, "fal", "e", 1.0, possible_duplicate=True))
    for job_id, ending in (("a", Stage.FAILED), ("b", Stage.COMPLETED), ("c", Stage.CANCELLED)):
        await closing(bench, job_id, ending, attempts=doubted)
    await closing(bench, "d", Stage.COMPLETED)
    assert await bench.ledger.possible_duplicates() == 0, "none has ended"
    for job_id in ("a", "a", "b", "c", "d", "a"):
        await bench.ledger.confirm(job_id, 60)
    assert await bench.ledger.possible_duplicates() == 3
