"""What the health in Redis promises beside the suite: its keys end, one trip a call, and no Redis stops nobody."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import redis
from redis.asyncio.connection import Connection
from structlog.testing import capture_logs

from tests.contract.health.conftest import BAD, LEASE_S, LOCKED, POLICY
from worker.cli.processes.ports import free_port
from worker.health.base import Permit, Policy, Wait
from worker.health.redis import RedisHealth, open_redis_health
from worker.health.verdict import GOOD, Verdict

ALL = ["good", "bad", "limited", "locked", "forbidden", "retired", "ignored"]


@pytest.fixture
async def health(redis_url: str):  # type: ignore[no-untyped-def]
    opened = open_redis_health(redis_url, POLICY)
    yield opened
    await opened.aclose()


async def test_every_key_is_ours_and_ends_by_itself(health: RedisHealth, redis_url: str) -> None:
    slow = open_redis_health(redis_url, replace(POLICY, rate_per_s={"vertex": 3}))
    await slow.ask("vertex", "m", LEASE_S)
    _all_end(redis_url)
    for number, kind in enumerate(ALL):
        await slow.ask("vertex", f"m{number}", LEASE_S)
        await health.record(f"p{number}", "m", Verdict(kind, 1), await _go(health, f"p{number}"))  # type: ignore[arg-type]
    await slow.aclose()
    _all_end(redis_url)


async def test_a_circuit_outlives_its_opening(health: RedisHealth, redis_url: str) -> None:
    long = open_redis_health(redis_url, replace(POLICY, retired_s=2 * POLICY.keep_s))
    await long.record("fal", "m", Verdict("retired"), None)
    await long.aclose()
    with redis.Redis.from_url(redis_url) as client:
        assert client.pttl("kilnhand:health:circuit:fal:m") > 2 * POLICY.keep_s * 1000


async def test_forgotten_circuits_leave_the_list(health: RedisHealth, redis_url: str) -> None:
    await health.record("fal", "m", BAD, None)
    with redis.Redis.from_url(redis_url) as client:
        client.delete("kilnhand:health:circuit:fal:m")
        assert [state.model for state in await health.states()] == [None]
        assert client.zrange("kilnhand:health:known", 0, -1) == [b"fal"]


async def test_a_call_is_one_round_trip(health: RedisHealth, monkeypatch: pytest.MonkeyPatch) -> None:
    await health.record("fal", "m", GOOD, await _go(health))  # connected, and the scripts are loaded
    sent = []
    real = Connection.send_packed_command

    async def counted(self: Connection, *args: Any, **options: Any) -> None:
        sent.append(args)
        await real(self, *args, **options)

    monkeypatch.setattr(
        Connection, "send_packed_command", counted
    )  # the wire itself: Redis counts a script's insides too
    for _ in range(10):
        await health.record("fal", "m", GOOD, await _go(health))
    assert len(sent) == 20


async def test_scripts_that_redis_has_forgotten_are_loaded_again(health: RedisHealth, redis_url: str) -> None:
    await _go(health)
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()
    await health.record("fal", "m", GOOD, await _go(health))


async def test_the_workers_own_clock_counts_for_nothing(health: RedisHealth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 12345.0)
    for _ in range(POLICY.failures):
        await health.record("fal", "m", BAD, await _go(health))
    assert isinstance(await health.ask("fal", "m", LEASE_S), Wait)
    await asyncio.sleep(POLICY.open_s + 0.02)
    assert (await _go(health)).probe


async def test_an_ask_or_alert_whose_answer_was_lost_is_given_again_to_the_same_caller(
    health: RedisHealth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "same")
    await health.record("fal", "m", LOCKED, None)
    assert [change.kind for change in await health.record("fal", "m", LOCKED, None)] == ["alert"]
    await asyncio.sleep(POLICY.lock_s + 0.02)
    assert (await _go(health)).probe and (await _go(health)).probe


async def test_without_redis_everything_may_go_and_it_is_said_once_a_minute() -> None:
    now = [0.0]
    health = open_redis_health(f"redis://127.0.0.1:{free_port()}/0", Policy())
    health._clock = lambda: now[0]
    with capture_logs() as logs:
        for _ in range(3):
            assert await health.ask("fal", "m", LEASE_S) == Permit()
            assert await health.record("fal", "m", BAD, Permit()) == ()
        assert [line["event"] for line in logs] == ["health_unreachable"]
        now[0] = 61
        await health.ask("fal", "m", LEASE_S)
    assert len(logs) == 2
    with pytest.raises(redis.RedisError):
        await health.states()
    await health.aclose()


def _all_end(url: str) -> None:
    longest_ms = 1000 * (2 * POLICY.keep_s + POLICY.retired_s)
    with redis.Redis.from_url(url) as client:
        ends = {key.decode(): client.pttl(key) for key in client.keys("*")}
    assert ends and {key: ms for key, ms in ends.items() if not 0 < ms <= longest_ms} == {}
    assert all(key.startswith("kilnhand:health:") for key in ends)


async def _go(health: RedisHealth, provider: str = "fal") -> Permit:
    found = await health.ask(provider, "m", LEASE_S)
    assert isinstance(found, Permit), found
    return found
