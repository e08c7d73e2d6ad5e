"""`kilnhand providers`: how well each provider is, as all workers know it, in a table or as JSON."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import RedisError
from rich.table import Table
from rich.text import Text

from config.logging import mask_text
from config.settings import Settings
from worker.cli.commands.settings import read_settings
from worker.cli.screen import terminal
from worker.cli.screen.complaint import Complaint
from worker.health.base import CircuitStatus, Policy
from worker.health.policy import policy_of
from worker.health.redis import open_redis_health
from worker.providers.table import what_to_set

COLOURS = {"closed": "green", "half_open": "yellow", "open": "red"}


@dataclass(frozen=True)
class Access:
    """A provider, and what keeps it from being used; None for nothing."""

    provider: str
    what_to_set: str | None


def providers(as_json: bool) -> int:
    """Show every provider that is wired, with the circuits that are remembered of it."""
    settings = read_settings()
    states = read_states(settings)
    accesses = [Access(name, lacks) for name, lacks in what_to_set(settings).items()]
    if as_json:
        print(json.dumps({"providers": [_plain(access, states) for access in accesses]}, ensure_ascii=False, indent=2))
    else:
        _show(accesses, states, policy_of(settings.health))
    return 0


def read_states(settings: Settings) -> tuple[CircuitStatus, ...]:
    """Every circuit that is remembered. Raises a `Complaint` when Redis cannot be asked."""

    async def states() -> tuple[CircuitStatus, ...]:
        health = open_redis_health(settings.redis.ledger, policy_of(settings.health))
        try:
            return await health.states()
        finally:
            await health.aclose()

    try:
        return asyncio.run(states())
    except (RedisError, OSError) as error:
        raise Complaint(
            f"{mask_text(settings.redis.ledger)} does not answer ({mask_text(str(error))}): "
            "start one with `kilnhand up`, or set KILNHAND_REDIS_URL to one that runs"
        ) from error


def _of(access: Access, states: Iterable[CircuitStatus]) -> list[CircuitStatus]:
    """The provider's own circuit first, even when nothing was told of it yet; then its models."""
    found = [state for state in states if state.provider == access.provider]
    return found if found and found[0].model is None else [CircuitStatus(access.provider, None), *found]


def _plain(access: Access, states: Iterable[CircuitStatus]) -> dict[str, Any]:
    own, *models = [asdict(state) for state in _of(access, states)]
    shared = {"provider", "model", "in_flight"}
    told = [{"model": one["model"]} | {name: one[name] for name in one if name not in shared} for one in models]
    del own["model"]
    return {"enabled": access.what_to_set is None, "what_to_set": access.what_to_set, **own, "models": told}


def _show(accesses: list[Access], states: tuple[CircuitStatus, ...], policy: Policy) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("provider", "enabled here", "circuit", "open until", "failures", "in flight", "paused until"):
        table.add_column(column, header_style="dim", no_wrap=True)
    for access in accesses:
        for state in _of(access, states):
            table.add_row(*_cells(access, state, policy))
    out = terminal.out()
    out.print(table)
    for access in accesses:
        if access.what_to_set:
            out.print(Text(f"{access.provider}: {access.what_to_set}", style="yellow"), soft_wrap=True)


def _cells(access: Access, state: CircuitStatus, policy: Policy) -> Iterable[Text | str]:
    """One row: the provider's own, or below it a model's."""
    own = state.model is None
    most = policy.concurrency.get(state.provider)
    yield Text(state.provider, style="bold") if own else Text(f"  {state.model}", style="cyan")
    yield ("yes" if access.what_to_set is None else Text("no", style="yellow")) if own else ""
    stand = state.stand.replace("_", " ") + (f" ({state.cause})" if state.cause else "")
    yield Text(stand, style=COLOURS[state.stand])
    yield clock(state.open_until)
    yield f"{state.failures} of {state.answers}" if state.answers else "–"
    yield (f"{state.in_flight} of {most}" if most else str(state.in_flight)) if own else ""
    yield clock(state.paused_until)


def clock(at: float | None) -> str:
    """A time of Redis's clock, for a person: hours, minutes and seconds, UTC."""
    return "–" if at is None else datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")
