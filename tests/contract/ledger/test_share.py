"""A tenant that sends more than its share waits behind others, and for nobody if there is room."""

from dataclasses import replace

import pytest

from tests.contract.ledger.conftest import LEASE_S, Bench, job
from worker.jobs.job import Job, Options, Stage
from worker.ledger.base import SHARE, SPARE_DUE_S, SPARE_WAIT_S
from worker.ledger.producer import open_redis_producer

FLOOD = SHARE + 10  # a slow machine regains some of its share meanwhile


def of(tenant: str | None, job_id: str) -> Job:
    return replace(job(job_id), options=Options(tenant=tenant))


async def flood(bench: Bench, tenant: str | None = "noisy") -> tuple[list[str], list[str]]:
    """The ids of jobs within the share, and of those beyond it."""
    ids = [f"{tenant}-{n:02}" for n in range(FLOOD)]
    for job_id in ids:
        assert (await bench.ledger.accept(of(tenant, job_id)))[0]
    rows = [await bench.ledger.row(job_id) for job_id in ids]
    first = min(row.due_at or 0.0 for row in rows if row)
    within = [row.job.id for row in rows if row and row.due_at and row.due_at < first + SPARE_DUE_S / 2]
    return within, [job_id for job_id in ids if job_id not in within]


async def claimed(bench: Bench, limit: int = 100, spare: int | None = None) -> list[str]:
    claims, _ = await bench.ledger.claim(["generation"], limit, LEASE_S, spare)
    return [claim.job.id for claim in claims]


async def test_what_is_beyond_a_share_waits_for_spare_capacity(bench: Bench) -> None:
    within, beyond = await flood(bench)
    assert len(within) >= SHARE
    assert len(beyond) > 3
    await bench.ledger.accept(of("good", "good"))
    claims, wait = await bench.ledger.claim(["generation"], 100, LEASE_S, 0)
    assert {claim.job.id for claim in claims} == {*within, "good"}
    assert wait == pytest.approx(SPARE_WAIT_S)
    assert await claimed(bench, spare=3) == beyond[:3]
    assert await claimed(bench, spare=100) == beyond[3:]


async def test_nothing_waits_where_there_is_room(bench: Bench) -> None:
    within, beyond = await flood(bench)
    assert set(await claimed(bench)) == {*within, *beyond}


async def test_a_row_beyond_a_share_takes_no_room_from_others(bench: Bench) -> None:
    within, _ = await flood(bench)
    await bench.ledger.accept(of("good", "good"))
    assert set(await claimed(bench, limit=len(within) + 1)) == {*within, "good"}


async def test_jobs_without_a_tenant_have_no_share(bench: Bench) -> None:
    within, beyond = await flood(bench, None)
    assert beyond == []
    assert set(await claimed(bench, spare=0)) == set(within)


async def test_a_share_comes_back(bench: Bench) -> None:
    within, beyond = await flood(bench)
    assert set(await claimed(bench)) == {*within, *beyond}
    await bench.passes(0.6)
    await bench.ledger.accept(of("noisy", "later"))
    assert "later" in await claimed(bench, spare=0)


async def test_a_cancel_does_not_wait_for_spare_capacity(bench: Bench) -> None:
    _, beyond = await flood(bench)
    await claimed(bench, spare=0)
    await bench.ledger.cancel(beyond[-1], 60)
    assert await claimed(bench, spare=0) == [beyond[-1]]
    assert not {beyond[-1]} & set(await claimed(bench)), "it is claimed once"


async def test_a_cancel_that_was_noted_before_is_heard_at_once(bench: Bench) -> None:
    await bench.ledger.cancel("late", 60)
    await flood(bench)
    await bench.ledger.accept(of("noisy", "late"))
    assert "late" in await claimed(bench, spare=0)


async def test_an_older_version_claims_it_a_minute_later(bench: Bench) -> None:
    within, beyond = await flood(bench)
    row, first = await bench.ledger.row(beyond[-1]), await bench.ledger.row(within[0])
    assert row and first and row.due_at and first.due_at
    assert row.job.stage == Stage.ACCEPTED
    assert SPARE_DUE_S <= row.due_at - first.due_at < SPARE_DUE_S + 10


def test_a_producer_takes_of_a_tenants_share(redis_url: str) -> None:
    producer = open_redis_producer(redis_url)
    taken = [producer.take_share("generation", "noisy") for _ in range(FLOOD)]
    assert taken[:SHARE] == [True] * SHARE
    assert not all(taken)
    assert producer.take_share("generation", "good") and producer.take_share("video", "noisy")
    producer.close()
