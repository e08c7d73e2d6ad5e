"""The checks of `kilnhand doctor`: each looks at one thing and says what to do. `doctor` runs and shows them."""

import asyncio
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import NoPermissionError, RedisError

from config.keys.anthropic import anthropic_disabled_why
from config.keys.fal import HOW_TO_SET, KEY_SHAPE, fal_disabled_why, find_fal_key
from config.keys.google import MissingAccess, find_gemini, find_vertex
from config.keys.ini import KeyFileError
from config.logging import mask_text
from config.settings import (
    AnthropicSettings,
    FalSettings,
    GatewaySettings,
    GoogleSettings,
    RedisSettings,
    Settings,
    StoreSettings,
)
from worker.cli.screen.shown_url import shown_url
from worker.errors import KilnhandError
from worker.files.store import folder_of, open_store
from worker.net.public import is_public_host
from worker.net.redis_server import open_probe, unusable_why

Verdict = Literal["ok", "note", "off", "broken"]
TIMEOUT_S = 3.0
MAX_DEAD_COUNT = 100
NEEDS_ACTION = {"locked", "forbidden"}  # causes that do not end without a person
REPAIR = "repair the key or the account; a worker that starts with another key tries it at once"


@dataclass(frozen=True)
class Check:
    """One thing, its state, and advice when it has a problem. Only `broken` stops jobs."""

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""


def check_redis(settings: RedisSettings) -> Iterator[Check]:
    """Each Redis in use, and what it is used for."""
    roles: dict[str, list[str]] = {}
    for role, url in (("broker", settings.broker), ("results", settings.results), ("ledger", settings.ledger)):
        roles.setdefault(url, []).append(role)
    for url, uses in roles.items():
        yield from _redis(f"redis ({', '.join(uses)})", url)


def _redis(name: str, url: str) -> Iterator[Check]:
    try:
        with open_probe(url) as client:
            why, info = unusable_why(client), _info(client)
    except (RedisError, OSError) as error:
        advice = "start one with `kilnhand up`, or set KILNHAND_REDIS_URL to a running one"
        text = mask_text(str(error).partition(" : <")[0])  # without redis-py's long list of Sentinels
        yield Check(name, "broken", f"{shown_url(url)} does not answer: {text}", advice)
        return
    if why:
        yield Check(name, "broken", f"{shown_url(url)} {why}")
        return
    version = info.get("valkey_version") or info.get("redis_version") or "unknown"
    yield Check(name, "ok", f"{shown_url(url)} answers, version {version}")
    if not info:
        yield Check(name, "note", "this user may not call INFO, so eviction and persistence cannot be checked")
        return
    if (policy := info.get("maxmemory_policy", "noeviction")) != "noeviction":
        advice = "set `maxmemory-policy noeviction`: when its memory is full, this Redis drops queued jobs and rows"
        yield Check(name, "note", f"evicts keys ({policy})", advice)
    if not info.get("aof_enabled"):
        yield Check(name, "note", "has no append-only file", "set `appendonly yes`, or jobs are lost when it restarts")


def _info(client: Redis) -> dict[str, Any]:
    """What the server says of itself; nothing if this user may not ask."""
    try:
        return dict(client.info())
    except NoPermissionError:
        return {}


def check_dead(settings: RedisSettings) -> Iterator[Check]:
    """How many failed jobs are on the list. They are only a note, because they do not stop other jobs."""
    from worker.ledger.redis import open_redis_ledger

    async def count_dead() -> int:
        ledger = open_redis_ledger(settings.ledger, settings.own_keys)
        try:
            return len(await ledger.dead(MAX_DEAD_COUNT))
        finally:
            await ledger.aclose()

    if count := asyncio.run(count_dead()):
        detail = f"{count}{' or more' if count == MAX_DEAD_COUNT else ''} failed job{'s' if count > 1 else ''}"
        yield Check("dead", "note", detail, "`kilnhand dead list` shows them; replay or drop each one")


def check_health(settings: Settings) -> Iterator[Check]:
    """Providers and models that get no jobs now. Most recover without help; a cause in `NEEDS_ACTION` does not."""
    from worker.cli.commands.providers import clock, read_circuits

    affected = [state for state in read_circuits(settings) if state.stand != "closed" or state.paused_until]
    for state in affected:
        name = f"{state.provider}: {state.model}" if state.model else state.provider
        condition = f"circuit {state.stand.replace('_', ' ')} ({state.cause})" if state.cause else "paused"
        until = state.open_until or state.paused_until
        detail = f"{name}: {condition}" + (f" until {clock(until)}" if until else ", one probe at a time")
        advice = REPAIR if state.cause in NEEDS_ACTION else ""
        yield Check("health", "note", detail, advice or "`kilnhand providers` shows more")
    if not affected:
        yield Check("health", "ok", "no provider's circuit is open")


def check_secret(settings: GatewaySettings) -> Check:
    """Whether file URLs can be signed."""
    if settings.secret is None:
        advice = "`kilnhand up` creates one; otherwise set the same 16 or more characters for worker and gateway"
        return Check("secret", "broken", "KILNHAND_SECRET is not set: file URLs cannot be signed", advice)
    return Check("secret", "ok", "KILNHAND_SECRET is set (***)")


def check_store(store: StoreSettings, gateway: GatewaySettings) -> Check:
    """Whether a file can be written to the store and deleted again."""
    folder = folder_of(store)
    if folder is not None and not folder.exists():
        return _missing_folder(folder)
    signable = gateway.model_copy(update={"secret": gateway.secret or SecretStr("*" * 16)})
    try:
        asyncio.run(_put_and_delete(store, signable))
    except (KilnhandError, OSError) as error:
        message = error.message if isinstance(error, KilnhandError) else str(error)
        return Check("store", "broken", message, "set KILNHAND_STORE_URL to a place that this user can write to")
    return Check("store", "ok", f"{shown_url(store.store_url)} can be written")


async def _put_and_delete(store: StoreSettings, gateway: GatewaySettings) -> None:
    opened = open_store(store, gateway)
    await opened.put("doctor/probe.txt", io.BytesIO(b"written by kilnhand doctor"), "text/plain")
    await opened.delete("doctor/probe.txt")


def _missing_folder(folder: Path) -> Check:
    parent = next(place for place in folder.parents if place.exists())
    if os.access(parent, os.W_OK):
        return Check("store", "ok", f"{folder.as_uri()} will be created by the first worker")
    advice = "set KILNHAND_STORE_URL to a folder that this user can write to"
    return Check("store", "broken", f"{folder} does not exist, and {parent} cannot be written", advice)


def check_gateway(settings: GatewaySettings, fal: FalSettings) -> Check:
    """Whether the gateway answers at its public URL, and whether fal.ai can reach that URL."""
    url, public_url = f"{settings.public_url}/healthz", shown_url(settings.public_url)
    host = urlsplit(settings.public_url).hostname or ""
    if not is_public_host(host) and fal.fal_base_url is None and fal_disabled_why(fal) is None:
        advice = "set KILNHAND_PUBLIC_URL to an address that fal can reach, so that its webhooks arrive"
        return Check("gateway", "note", f"{public_url} is not a public address", advice)
    if url_answers(url):
        return Check("gateway", "ok", f"{public_url} answers")
    advice = "start it with `kilnhand gateway`, or set KILNHAND_PUBLIC_URL to its real address"
    return Check("gateway", "note", f"{public_url}/healthz does not answer: result URLs cannot be fetched", advice)


def check_fal(settings: FalSettings) -> Check:
    """Which fal.ai is used, and with which key."""
    twin_url = settings.fal_base_url
    try:
        key = find_fal_key()
    except KeyFileError as error:
        return Check("fal", "broken", str(error), "mend or remove the file, or set FAL_KEY")
    if twin_url and not url_answers(twin_url):
        advice = "start the twin with `kilnhand twin`, or unset KILNHAND_FAL_BASE_URL"
        return Check("fal", "broken", f"{shown_url(twin_url)} (KILNHAND_FAL_BASE_URL) does not answer", advice)
    if twin_url:
        return Check("fal", "ok", f"simulated by {shown_url(twin_url)} (KILNHAND_FAL_BASE_URL); no money is spent")
    if key is None:
        return Check("fal", "off", "disabled: its jobs fail at once", HOW_TO_SET)
    if not key.has_secret:
        return Check("fal", "note", f"fal.ai, but the key from {key.source} (***) has no colon", KEY_SHAPE)
    return Check("fal", "ok", f"fal.ai, key from {key.source} (***)")


def check_google(settings: GoogleSettings) -> Iterator[Check]:
    """Vertex AI and the Gemini API, as configured in this environment."""
    for name, found in (("vertex", find_vertex(settings)), ("gemini", find_gemini(settings))):
        if isinstance(found, MissingAccess):
            yield Check(name, "off", "disabled here: its jobs use another provider, or fail", found.how_to_set)
        elif settings.google_base_url:
            yield _simulated(name, settings.google_base_url, "KILNHAND_GOOGLE_BASE_URL")
        else:
            yield Check(name, "ok", f"enabled, by {found.source} (***)")


def check_anthropic(settings: AnthropicSettings) -> Check:
    """Anthropic, as configured in this environment."""
    if settings.anthropic_base_url:
        return _simulated("anthropic", settings.anthropic_base_url, "KILNHAND_ANTHROPIC_BASE_URL")
    if how_to_set := anthropic_disabled_why(settings):
        return Check("anthropic", "off", "disabled here: its jobs use another provider, or fail", how_to_set)
    return Check("anthropic", "ok", "enabled, by ANTHROPIC_API_KEY (***)")


def _simulated(name: str, url: str, variable: str) -> Check:
    if url_answers(url):
        return Check(name, "ok", f"simulated by {shown_url(url)} ({variable}); no money is spent")
    advice = f"start the twin with `kilnhand twin`, or unset {variable}"
    return Check(name, "note", f"{shown_url(url)} ({variable}) does not answer", advice)


def check_workers() -> Iterator[Check]:
    """Which workers answer, and whether each queue has a worker."""
    from worker.app import app

    queues = {queue.name for queue in app.conf.task_queues}
    try:
        replies = app.control.inspect(timeout=1).active_queues() or {}
    except Exception as error:  # noqa: BLE001  # kombu raises the errors of its transport
        yield Check("workers", "broken", f"do not answer: {mask_text(str(error))}", "see the check of redis (broker)")
        return
    if not replies:
        yield Check(
            "workers", "broken", "none answers", "start one with `kilnhand worker`, or everything with `kilnhand up`"
        )
    for name, consumed in sorted(replies.items()):
        yield Check("worker", "ok", f"{name} takes from {', '.join(sorted(queue['name'] for queue in consumed))}")
    if replies and (left := queues - {queue["name"] for consumed in replies.values() for queue in consumed}):
        names = ",".join(sorted(left))
        yield Check("workers", "note", f"no worker takes from {names}", f"start one more: `kilnhand worker -Q {names}`")


def url_answers(url: str) -> bool:
    """Whether a GET of this address returns a status below 500."""
    try:
        return httpx.get(url, timeout=TIMEOUT_S, trust_env=False, follow_redirects=True).status_code < 500
    except httpx.HTTPError:
        return False
