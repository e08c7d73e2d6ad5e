"""A row that cannot be claimed or read is set aside by itself: every other job of every queue goes on."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from redis.exceptions import OutOfMemoryError, ResponseError

from tests.contract.ledger.conftest import job
from worker.cli.commands.dead_rows import list_rows
from worker.cli.errors import CliError
from worker.jobs.job import ErrorRecord, Stage
from worker.ledger.base import UnreadableRowError
from worker.ledger.hash import ROW_VERSION
from worker.ledger.producer import open_redis_producer
from worker.ledger.redis import RedisLedger, open_redis_ledger

P = "kilnhand:"
DOC_CHANGES: list[Any] = [
    {"stage": "nowhere"}, {"stage": None}, {"attempts": 5}, {"attempts": [5]}, {"options": None}, {"created_at": "then"},
    {"created_at": None}, {"history": "x"}, {"step": {}}, {"id": 5}, {"id": "good"}, {"id": "../x"}, {"queue": "other"},
    {"queue": None}, {"task": []}, {"message": []}, {"request": 5}, {"sight": {"progress": "half"}}, {"receipt": 5},
    {"looks": "many"}, {"defects": {}}, {"stage": "closing"},
]  # fmt: skip
FIELDS: list[tuple[str, Any]] = [
    *[("doc", value) for value in (None, b"", b"null", b"[]", b"{}", b"nonsense", b"\xff\xfe", b"[" * 100_000, b'{"id"')],
    *[(name, value) for name in ("fence", "strikes") for value in (b"word", b"", b"1.5", b"9223372036854775807")],
    *[("heard", value) for value in (None, b"word", b"1.5", b"")],
    *[("stage", value) for value in (None, b"", b"waiting", b"nowhere", b"\xff")],
    *[("queue", value) for value in (None, b"", b"other", b"\xff")],
    ("signal:cancel", b"\xff\xfe"), (b"signal:\xff", b"1"), (b"\xff\xfe", b"1"),
]  # fmt: skip
KINDS = ["string", "list", "set", "zset", "half written"]


@dataclass
class Bench:
    ledger: RedisLedger
    client: Any

    async def claimed(self, *queues: str) -> set[str]:
        claims, _ = await self.ledger.claim(queues or ("generation", "video"), 10, 60)
        return {claim.job.id for claim in claims}


@pytest.fixture
async def bench(redis_url: str) -> AsyncIterator[Bench]:
    """A good row before the bad one, one after it, and one in another queue. The bad one is not bad yet."""
    ledger = open_redis_ledger(redis_url)
    for job_id, queue in (("good", "generation"), ("bad", "generation"), ("better", "generation"), ("best", "video")):
        await ledger.accept(job(job_id, queue))
    client: Any = redis.Redis.from_url(redis_url)
    yield Bench(ledger, client)
    client.close()
    await ledger.aclose()


async def check(bench: Bench) -> None:
    """The others are claimed, at once and by one call; the bad one is on the list, and is not claimed again."""
    assert await bench.claimed() == {"good", "better", "best"}
    (found,) = (await bench.ledger.bad_rows()).items()
    assert (found[0], found[1].queue, bool(found[1].reason)) == ("bad", "generation", True)
    assert bench.client.zscore(f"{P}due:generation", "bad") is None
    assert await bench.ledger.renew([("bad", 0), ("good", 2)], 60) == {"bad"}
    assert await bench.claimed() == set()


@pytest.mark.parametrize("changes", DOC_CHANGES, ids=str)
async def test_a_document_with_a_wrong_value(bench: Bench, changes: dict[str, Any]) -> None:
    doc = json.loads(bench.client.hget(f"{P}job:bad", "doc"))
    bench.client.hset(f"{P}job:bad", "doc", json.dumps(doc | changes))
    await check(bench)


@pytest.mark.parametrize(("name", "value"), FIELDS, ids=lambda each: str(each)[:30])
async def test_a_field_of_the_hash_with_a_wrong_value(bench: Bench, name: Any, value: bytes | None) -> None:
    bench.client.hdel(f"{P}job:bad", name)
    if value is not None:
        bench.client.hset(f"{P}job:bad", name, value)
    if name == "queue" and value != b"other":
        assert await bench.claimed() == {"good", "better", "best"}
        assert "bad" in await bench.ledger.bad_rows()
        return
    await check(bench)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_of_another_type_or_a_half_written_row(bench: Bench, kind: str) -> None:
    spoil(bench.client, f"{P}job:bad", kind)
    await check(bench)


@pytest.mark.parametrize(
    ("name", "value"), [("until", b"word"), ("until", b""), ("taken", b"word"), ("version", b"word")]
)
async def test_a_field_that_is_written_before_it_is_read_does_no_harm(bench: Bench, name: str, value: bytes) -> None:
    bench.client.hset(f"{P}job:bad", name, value)
    assert await bench.claimed() == {"good", "bad", "better", "best"}
    assert await bench.ledger.renew([("bad", 2)], 60) == set()
    await bench.ledger.signal("bad", "cancel")


@pytest.mark.parametrize("kind", KINDS[:3])
async def test_due_times_of_another_type_stop_their_own_queue_only(bench: Bench, kind: str) -> None:
    spoil(bench.client, f"{P}due:generation", kind)
    assert await bench.claimed() == {"best"}
    with pytest.raises(ResponseError):
        await bench.ledger.accept(job("late"))
    assert not bench.client.exists(f"{P}job:late"), "nothing is half written"
    await bench.ledger.accept(job("other", "video"))
    assert await bench.claimed() == {"other"}


@pytest.mark.parametrize("kind", KINDS[:3])
async def test_a_broken_list_of_failed_or_bad_rows_stops_no_ending_and_no_claim(bench: Bench, kind: str) -> None:
    spoil(bench.client, f"{P}dead", kind)
    spoil(bench.client, f"{P}bad", kind)
    bench.client.hset(f"{P}job:bad", "strikes", "word")
    claims, _ = await bench.ledger.claim(["generation"], 10, 60)
    assert {claim.job.id for claim in claims} == {"good", "better"}
    closing = claims[0].job.move(Stage.CLOSING, ending=Stage.FAILED, error=ErrorRecord("internal", "x"))
    await bench.ledger.release(claims[0], closing, 60)
    await bench.ledger.confirm(closing.id, 60)
    row = await bench.ledger.get(closing.id)
    assert row and row.stage == Stage.FAILED


@pytest.mark.parametrize("kind", KINDS[:3])
async def test_a_producer_writes_nothing_by_halves(bench: Bench, redis_url: str, kind: str) -> None:
    spoil(bench.client, f"{P}due:generation", kind)
    producer = open_redis_producer(redis_url)
    with pytest.raises(ResponseError):
        producer.send(job("new"), 1.0)
    assert not bench.client.exists(f"{P}job:new")
    producer.close()


async def test_reading_and_cancelling_a_bad_row_says_so(bench: Bench, redis_url: str) -> None:
    bench.client.hset(f"{P}job:bad", "doc", "nonsense")
    producer = open_redis_producer(redis_url)
    for read in (producer.row, lambda job_id: producer.cancel(job_id, 60)):
        with pytest.raises(UnreadableRowError, match="job bad"):
            read("bad")
    for call in (bench.ledger.get, bench.ledger.row, lambda job_id: bench.ledger.signal(job_id, "x")):
        with pytest.raises(UnreadableRowError, match="job bad"):
            await call("bad")
    producer.close()


async def test_a_row_that_was_repaired_is_claimed_again(bench: Bench) -> None:
    good = bench.client.hget(f"{P}job:bad", "doc")
    bench.client.hset(f"{P}job:bad", "doc", "nonsense")
    await bench.claimed()
    bench.client.hset(f"{P}job:bad", "doc", good)
    assert await bench.ledger.retry_bad_row("bad")
    assert not await bench.ledger.retry_bad_row("bad")
    assert await bench.claimed() == {"bad"}
    assert not await bench.ledger.bad_rows()


async def test_a_row_of_a_newer_version_is_left_alone_and_stops_nobody(bench: Bench) -> None:
    """Nor does it keep the dispatcher busy: the next due time is that of the others."""
    bench.client.hset(f"{P}job:bad", "version", ROW_VERSION + 1)
    before = bench.client.hgetall(f"{P}job:bad")
    claims, wait = await bench.ledger.claim(["generation"], 2, 60)
    assert {claim.job.id for claim in claims} == {"good", "better"} and wait and wait > 50
    new, _ = await bench.ledger.accept(job("bad"))
    assert not new and bench.client.hgetall(f"{P}job:bad") == before
    assert bench.client.zscore(f"{P}due:generation", "bad") and not await bench.ledger.bad_rows()


async def test_a_sent_row_of_a_newer_version_is_left_to_a_newer_worker(bench: Bench, redis_url: str) -> None:
    producer = open_redis_producer(redis_url)
    producer.send(job("new").__class__(**{**vars(job("new")), "stage": Stage.SENT}), 0.0)
    producer.close()
    bench.client.hset(f"{P}job:new", "version", ROW_VERSION + 1)
    assert not (await bench.ledger.accept(job("new")))[0]
    assert bench.client.hget(f"{P}job:new", "stage") == b"sent"


def spoil(client: Any, key: str, kind: str) -> None:
    """Replace a key by one of another type."""
    client.delete(key)
    match kind:
        case "string":
            client.set(key, "x")
        case "list":
            client.rpush(key, "x")
        case "set":
            client.sadd(key, "x")
        case "zset":
            client.zadd(key, {"x": 1})
        case _:
            client.hset(key, "fence", 1)


async def test_the_command_line_shows_them_and_makes_one_due_again(
    bench: Bench, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KILNHAND_REDIS_URL", redis_url)
    bench.client.hset(f"{P}job:bad", "strikes", "word")
    await bench.claimed()
    await asyncio.to_thread(list_rows, as_json=True, retry=None)
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["job_id"], row["queue"]) == ("bad", "generation")
    await asyncio.to_thread(list_rows, as_json=False, retry=None)
    assert "strikes" in capsys.readouterr().out
    await asyncio.to_thread(list_rows, as_json=False, retry="bad")
    with pytest.raises(CliError, match="not set aside"):
        await asyncio.to_thread(list_rows, as_json=False, retry="good")
    assert bench.client.zscore(f"{P}due:generation", "bad") == 0


async def test_no_row_is_set_aside_because_redis_is_full(bench: Bench) -> None:
    bench.client.config_set("maxmemory", "1")
    try:
        with pytest.raises(OutOfMemoryError):
            await bench.claimed()
    finally:
        bench.client.config_set("maxmemory", "0")
    assert await bench.claimed() == {"good", "bad", "better", "best"}
    assert not await bench.ledger.bad_rows()
