"""The health in Redis, beyond the contract: keys expire, one round trip per call, permits while Redis is away."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import redis
from redis.asyncio.connection import Connection
from structlog.testing import capture_logs

from tests.contract.health.conftest import BAD, LEASE_S, LOCKED, POLICY
from tests.contract.redis_clock import CLOCK, RedisClock
from worker.cli.processes.ports import free_port
from worker.health.base import Permit, Policy, Wait
from worker.health.redis import RedisHealth, open_redis_health
from worker.health.verdict import GOOD, Verdict

ALL = ["good", "bad", "limited", "locked", "forbidden", "retired", "ignored"]


@pytest.fixture
def clock(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisClock]:
    clock = RedisClock(redis_url, monkeypatch)
    yield clock
    clock.close()


@pytest.fixture
async def health(redis_url: str, clock: RedisClock):  # type: ignore[no-untyped-def]
    opened = open_redis_health(redis_url, POLICY)
    yield opened
    await opened.aclose()


async def test_every_key_has_our_prefix_and_expires(health: RedisHealth, redis_url: str) -> None:
    slow = open_redis_health(redis_url, replace(POLICY, rate_per_s={"vertex": 3}))
    await slow.acquire("vertex", "m", LEASE_S)
    _assert_all_expire(redis_url)
    for number, kind in enumerate(ALL):
        await slow.acquire("vertex", f"m{number}", LEASE_S)
        await health.record(f"p{number}", "m", Verdict(kind, 1), await _permit(health, f"p{number}"))  # type: ignore[arg-type]
    await slow.aclose()
    _assert_all_expire(redis_url)


async def test_a_circuit_does_not_expire_while_it_is_open(health: RedisHealth, redis_url: str) -> None:
    long = open_redis_health(redis_url, replace(POLICY, retired_s=2 * POLICY.keep_s))
    await long.record("fal", "m", Verdict("retired"), None)
    await long.aclose()
    with redis.Redis.from_url(redis_url) as client:
        assert client.pttl("kilnhand:health:circuit:fal:m") > 2 * POLICY.keep_s * 1000


async def test_expired_circuits_are_removed_from_the_known_ones(health: RedisHealth, redis_url: str) -> None:
    await health.record("fal", "m", BAD, None)
    with redis.Redis.from_url(redis_url) as client:
        client.delete("kilnhand:health:circuit:fal:m")
        assert [state.model for state in await health.states()] == [None]
        assert client.zrange("kilnhand:health:known", 0, -1) == [b"fal"]


async def test_a_call_is_one_round_trip(health: RedisHealth, monkeypatch: pytest.MonkeyPatch) -> None:
    await health.record("fal", "m", GOOD, await _permit(health))  # connected, and the scripts are loaded
    sent = []
    real = Connection.send_packed_command

    async def counted(self: Connection, *args: Any, **options: Any) -> None:
        sent.append(args)
        await real(self, *args, **options)

    monkeypatch.setattr(
        Connection, "send_packed_command", counted
    )  # counted on the wire, since Redis also counts the commands inside a script
    for _ in range(10):
        await health.record("fal", "m", GOOD, await _permit(health))
    assert len(sent) == 20


async def test_scripts_that_redis_has_forgotten_are_loaded_again(health: RedisHealth, redis_url: str) -> None:
    await _permit(health)
    with redis.Redis.from_url(redis_url) as client:
        client.script_flush()
    await health.record("fal", "m", GOOD, await _permit(health))


async def test_the_workers_clock_is_not_used(
    health: RedisHealth, clock: RedisClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 12345.0)
    for _ in range(POLICY.failures):
        await health.record("fal", "m", BAD, await _permit(health))
    assert isinstance(await health.acquire("fal", "m", LEASE_S), Wait)
    await clock.passes(POLICY.open_s + 0.02)
    assert (await _permit(health)).probe


async def test_a_repeated_call_gets_the_same_probe_or_alert_again(
    health: RedisHealth, clock: RedisClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "same")
    await health.record("fal", "m", LOCKED, None)
    assert [change.kind for change in await health.record("fal", "m", LOCKED, None)] == ["alert"]
    await clock.passes(POLICY.lock_s + 0.02)
    assert (await _permit(health)).probe and (await _permit(health)).probe


async def test_without_redis_every_call_gets_a_permit_and_a_warning_is_logged_once_a_minute() -> None:
    now = [0.0]
    health = open_redis_health(f"redis://127.0.0.1:{free_port()}/0", Policy())
    health._clock = lambda: now[0]
    with capture_logs() as logs:
        for _ in range(3):
            assert await health.acquire("fal", "m", LEASE_S) == Permit()
            assert await health.record("fal", "m", BAD, Permit()) == ()
        assert [line["event"] for line in logs] == ["health_unreachable"]
        now[0] = 61
        await health.acquire("fal", "m", LEASE_S)
    assert len(logs) == 2
    with pytest.raises(redis.RedisError):
        await health.states()
    await health.aclose()


def _assert_all_expire(url: str) -> None:
    longest_ms = 1000 * (2 * POLICY.keep_s + POLICY.retired_s)
    with redis.Redis.from_url(url) as client:
        ends = {key.decode(): client.pttl(key) for key in client.keys("*") if key.decode() != CLOCK}
    assert ends and {key: ms for key, ms in ends.items() if not 0 < ms <= longest_ms} == {}
    assert all(key.startswith("kilnhand:health:") for key in ends)


async def _permit(health: RedisHealth, provider: str = "fal") -> Permit:
    found = await health.acquire(provider, "m", LEASE_S)
    assert isinstance(found, Permit), found
    return found
