"""`kilnhand providers`: the health of each provider, shared by all workers, as a table or as JSON."""

import asyncio
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import RedisError
from rich.text import Text

from config.logging import mask_text
from config.settings import Settings
from worker.cli.errors import CliError
from worker.cli.screen import terminal
from worker.cli.screen.shown_url import shown_url
from worker.cli.screen.tables import print_table
from worker.cli.settings import read_settings
from worker.health.base import CircuitStatus, Policy
from worker.health.policy import policy_of
from worker.health.redis import open_redis_health
from worker.providers.table import what_to_set

COLUMNS = ("provider", "enabled here", "circuit", "open until", "failures", "in flight", "paused until")
COLOURS = {"closed": "green", "half_open": "yellow", "open": "red"}


@dataclass(frozen=True)
class ProviderAccess:
    """A provider, and what must be set before it can be used. None: nothing is missing."""

    provider: str
    what_to_set: str | None


def providers(as_json: bool) -> int:
    """Show every provider with its circuits."""
    settings = read_settings()
    states = read_circuits(settings)
    accesses = [ProviderAccess(name, lacks) for name, lacks in what_to_set(settings).items()]
    if as_json:
        terminal.print_json({"providers": [_as_json(access, states) for access in accesses]})
    else:
        _show(accesses, states, policy_of(settings.health))
    return 0


def read_circuits(settings: Settings) -> tuple[CircuitStatus, ...]:
    """Every circuit in Redis. Raises a `CliError` if Redis does not answer."""

    async def states() -> tuple[CircuitStatus, ...]:
        health = open_redis_health(settings.redis.ledger, policy_of(settings.health), settings.redis.own_keys)
        try:
            return await health.states()
        finally:
            await health.aclose()

    try:
        return asyncio.run(states())
    except (RedisError, OSError) as error:
        raise CliError(
            f"{shown_url(settings.redis.ledger)} does not answer ({mask_text(str(error))}): "
            "start one with `kilnhand up`, or set KILNHAND_REDIS_URL to a running one"
        ) from error


def _circuits(access: ProviderAccess, states: Iterable[CircuitStatus]) -> list[CircuitStatus]:
    """The provider's own circuit first, also if Redis has none yet; then the circuits of its models."""
    found = [state for state in states if state.provider == access.provider]
    return found if found and found[0].model is None else [CircuitStatus(access.provider, None), *found]


def _as_json(access: ProviderAccess, states: Iterable[CircuitStatus]) -> dict[str, Any]:
    own, *models = [asdict(state) for state in _circuits(access, states)]
    shared = {"provider", "model", "in_flight"}
    of_models = [{"model": one["model"]} | {name: one[name] for name in one if name not in shared} for one in models]
    del own["model"]
    return {"enabled": access.what_to_set is None, "what_to_set": access.what_to_set, **own, "models": of_models}


def _show(accesses: list[ProviderAccess], states: tuple[CircuitStatus, ...], policy: Policy) -> None:
    rows = (tuple(_cells(access, state, policy)) for access in accesses for state in _circuits(access, states))
    out = terminal.out()
    print_table(out, COLUMNS, rows)
    for access in accesses:
        if access.what_to_set:
            out.print(Text(f"{access.provider}: {access.what_to_set}", style="yellow"), soft_wrap=True)


def _cells(access: ProviderAccess, state: CircuitStatus, policy: Policy) -> Iterable[Text | str]:
    """The cells of one row, for a provider or for one of its models."""
    own = state.model is None
    limit = policy.concurrency.get(state.provider)
    yield Text(state.provider, style="bold") if own else Text(f"  {state.model}", style="cyan")
    yield ("yes" if access.what_to_set is None else Text("no", style="yellow")) if own else ""
    circuit = state.stand.replace("_", " ") + (f" ({state.cause})" if state.cause else "")
    yield Text(circuit, style=COLOURS[state.stand])
    yield clock(state.open_until)
    yield f"{state.failures} of {state.answers}" if state.answers else "–"
    yield (f"{state.in_flight} of {limit}" if limit else str(state.in_flight)) if own else ""
    yield clock(state.paused_until)


def clock(at: float | None) -> str:
    """A time of Redis's clock as hours, minutes and seconds, UTC."""
    return "–" if at is None else datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")
