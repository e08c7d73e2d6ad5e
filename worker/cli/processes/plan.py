"""What `kilnhand up` starts and what it leaves to others, from the settings; the demo is sealed off from both."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from config.keys.anthropic import anthropic_disabled_why
from config.keys.fal import find_fal_key
from config.keys.google import NoAccess, find_gemini, find_vertex
from config.settings import Settings
from worker.cli.processes.house import sealed
from worker.cli.processes.parts import Addresses
from worker.cli.processes.ports import free_port
from worker.cli.processes.running import kept

GATEWAY_PORT = 8080
OVERRIDES = ("broker_url", "result_backend", "ledger_url", "store_url", "public_url")


@dataclass(frozen=True)
class Ports:
    """The ports that are wanted; each is moved to a free one when it is taken."""

    gateway: int | None = None  # KILNHAND_GATEWAY_PORT
    flower: int = 5555
    twin: int = 9100
    redis: int = 6399


@dataclass(frozen=True)
class Plan:
    """Which parts, where, with which environment; and what a person should know about it."""

    parts: tuple[str, ...]
    addresses: Addresses
    environment: Mapping[str, str]
    cwd: Path
    notes: tuple[str, ...]


def plan_demo(folder: Path, ports: Ports) -> Plan:
    """Everything of our own: no key, no foreign Redis and no foreign store is touched, so nothing is spent."""
    auth = os.environ.get("FLOWER_BASIC_AUTH") or _flower_auth(folder)
    addresses = _free(ports, GATEWAY_PORT, kept(folder / "secret", secrets.token_hex(32)), auth)
    note = "fal.ai is played by the twin, on a Redis of its own: the demo needs no key and spends no money"
    parts = ("redis", "twin", "worker", "gateway", "flower")
    played = {**_google_at(addresses), **_anthropic_at(addresses)}
    return Plan(parts, addresses, sealed(folder, addresses, played), folder, (note,))


def plan_up(folder: Path, ports: Ports, settings: Settings) -> Plan:
    """What the settings leave open."""
    secret = settings.gateway.secret.get_secret_value() if settings.gateway.secret else None
    auth = os.environ.get("FLOWER_BASIC_AUTH") or _flower_auth(folder)
    addresses = _free(
        ports, settings.gateway.gateway_port, secret or kept(folder / "secret", secrets.token_hex(32)), auth
    )
    notes: list[str] = []
    if "redis_url" in settings.redis.model_fields_set:
        addresses = replace(addresses, redis_port=None)
        notes.append("Redis is the one of KILNHAND_REDIS_URL")
    if settings.fal.fal_base_url:
        addresses = replace(addresses, twin_port=None)
        notes.append(f"fal.ai is {settings.fal.fal_base_url} (KILNHAND_FAL_BASE_URL)")
    elif key := find_fal_key():
        addresses = replace(addresses, twin_port=None)
        notes.append(f"fal.ai is the real one, with the key of {key.source}: jobs cost money")
    else:
        notes.append("fal.ai is played by the twin, because no fal key was found; set FAL_KEY for the real one")
    others = {} if addresses.twin_port is None else _others(addresses, settings)
    if others:
        notes.append(f"played by the twin, too: {', '.join(sorted(others))}")
    missing = {"redis": addresses.redis_port is None, "twin": addresses.twin_port is None}
    parts = tuple(name for name in ("redis", "twin", "worker", "gateway", "flower") if not missing.get(name))
    environment = _environment(folder, addresses, settings)
    for variables in others.values():
        environment |= variables
    return Plan(parts, addresses, environment, Path.cwd(), tuple(notes))


def _others(addresses: Addresses, settings: Settings) -> dict[str, dict[str, str]]:
    """The vendors of whom nobody has set a key or a place, and the variables by which our twin plays them."""
    found = {}
    google = settings.google
    if all(isinstance(access, NoAccess) for access in (find_vertex(google), find_gemini(google))):
        found["Google"] = _google_at(addresses)
    if anthropic_disabled_why(settings.anthropic):
        found["Anthropic"] = _anthropic_at(addresses)
    return found


def _google_at(addresses: Addresses) -> dict[str, str]:
    return {"KILNHAND_GOOGLE_BASE_URL": f"{addresses.twin_url}/google"}


def _anthropic_at(addresses: Addresses) -> dict[str, str]:
    return {"KILNHAND_ANTHROPIC_BASE_URL": f"{addresses.twin_url}/anthropic"}


def _environment(folder: Path, addresses: Addresses, settings: Settings) -> dict[str, str]:
    """This process's, with our addresses; what the caller has set about other places stays."""
    groups = (settings.redis, settings.store, settings.gateway)
    chosen = {name for group in groups for name in group.model_fields_set if name in OVERRIDES}
    variables = {
        name: value
        for name, value in addresses.variables(folder).items()
        if name.removeprefix("KILNHAND_").lower() not in chosen
    }
    if "log_format" not in settings.worker.model_fields_set:
        variables["KILNHAND_LOG_FORMAT"] = "console"
    return {**os.environ, **variables}


def _free(ports: Ports, gateway: int, secret: str, flower_auth: str) -> Addresses:
    return Addresses(
        redis_port=free_port(ports.redis),
        twin_port=free_port(ports.twin),
        gateway_port=free_port(gateway if ports.gateway is None else ports.gateway),
        flower_port=free_port(ports.flower),
        secret=secret,
        flower_auth=flower_auth,
    )


def _flower_auth(folder: Path) -> str:
    """A password of its own: Flower is never open."""
    return kept(folder / "flower", f"kilnhand:{secrets.token_urlsafe(9)}")
