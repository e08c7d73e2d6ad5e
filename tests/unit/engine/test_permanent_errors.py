"""A ledger that answers with errors which come again at each try: they end the one job's turn, and pauses grow."""

from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoPermissionError, OutOfMemoryError, ResponseError

from tests.unit.engine.world import World
from worker.engine import row_writer


@pytest.mark.parametrize(
    ("error", "writes"),
    [(ResponseError("WRONGTYPE"), 1), (NoPermissionError("NOPERM"), 1), (OutOfMemoryError("OOM"), 6), (RedisConnectionError(), 6)],
    ids=lambda each: type(each).__name__,
)  # fmt: skip
async def test_a_write_is_repeated_only_if_it_may_succeed(
    monkeypatch: pytest.MonkeyPatch, error: Exception, writes: int
) -> None:
    """Else it would hold the claim for an hour. What was paid for is kept in the store."""
    world, calls, real = World(), [0], row_writer.asyncio.sleep
    await world.accept()
    release = world.ledger.release

    async def failing(claim: Any, job: Any, due_in_s: float) -> None:
        if job.defects:  # the row as it was, after the error
            raise error
        calls[0] += 1
        if calls[0] < 6:
            raise error
        await release(claim, job, due_in_s)

    monkeypatch.setattr(world.ledger, "release", failing)
    monkeypatch.setattr(row_writer.asyncio, "sleep", lambda _: real(0))
    await world.dispatcher.run_once()
    await world.dispatcher.idle()
    assert calls == [writes]
    assert not world.dispatcher.jobs, "the claim is given back"
    assert world.fal.calls.count("submit") == 1
    assert any("outcomes/" in key for key in world.store.kept) is (writes == 1)


async def test_pauses_between_claims_grow_and_end_with_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    world, slept = World(), list[float]()
    claim = world.ledger.claim

    async def refused(*_: Any) -> Any:
        raise ResponseError("WRONGTYPE")

    async def note(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(world.dispatcher, "_sleep", note)
    monkeypatch.setattr(world.ledger, "claim", refused)
    for _ in range(7):
        await world.dispatcher.run_once()
    assert slept == [1, 2, 4, 8, 16, 30, 30]
    monkeypatch.setattr(world.ledger, "claim", claim)
    await world.dispatcher.run_once()
    monkeypatch.setattr(world.ledger, "claim", refused)
    await world.dispatcher.run_once()
    assert slept[-1] == 1
