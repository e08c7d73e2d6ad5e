"""`kilnhand doctor`: what is configured, reachable or disabled, and what to do about it."""

from collections.abc import Collection, Iterator
from dataclasses import asdict
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings
from rich.console import Console
from rich.text import Text

from config.logging import mask_text
from config.settings import Settings, variable
from worker.cli.commands.doctor_checks import (
    Check,
    check_anthropic,
    check_dead,
    check_fal,
    check_gateway,
    check_google,
    check_health,
    check_redis,
    check_secret,
    check_store,
    check_workers,
)
from worker.cli.commands.doctor_fal import check_fal_access
from worker.cli.commands.doctor_queues import check_celery_queue
from worker.cli.screen import terminal
from worker.cli.screen.shown_url import shown_url
from worker.cli.screen.tables import print_table
from worker.cli.settings import read_settings, source_of

MARKS = {"ok": ("✓", "green"), "note": ("!", "yellow"), "off": ("–", "yellow"), "broken": ("✗", "red")}


def doctor(as_json: bool, from_stack: Collection[str]) -> int:
    """Run all checks; 1 if something that jobs need is broken. `from_stack`: the variables of the running stack."""
    settings = read_settings()
    checks = list(_checks(settings))
    configured = list(_configured(settings, from_stack))
    if as_json:
        terminal.print_json({"settings": configured, "checks": [asdict(check) for check in checks]})
    else:
        _show(terminal.out(), configured, checks)
    return 1 if any(check.verdict == "broken" for check in checks) else 0


def _checks(settings: Settings) -> Iterator[Check]:
    redis = list(check_redis(settings.redis))
    yield from redis
    yield check_secret(settings.gateway)
    yield check_store(settings.store, settings.gateway)
    yield check_gateway(settings.gateway, settings.fal)
    fal = check_fal(settings.fal)
    yield fal
    if fal.verdict == "ok":
        yield from check_fal_access(settings.fal)
    yield from check_google(settings.google)
    yield check_anthropic(settings.anthropic)
    if not any(check.verdict == "broken" and "ledger" in check.name for check in redis):
        yield from check_dead(settings.redis)
        yield from check_health(settings)
    if any(check.verdict == "broken" and "broker" in check.name for check in redis):
        yield Check("workers", "broken", "cannot be checked without the broker")
    else:
        yield from check_workers()
        yield from check_celery_queue(settings.redis)


def _configured(settings: Settings, from_stack: Collection[str]) -> Iterator[dict[str, Any]]:
    """Every setting that is set, with its source. Secrets and passwords are masked."""
    for part in Settings.model_fields:
        group: BaseSettings = getattr(settings, part)
        for field in type(group).model_fields:
            value = getattr(group, field)
            if field in group.model_fields_set:
                shown = "***" if isinstance(value, SecretStr) else mask_text(shown_url(str(value)))
                source = source_of(field, from_stack)
                yield {"variable": variable(type(group), field), "value": shown, "source": source}


def _show(out: Console, configured: list[dict[str, Any]], checks: list[Check]) -> None:
    out.print(Text("set (everything else is at its default)" if configured else "nothing is set", style="bold"))
    rows = ((row["variable"], Text(row["value"], style="cyan"), Text(row["source"], style="dim")) for row in configured)
    print_table(out, ("", "", ""), rows)
    out.print()
    for check in checks:
        mark, colour = MARKS[check.verdict]
        out.print(Text(f"{mark} ", style=colour) + Text(f"{check.name}: ", style="bold") + Text(check.detail))
        if check.advice:
            out.print(Text(f"  → {check.advice}", style=colour))
