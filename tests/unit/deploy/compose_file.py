"""docker-compose.yml as Compose reads it: variables replaced by its rules, YAML parsed."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
NEEDED = {
    "KILNHAND_SECRET": "a9f3c07be2d4518x",
    "FLOWER_BASIC_AUTH": "minder:hunter2",
    "KILNHAND_WORKER_PASSWORD": "hunterworker",
    "KILNHAND_GATEWAY_PASSWORD": "huntergateway",
    "KILNHAND_FLOWER_PASSWORD": "hunterflower",
}

_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^${}]*))?\}")  # without another one inside it


class Refused(Exception):
    """Compose does not start: a variable is missing."""


def read(env: Mapping[str, str] = NEEDED) -> dict[str, Any]:
    """The file with the variables of `env`; raises `Refused` where `${NAME:?message}` is not set."""

    def value(found: re.Match[str]) -> str:
        name, rule, text = found.groups()
        if not env.get(name) and rule == "?":
            raise Refused(f"{name}: {text}")
        return env.get(name) or text or ""

    # Comments may hold anything; Compose replaces in values alone.
    lines = (line if line.lstrip().startswith("#") else _replaced(line, value) for line in TEXT.splitlines())
    parsed: dict[str, Any] = yaml.safe_load("\n".join(lines))
    return parsed


def _replaced(line: str, value: Callable[[re.Match[str]], str]) -> str:
    """The line with all variables replaced, the innermost first."""
    while _VARIABLE.search(line):
        line = _VARIABLE.sub(value, line)
    return line.replace("$$", "$")


def environment(service: Mapping[str, Any]) -> dict[str, str | None]:
    """A service's variables."""
    return dict(service.get("environment", {}))
