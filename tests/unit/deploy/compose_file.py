"""docker-compose.yml as Compose reads it: variables replaced by its rules, YAML parsed."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
NEEDED = {"KILNHAND_SECRET": "a9f3c07be2d4518x", "FLOWER_BASIC_AUTH": "minder:hunter2"}

_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::([-?])([^}]*))?\})")


class Refused(Exception):
    """Compose does not start: a variable is missing."""


def read(env: Mapping[str, str] = NEEDED) -> dict[str, Any]:
    """The file with the variables of `env`; raises `Refused` where `${NAME:?message}` is not set."""

    def value(found: re.Match[str]) -> str:
        dollar, name, rule, text = found.groups()
        if dollar:
            return "$"
        if not env.get(name) and rule == "?":
            raise Refused(f"{name}: {text}")
        return env.get(name) or text or ""

    # Comments may hold anything; Compose replaces in values alone.
    lines = (line if line.lstrip().startswith("#") else _VARIABLE.sub(value, line) for line in TEXT.splitlines())
    parsed: dict[str, Any] = yaml.safe_load("\n".join(lines))
    return parsed


def environment(service: Mapping[str, Any]) -> dict[str, str | None]:
    """A service's variables."""
    return dict(service.get("environment", {}))
