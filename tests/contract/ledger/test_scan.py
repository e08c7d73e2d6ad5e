"""Reading all rows for a report: every one, in parts, and none that spoils the others."""

import redis

from tests.contract.ledger.conftest import job
from worker.ledger.redis import open_redis_ledger
from worker.ledger.scan import ROWS, ledger_time, scan_rows


async def test_every_row_is_read_in_parts(redis_url: str) -> None:
    ledger = open_redis_ledger(redis_url, "scan:")
    ids = {f"job-{number}" for number in range(2 * ROWS + 3)}
    for job_id in ids:
        await ledger.accept(job(job_id))
    batches = [batch async for batch in scan_rows(redis_url, "scan:")]
    assert {row.id for batch in batches for row in batch.jobs} == ids and len(batches) >= 3
    assert max(len(batch.jobs) for batch in batches) == ROWS
    assert abs(await ledger_time(redis_url) - await ledger.ping()) < 5
    await ledger.aclose()


async def test_a_row_that_cannot_be_read_is_counted(redis_url: str) -> None:
    ledger = open_redis_ledger(redis_url, "odd:")
    await ledger.accept(job("good"))
    await ledger.aclose()
    with redis.Redis.from_url(redis_url) as client:
        client.hset("odd:job:newer", "doc", '{"id": "newer", "of": "the future"}')
        client.hset("odd:job:gone", "fence", 1)
        client.set("odd:job:other", "no row")
        client.hset("odd:job:copy", "doc", client.hget("odd:job:good", "doc") or "")
    batches = [batch async for batch in scan_rows(redis_url, "odd:")]
    assert [row.id for batch in batches for row in batch.jobs] == ["good"]
    assert sum(batch.unreadable for batch in batches) == 3
