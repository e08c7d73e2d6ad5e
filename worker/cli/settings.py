"""The settings as the command line reads them. Each wrong variable gets a line of its own, without its value."""

import os
from collections.abc import Collection, Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

from config.proxies import settle_proxies
from config.settings import GROUPS, Settings
from worker.cli.errors import CliError

PREFIX = "KILNHAND_"
ADVICE_WITHOUT_KEY = "in the folder of a running `kilnhand up` its secret is used; `kilnhand doctor` shows what is set"


def read_settings() -> Settings:
    """All settings. Raises a `CliError` that names each variable with a wrong value."""
    if problems := [line for group in GROUPS for line in _problems(group)]:
        raise CliError("\n".join(["these settings cannot be used (environment or .env):", *problems]), status=2)
    settings = Settings()
    settle_proxies(settings.network.trust_proxies)
    return settings


def source_of(field: str, from_stack: Collection[str]) -> str:
    """Where the value of a setting comes from. `from_stack`: the variables that the running stack has provided."""
    name = f"{PREFIX}{field}".upper()
    if name in from_stack:
        return "kilnhand up, which runs in this folder"
    return "environment" if os.environ.get(name) else ".env"


def _problems(group: type[BaseSettings]) -> Iterator[str]:
    try:
        group()
    except ValidationError as error:
        for item in error.errors(include_url=False, include_input=False):
            yield f"  {PREFIX}{'.'.join(map(str, item['loc'])).upper()}: {_message(item)}"
    except SettingsError as error:
        yield f"  {error}"


def _message(item: Any) -> str:
    """Pydantic's message, without its prefix."""
    message = str(item["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
