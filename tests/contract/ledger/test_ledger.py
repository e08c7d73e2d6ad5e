"""The contract of `worker.ledger.base`, for every ledger."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
import redis

from tests.contract.ledger.conftest import LEASE_S, Bench, job
from worker.errors import ClaimLostError
from worker.jobs.job import Attempt, Job, Options, Priority, Stage, Ticket
from worker.ledger.base import NEW_JOB_BACKDATE_S
from worker.ledger.redis import RedisLedger, open_redis_ledger


async def test_a_new_row_is_due_at_once_and_dated_by_the_ledgers_clock(bench: Bench) -> None:
    new, row = await bench.ledger.accept(job())
    assert new
    assert row.created_at == pytest.approx(await bench.ledger.ping(), abs=1)
    claims, _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert [claim.job for claim in claims] == [row]
    assert claims[0].now >= row.created_at - 0.01


async def test_a_second_acceptance_changes_nothing(bench: Bench) -> None:
    _, first = await bench.ledger.accept(job())
    new, row = await bench.ledger.accept(replace(job(), request={"prompt": "another"}))
    assert not new
    assert row == first


async def test_a_claimed_row_is_not_claimed_again_until_its_lease_ends(bench: Bench) -> None:
    await bench.ledger.accept(job())
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert (await bench.ledger.claim(["generation"], 10, LEASE_S))[0] == []
    await bench.passes(LEASE_S + 0.1)
    (again,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert again.fence > claim.fence
    assert again.claims_since_write == 2
    assert 0.1 <= again.late_s < 1 < claim.late_s < NEW_JOB_BACKDATE_S + 1, (
        "`late_s` counts from the time when the row was due"
    )


async def test_a_new_job_is_claimed_before_a_poll(bench: Bench) -> None:
    await bench.ledger.accept(job("polled"))
    (claim,), _ = await bench.ledger.claim(["generation"], 1, LEASE_S)
    await bench.ledger.release(claim, claim.job, 0.01)
    await bench.passes(0.1)
    await bench.ledger.accept(job("new"))
    claims, _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert [claim.job.id for claim in claims] == ["new", "polled"]


async def test_new_jobs_are_claimed_by_their_priority(bench: Bench) -> None:
    priorities: list[Priority] = ["low", "normal", "high"]
    for priority in priorities:
        await bench.ledger.accept(replace(job(priority), options=Options(priority=priority)))
    claims, _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert [claim.job.id for claim in claims] == ["high", "normal", "low"]


async def test_a_lost_claim_cannot_write(bench: Bench) -> None:
    await bench.ledger.accept(job())
    (old,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.passes(LEASE_S + 0.1)
    (new,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    with pytest.raises(ClaimLostError):
        await bench.ledger.keep(old, old.job.move(Stage.SUBMITTING), LEASE_S)
    with pytest.raises(ClaimLostError):
        await bench.ledger.release(old, old.job.move(Stage.SUBMITTING), 0)
    await bench.ledger.keep(new, new.job.move(Stage.SUBMITTING), LEASE_S)
    row = await bench.ledger.get("a")
    assert row and row.stage == Stage.SUBMITTING


def at_fal(number: int, row: Job, seed: int | None = None) -> Job:
    """A row that gets the ticket of a run."""
    attempt = Attempt(1, "fal", "e", started_at=1.0, seed=seed, ticket=Ticket(f"r-{number}"), submitted_at=1.0)
    return replace(row, attempts=(attempt,), stage=Stage.WAITING)


async def test_a_run_belongs_to_the_first_job_that_names_it(bench: Bench) -> None:
    assert await bench.ledger.own_run("fal:r-0", "a")
    assert not await bench.ledger.own_run("fal:r-0", "b")
    assert await bench.ledger.own_run("fal:r-0", "a")
    assert await bench.ledger.own_run("vertex:r-0", "b")


@pytest.mark.parametrize("write", ["keep", "release"])
async def test_a_new_ticket_makes_its_run_the_jobs_where_no_seed_of_ours_tells_it_from_others(
    bench: Bench, write: str
) -> None:
    for number, seed in enumerate((None, 7)):
        await bench.ledger.accept(job(f"job-{number}"))
        (claim,), _ = await bench.ledger.claim(["generation"], 1, LEASE_S)
        await getattr(bench.ledger, write)(claim, at_fal(number, claim.job, seed), 60.0)
        assert await bench.ledger.own_run(f"fal:r-{number}", "another") is (seed is not None)
        assert await bench.ledger.own_run(f"fal:r-{number}", f"job-{number}") is (seed is None)


async def test_a_renewed_claim_lasts_another_lease_and_a_lost_one_is_returned(bench: Bench) -> None:
    await bench.ledger.accept(job())
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.passes(LEASE_S * 0.7)
    assert await bench.ledger.renew([("a", claim.fence)], LEASE_S) == set()
    await bench.passes(LEASE_S * 0.7)
    assert (await bench.ledger.claim(["generation"], 10, LEASE_S))[0] == []
    assert await bench.ledger.renew([("a", claim.fence - 1), ("nobody", 1)], LEASE_S) == {"a", "nobody"}


async def test_a_renewal_after_a_release_neither_claims_the_row_again_nor_reports_it_lost(bench: Bench) -> None:
    await bench.ledger.accept(job())
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.ledger.release(claim, claim.job, 0)
    assert await bench.ledger.renew([("a", claim.fence)], 60) == set()
    await bench.passes(0.01)
    assert len((await bench.ledger.claim(["generation"], 10, LEASE_S))[0]) == 1


async def test_a_released_row_is_due_again_after_the_given_time(bench: Bench) -> None:
    await bench.ledger.accept(job())
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    ticket = Attempt(1, "fal", "e", 1.0, ticket=Ticket("r", {"status": "u"}))
    waiting = claim.job.move(Stage.SUBMITTING, attempts=(ticket,)).move(Stage.WAITING)
    await bench.ledger.release(claim, waiting, 0.2)
    claims, wait = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert claims == []
    assert wait == pytest.approx(0.2, abs=0.15)
    await bench.passes(0.25)
    (again,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert again.job == waiting
    assert again.claims_since_write == 1


async def test_only_the_given_queues_are_claimed_and_never_more_than_the_limit(bench: Bench) -> None:
    for n in range(5):
        await bench.ledger.accept(job(f"g{n}"))
    await bench.ledger.accept(job("t", queue="training"))
    first, _ = await bench.ledger.claim(["generation"], 3, LEASE_S)
    rest, wait = await bench.ledger.claim(["generation"], 3, LEASE_S)
    assert len(first) == 3
    assert len(rest) == 2
    assert {c.job.id for c in [*first, *rest]} == {f"g{n}" for n in range(5)}
    assert wait == pytest.approx(LEASE_S, abs=0.2)
    assert await bench.ledger.in_flight(["generation", "training", "video"]) == {
        "generation": 5,
        "training": 1,
        "video": 0,
    }


async def test_a_signal_makes_a_waiting_row_due_and_stays_until_the_end(bench: Bench) -> None:
    await bench.ledger.accept(job())
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.ledger.release(claim, claim.job, 60)
    assert await bench.ledger.signal("a", "cancel") == claim.job
    (again,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert again.signals == {"cancel": "1"}
    await bench.ledger.release(again, again.job, 0)
    await bench.passes(0.01)
    (third,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert third.signals == {"cancel": "1"}


async def test_a_signal_does_not_interrupt_a_claim_but_makes_the_row_due_at_its_release(bench: Bench) -> None:
    await bench.ledger.accept(job())
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.ledger.signal("a", "cancel")
    assert (await bench.ledger.claim(["generation"], 10, LEASE_S))[0] == []
    await bench.ledger.release(claim, claim.job, 60)
    (again,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    assert again.signals == {"cancel": "1"}


async def test_a_signal_without_a_row_returns_none(bench: Bench) -> None:
    assert await bench.ledger.signal("nobody", "cancel") is None


def closing(row: Job, ending: Stage = Stage.COMPLETED) -> Job:
    return row.move(Stage.CLOSING, ending=ending)


async def test_a_confirmed_row_has_ended_and_is_never_due_again(bench: Bench) -> None:
    await bench.ledger.accept(job())
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.ledger.release(claim, closing(claim.job), 0)
    await bench.ledger.confirm("a", 60)
    await bench.ledger.confirm("a", 60)
    row = await bench.ledger.get("a")
    assert row and row.stage == Stage.COMPLETED
    assert (await bench.ledger.claim(["generation"], 10, LEASE_S))[0] == []
    assert await bench.ledger.signal("a", "cancel") == row


async def test_a_row_that_is_not_closing_cannot_be_confirmed(bench: Bench) -> None:
    _, row = await bench.ledger.accept(job())
    await bench.ledger.confirm("a", 60)
    assert await bench.ledger.get("a") == row


async def test_a_confirmation_makes_a_claim_of_the_closing_row_lose(bench: Bench) -> None:
    await bench.ledger.accept(job())
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.ledger.release(claim, closing(claim.job), 0)
    await bench.passes(0.01)
    (late,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.ledger.confirm("a", 60)
    with pytest.raises(ClaimLostError):
        await bench.ledger.release(late, late.job, 10)


async def test_a_final_row_expires(bench: Bench) -> None:
    await bench.ledger.accept(job())
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.ledger.release(claim, closing(claim.job, Stage.CANCELLED), 60)
    await bench.ledger.confirm("a", 0.2)
    row = await bench.ledger.get("a")
    assert row and row.stage == Stage.CANCELLED
    await bench.passes(0.3)
    assert await bench.ledger.get("a") is None


async def test_one_delivery_alone_takes_an_ending_until_its_lease_ends(bench: Bench) -> None:
    await bench.ledger.accept(job())
    assert await bench.ledger.take("a", LEASE_S) is None
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.ledger.release(claim, closing(claim.job), 60)
    takers = await asyncio.gather(*(bench.ledger.take("a", LEASE_S) for _ in range(20)))
    assert [taker.ending for taker in takers if taker] == [Stage.COMPLETED]
    await bench.passes(LEASE_S + 0.1)
    assert await bench.ledger.take("a", LEASE_S)
    await bench.ledger.confirm("a", 60)
    await bench.passes(LEASE_S + 0.1)
    assert await bench.ledger.take("a", LEASE_S) is None


async def test_a_signal_after_the_ending_is_decided_changes_nothing(bench: Bench) -> None:
    await bench.ledger.accept(job())
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.ledger.release(claim, closing(claim.job), 60)
    assert await bench.ledger.signal("a", "cancel")
    assert (await bench.ledger.claim(["generation"], 10, LEASE_S))[0] == []


async def test_the_signals_of_a_row_end_with_it_but_for_the_jobs_that_share_its_run(bench: Bench) -> None:
    await bench.ledger.accept(job())
    for name in ("webhook:1", "joined:b", "left:b"):
        await bench.ledger.signal("a", name)
    (claim,), _ = await bench.ledger.claim(["generation"], 10, LEASE_S)
    await bench.ledger.release(claim, closing(claim.job), 60)
    row = await bench.ledger.row("a")
    assert row and row.signals == {"joined:b": "1", "left:b": "1"}


async def test_a_row_that_cannot_be_read_does_not_stop_the_others(redis_url: str) -> None:
    ledger = open_redis_ledger(redis_url)
    for n in range(3):
        await ledger.accept(job(f"j{n}"))
    with redis.Redis.from_url(redis_url) as client:
        client.hset("kilnhand:job:j1", "doc", '{"id": "j1", "stage": "from-the-future"}')
    claims, _ = await ledger.claim(["generation"], 10, LEASE_S)
    assert sorted(claim.job.id for claim in claims) == ["j0", "j2"]
    await ledger.aclose()


async def test_two_hundred_simultaneous_claims_give_each_row_to_exactly_one(bench: Bench) -> None:
    for n in range(50):
        await bench.ledger.accept(job(f"j{n}"))
    rounds = await asyncio.gather(*(bench.ledger.claim(["generation"], 1, 30) for _ in range(200)))
    got = [claim.job.id for claims, _ in rounds for claim in claims]
    assert sorted(got) == sorted(f"j{n}" for n in range(50))


def test_times_come_from_the_clock_of_redis_and_not_of_the_worker(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def accepted() -> float:
        ledger = open_redis_ledger(redis_url)
        _, row = await ledger.accept(job())
        await ledger.aclose()
        return row.created_at

    real = time.time()
    monkeypatch.setattr(time, "time", lambda: 0.0)  # a worker whose clock is decades off
    assert asyncio.run(accepted()) == pytest.approx(real, abs=30)


async def test_a_claim_whose_answer_was_lost_is_the_same_claim_when_it_is_repeated(redis_url: str) -> None:
    ledger = open_redis_ledger(redis_url)
    for n in range(3):
        await ledger.accept(job(f"j{n}"))
    calls: list[Any] = []
    script = ledger._script["claim"]

    async def claim(**given: Any) -> Any:
        calls.append(await script(**given))
        return await script(**given)  # as the client does when no answer came

    ledger._script["claim"] = claim  # type: ignore[assignment]
    claims, _ = await ledger.claim(["generation"], 2, LEASE_S)
    assert len(calls) == 1 and [(claim.job.id, claim.fence, claim.claims_since_write) for claim in claims] == [
        ("j0", 2, 1), ("j1", 2, 1),
    ]  # fmt: skip
    for claim_ in claims:
        await ledger.release(claim_, claim_.job, 60)
    ledger._script["claim"] = script
    rest, _ = await ledger.claim(["generation"], 10, LEASE_S)
    assert [claim.job.id for claim in rest] == ["j2"]
    await ledger.aclose()


async def test_a_pointer_is_moved_only_from_where_the_caller_has_seen_it(bench: Bench) -> None:
    point = bench.ledger.point
    assert await point("name", "a", "", 60) == "a"
    assert await point("name", "b", "", 60) == "a", "somebody was before"
    assert await point("other", "b", "", 60) == "b"
    assert await point("name", "b", "a", 60) == "b"
    assert await point("name", "b", "a", 60) == "b", "the same call twice does the same"
    assert await point("name", "c", "a", 60) == "b", "it was moved meanwhile"


async def test_a_pointer_is_forgotten(bench: Bench, redis_url: str) -> None:
    await bench.ledger.point("name", "a", "", 60)
    if isinstance(bench.ledger, RedisLedger):
        with redis.Redis.from_url(redis_url) as client:
            assert 50 < client.ttl("kilnhand:equal:name") <= 60
    else:
        await bench.passes(61)
        assert await bench.ledger.point("name", "b", "", 60) == "b"
