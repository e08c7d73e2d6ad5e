"""What `kilnhand up` starts: the settings say which processes run elsewhere. The demo ignores the settings."""

import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from config.keys.anthropic import anthropic_disabled_why
from config.keys.fal import KEY_SHAPE, find_fal_key
from config.keys.google import MissingAccess, find_gemini, find_vertex
from config.settings import Settings
from worker.cli.processes.ports import free_port
from worker.cli.processes.specs import Addresses
from worker.cli.processes.stack import PROCESSES, isolated_environment
from worker.cli.processes.state_folder import read_or_create_secret

GATEWAY_PORT = 8080
OVERRIDES = ("broker_url", "result_backend", "ledger_url", "store_url", "public_url")


@dataclass(frozen=True)
class Ports:
    """The preferred ports. A port that is taken is replaced by a free one."""

    gateway: int | None = None  # None: KILNHAND_GATEWAY_PORT
    flower: int = 5555
    twin: int = 9100
    redis: int = 6399


@dataclass(frozen=True)
class UpPlan:
    """The processes to start, their addresses, environment and working folder; `notes` are shown to the user."""

    processes: tuple[str, ...]
    addresses: Addresses
    environment: Mapping[str, str]
    cwd: Path
    notes: tuple[str, ...]
    wanted: Ports = Ports()


def moved_ports(plan: UpPlan, at: Addresses) -> Iterator[tuple[str, int, int]]:
    """The processes that do not listen on the wanted port: name, wanted port, port of this stack."""
    pairs = {
        "redis": ("Redis", plan.wanted.redis, at.redis_port),
        "twin": ("the twin", plan.wanted.twin, at.twin_port),
        "gateway": ("the gateway", plan.wanted.gateway or GATEWAY_PORT, at.gateway_port),
        "flower": ("Flower", plan.wanted.flower, at.flower_port),
    }
    for process, (name, wanted, port) in pairs.items():
        if process in plan.processes and port is not None and port != wanted:
            yield name, wanted, port


def plan_demo(folder: Path, ports: Ports) -> UpPlan:
    """All processes run here. The demo uses no key, no other Redis and no other store, so it costs nothing."""
    auth = os.environ.get("FLOWER_BASIC_AUTH", "").strip() or _flower_auth(folder)
    addresses = _free_addresses(ports, GATEWAY_PORT, _secret(folder), auth)
    note = "the twin simulates fal.ai, and Redis is our own: the demo needs no key and spends no money"
    twin = {**_google_variables(addresses), **_anthropic_variables(addresses)}
    return UpPlan(PROCESSES, addresses, isolated_environment(folder, addresses, twin), folder, (note,), ports)


def plan_up(folder: Path, ports: Ports, settings: Settings) -> UpPlan:
    """Start what the settings do not place elsewhere: no Redis if a URL is set, no twin if a fal key or URL is set."""
    secret = settings.gateway.secret.get_secret_value() if settings.gateway.secret else None
    auth = os.environ.get("FLOWER_BASIC_AUTH", "").strip() or _flower_auth(folder)
    addresses = _free_addresses(ports, settings.gateway.gateway_port, secret or _secret(folder), auth)
    wanted = replace(ports, gateway=ports.gateway or settings.gateway.gateway_port)
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
        if not key.has_secret:
            notes.append(f"the key of {key.source} has no colon: {KEY_SHAPE}")
    else:
        notes.append("the twin simulates fal.ai, because no fal key was found; set FAL_KEY to use fal.ai")
    others = {} if addresses.twin_port is None else _other_vendors(addresses, settings)
    if others:
        notes.append(f"the twin also simulates {', '.join(sorted(others))}")
    absent = {"redis": addresses.redis_port is None, "twin": addresses.twin_port is None}
    processes = tuple(name for name in PROCESSES if not absent.get(name))
    environment = _environment(folder, addresses, settings)
    for variables in others.values():
        environment |= variables
    return UpPlan(processes, addresses, environment, Path.cwd(), tuple(notes), wanted)


def _other_vendors(addresses: Addresses, settings: Settings) -> dict[str, dict[str, str]]:
    """The vendors without a key or a URL in the settings, and the variables that send their calls to the twin."""
    found = {}
    google = settings.google
    if all(isinstance(access, MissingAccess) for access in (find_vertex(google), find_gemini(google))):
        found["Google"] = _google_variables(addresses)
    if anthropic_disabled_why(settings.anthropic):
        found["Anthropic"] = _anthropic_variables(addresses)
    return found


def _google_variables(addresses: Addresses) -> dict[str, str]:
    return {"KILNHAND_GOOGLE_BASE_URL": f"{addresses.twin_url}/google"}


def _anthropic_variables(addresses: Addresses) -> dict[str, str]:
    return {"KILNHAND_ANTHROPIC_BASE_URL": f"{addresses.twin_url}/anthropic"}


def _environment(folder: Path, addresses: Addresses, settings: Settings) -> dict[str, str]:
    """This process's environment with the stack's addresses. URLs that the user has set stay."""
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


def _free_addresses(ports: Ports, gateway: int, secret: str, flower_auth: str) -> Addresses:
    return Addresses(
        redis_port=free_port(ports.redis),
        twin_port=free_port(ports.twin),
        gateway_port=free_port(gateway if ports.gateway is None else ports.gateway),
        flower_port=free_port(ports.flower),
        secret=secret,
        flower_auth=flower_auth,
    )


def _secret(folder: Path) -> str:
    """The key that signs file URLs, created once."""
    return read_or_create_secret(folder / "secret", secrets.token_hex(32))


def _flower_auth(folder: Path) -> str:
    """Flower's user and password, created once: Flower is never open."""
    return read_or_create_secret(folder / "flower", f"kilnhand:{secrets.token_urlsafe(9)}")
