"""Provider health in Redis: a hash per circuit, a set of leases per provider. Each atomic step is a Lua file here.

Each call is one round trip. While Redis does not answer, every submission gets a permit: health must not stop jobs.
"""

import math
import secrets
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any, cast

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from worker.health.base import Cause, Change, CircuitStatus, Permit, Policy, Wait
from worker.health.hash import Keys, circuit_status
from worker.health.verdict import Verdict
from worker.net.redis_client import open_async_redis

log = structlog.get_logger(__name__)

LOG_EVERY_S = 60.0


def open_redis_health(url: str, policy: Policy, prefix: str = "kilnhand:") -> "RedisHealth":
    """The health in the Redis at `url`. It connects at the first call; the caller closes it."""
    client = open_async_redis(
        url,
        max_connections=16,
        timeout=2,
        socket_timeout=2,  # a submission waits for the answer, and is sent without one
        socket_connect_timeout=2,
        socket_keepalive=True,
        health_check_interval=25,
        # An idle connection may have been closed, and every script may run twice. Timeouts are not retried.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        client_name="kilnhand-health",
    )
    return RedisHealth(client, policy, prefix)


class RedisHealth:
    """See `worker.health.base.Health`."""

    def __init__(self, client: Redis, policy: Policy, prefix: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` only limits how often a warning is logged."""
        self._redis, self._policy, self._keys, self._clock = client, policy, Keys(prefix), clock
        self._script = {name: client.register_script(lua(name)) for name in ("acquire", "record", "states")}
        self._logged_at = -math.inf

    async def acquire(self, provider: str, model: str, lease_s: float) -> Permit | Wait:
        """A permit for one submission now, or how long to wait; a permit when Redis does not answer."""
        return await self._acquire(provider, model, secrets.token_hex(8), lease_s)

    async def peek(self, provider: str, model: str) -> Wait | None:
        """Why a submission would have to wait now; None when Redis does not answer."""
        answer = await self._acquire(provider, model, "", 0.0)
        return answer if isinstance(answer, Wait) else None

    async def _acquire(self, provider: str, model: str, token: str, lease_s: float) -> Permit | Wait:
        policy = self._policy
        limits = [policy.concurrency.get(provider, 0), policy.rate_per_s.get(provider, 0)]
        args: list[Any] = [token, _ms(lease_s), *limits, _ms(policy.recheck_s), _ms(policy.keep_s), provider]
        args += [int(policy.is_alone(provider, model)), policy.keys.get(provider, "")]
        try:
            granted, value, more, *cause = await self._script["acquire"](keys=self._keys.of(provider, model), args=args)
        except (RedisError, OSError) as error:
            self._warn_unreachable(error)
            return Permit()
        if granted:
            return Permit(token, value / 1000, bool(more))
        return Wait(value / 1000, more.decode(), cast(Cause, cause[0].decode()) if cause[0] else None)

    async def record(self, provider: str, model: str, verdict: Verdict, permit: Permit | None) -> tuple[Change, ...]:
        """Record the verdict on a submission; no change when Redis does not answer."""
        p, permit = self._policy, permit or Permit()
        args: list[Any] = [
            permit.token or "",
            _ms(permit.at),
            verdict.kind,
            _ms(p.hint_s(verdict)),
            secrets.token_hex(8),
        ]
        args += [provider, model, _ms(p.window_s), p.failures, p.ratio, _ms(p.open_s), _ms(p.open_max_s)]
        args += [_ms(p.lock_s), _ms(p.retired_s), _ms(p.backoff_s), _ms(p.backoff_max_s), _ms(p.keep_s)]
        args += [verdict.count, int(p.is_alone(provider, model)), p.keys.get(provider, "")]
        try:
            changes = await self._script["record"](keys=self._keys.of(provider, model), args=args)
        except (RedisError, OSError) as error:
            self._warn_unreachable(error)
            return ()
        return tuple(_change(change, provider, model) for change in changes)

    async def states(self) -> tuple[CircuitStatus, ...]:
        """The status of every known circuit. Raises `RedisError` when Redis does not answer."""
        now, *found = await self._script["states"](keys=[self._keys.known, self._keys.others], args=[self._keys.prefix])
        states = [circuit_status(name.decode(), flight, fields, now, self._policy) for name, flight, fields in found]
        return tuple(sorted(states, key=lambda state: (state.provider, state.model or "")))

    async def aclose(self) -> None:
        """Close connections."""
        await self._redis.aclose(close_connection_pool=True)

    def _warn_unreachable(self, error: Exception) -> None:
        if self._clock() - self._logged_at >= LOG_EVERY_S:
            self._logged_at = self._clock()
            log.warning("health_unreachable", error=f"{type(error).__name__}: {error}")


def lua(name: str) -> str:
    """The text of a script, by its file name without `.lua`."""
    return (files("worker.health") / f"{name}.lua").read_text()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _change(reply: Any, provider: str, model: str) -> Change:
    kind, which, cause, ms = reply
    decoded = cast(Cause, cause.decode()) if cause else None
    return Change(kind.decode(), provider, model if which == 2 else None, decoded, ms / 1000)
