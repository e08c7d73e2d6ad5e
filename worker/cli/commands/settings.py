"""Settings as the command line reads them: every bad variable in one line of its own, and no value is repeated."""

import os
from collections.abc import Collection, Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

from config.settings import GROUPS, Settings
from worker.cli.screen.complaint import Complaint

PREFIX = "KILNHAND_"


def read_settings() -> Settings:
    """All settings. Raises a `Complaint` that names each variable that cannot be used."""
    if problems := [line for group in GROUPS for line in _problems(group)]:
        raise Complaint("\n".join(["these settings cannot be used (environment or .env):", *problems]), status=2)
    return Settings()


def source_of(field: str, joined: Collection[str]) -> str:
    """Where a value that is set comes from. `joined`: the variables taken from the house in this folder."""
    name = f"{PREFIX}{field}".upper()
    if name in joined:
        return "kilnhand up, which runs in this folder"
    return "environment" if os.environ.get(name) else ".env"


def _problems(group: type[BaseSettings]) -> Iterator[str]:
    try:
        group()
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            yield f"  {PREFIX}{'.'.join(map(str, item['loc'])).upper()}: {_said(item)}"
    except SettingsError as error:
        yield f"  {error}"


def _said(item: Any) -> str:
    """Pydantic's own words; of a secret it says too much."""
    if item["type"] == "too_short":
        return f"is too short: at least {item['ctx']['min_length']} characters"
    message = str(item["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
