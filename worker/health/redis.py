"""The health of providers in Redis: a hash a circuit, a set of leases a provider. What is atomic is a Lua file each.

One round trip for each call. When Redis cannot be asked, everything may go: a job must not wait for what only watches.
"""

import math
import secrets
import time
from collections.abc import Callable
from importlib.resources import files
from typing import Any, cast

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from worker.health.base import Cause, Change, Permit, Policy, State, Wait
from worker.health.hash import Keys, state_of
from worker.health.verdict import Verdict

log = structlog.get_logger(__name__)

SAID_EVERY_S = 60.0


def open_redis_health(url: str, policy: Policy, prefix: str = "kilnhand:") -> "RedisHealth":
    """The health that is kept in the Redis at `url`; connects at the first call. Whoever opens it closes it."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=16,
        timeout=2,
        socket_timeout=2,  # a submission waits for the answer, and goes without one
        socket_connect_timeout=2,
        socket_keepalive=True,
        health_check_interval=25,
        # An idle connection may have been closed; every script may run twice. A server that hangs is not asked again.
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        client_name="kilnhand-health",
    )
    return RedisHealth(Redis(connection_pool=pool), policy, prefix)


class RedisHealth:
    """See `worker.health.base.Health`."""

    def __init__(self, client: Redis, policy: Policy, prefix: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` only spaces log lines."""
        self._redis, self._policy, self._keys, self._clock = client, policy, Keys(prefix), clock
        self._script = {name: client.register_script(lua(name)) for name in ("ask", "tell", "states")}
        self._said_at = -math.inf

    async def ask(self, provider: str, model: str, lease_s: float) -> Permit | Wait:
        """Whether a submission may go now; it may when Redis cannot be asked."""
        return await self._asked(provider, model, secrets.token_hex(8), lease_s)

    async def shut(self, provider: str, model: str) -> Wait | None:
        """Why a submission would have to wait now; None when Redis cannot be asked."""
        answer = await self._asked(provider, model, "", 0.0)
        return answer if isinstance(answer, Wait) else None

    async def _asked(self, provider: str, model: str, token: str, lease_s: float) -> Permit | Wait:
        policy = self._policy
        limits = [policy.concurrency.get(provider, 0), policy.rate_per_s.get(provider, 0)]
        args: list[Any] = [token, _ms(lease_s), *limits, _ms(policy.again_s), _ms(policy.keep_s), provider]
        try:
            goes, value, more = await self._script["ask"](keys=self._keys.of(provider, model), args=args)
        except (RedisError, OSError) as error:
            self._unreachable(error)
            return Permit()
        return Permit(token, value / 1000, bool(more)) if goes else Wait(value / 1000, more.decode())

    async def record(self, provider: str, model: str, verdict: Verdict, permit: Permit | None) -> tuple[Change, ...]:
        """What came of it; nothing changes when Redis cannot be told."""
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
        args += [verdict.times]
        try:
            changes = await self._script["tell"](keys=self._keys.of(provider, model), args=args)
        except (RedisError, OSError) as error:
            self._unreachable(error)
            return ()
        return tuple(_change(change, provider, model) for change in changes)

    async def states(self) -> tuple[State, ...]:
        """Every circuit that is remembered. Raises `RedisError` when Redis cannot be asked."""
        now, *found = await self._script["states"](keys=[self._keys.known], args=[self._keys.prefix])
        states = [state_of(name.decode(), flight, fields, now, self._policy) for name, flight, fields in found]
        return tuple(sorted(states, key=lambda state: (state.provider, state.model or "")))

    async def aclose(self) -> None:
        """Close connections."""
        await self._redis.aclose(close_connection_pool=True)

    def _unreachable(self, error: Exception) -> None:
        if self._clock() - self._said_at >= SAID_EVERY_S:
            self._said_at = self._clock()
            log.warning("health_unreachable", error=f"{type(error).__name__}: {error}")


def lua(name: str) -> str:
    """A script by the name of its file."""
    return (files("worker.health") / f"{name}.lua").read_text()


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _change(told: Any, provider: str, model: str) -> Change:
    kind, which, cause, ms = told
    named = cast(Cause, cause.decode()) if cause else None
    return Change(kind.decode(), provider, model if which == 2 else None, named, ms / 1000)
