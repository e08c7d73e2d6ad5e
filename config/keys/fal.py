"""Finds fal's key and wraps it in a secret type.

The order of the sources (from the brief, section 5, and fal-client): `FAL_KEY`; `FAL_KEY_ID` with `FAL_KEY_SECRET`;
`FAL_API_KEY`; `fal-config.ini` in the working directory (`[fal] api_key`); `~/.fal/credentials`; the fal CLI's login.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values
from pydantic import SecretStr

from config.keys.ini import KeyFileError, read_ini
from config.settings import FalSettings

HOW_TO_SET = (
    "no fal key: set FAL_KEY=<id>:<secret> (or FAL_KEY_ID and FAL_KEY_SECRET, or FAL_API_KEY), "
    "or put api_key under [fal] in fal-config.ini, or log in with `fal auth login`; "
    "without an account, KILNHAND_FAL_BASE_URL points at the twin"
)
KEY_SHAPE = "fal's keys are <id>:<secret>: copy the whole key"


@dataclass(frozen=True)
class FalKey:
    """A key and its source. Without a value it is the fal CLI's login, for which fal-client gets tokens by itself."""

    source: str
    value: SecretStr | None = None

    @property
    def is_sendable(self) -> bool:
        """Whether it can be a header: one word of ASCII. The login of the fal CLI always can."""
        return self.value is None or all("!" <= sign <= "~" for sign in self.value.get_secret_value())

    @property
    def has_secret(self) -> bool:
        """Whether it has both parts of a key. The login of the fal CLI has none."""
        return self.value is None or ":" in self.value.get_secret_value()

    @property
    def login(self) -> bool:
        """Whether fal-client uses the login of the fal CLI."""
        return self.value is None


def fal_disabled_why(settings: FalSettings) -> str | None:
    """What to set to enable fal; None if there is a key, or the twin, which accepts any key."""
    try:
        key = find_fal_key()
    except KeyFileError as error:
        return str(error)
    if key and not key.is_sendable:
        return f"{key.source} is not a valid key: it must be one word of ASCII"
    return None if settings.fal_base_url or key else HOW_TO_SET


def find_fal_key(folder: Path | None = None, env: Mapping[str, str] | None = None) -> FalKey | None:
    """The first key found, or None. `folder` has `.env` and `fal-config.ini`; `env` replaces the environment.

    Raises `KeyFileError`, if no variable has a key.
    """
    folder = folder or Path.cwd()
    env = os.environ if env is None else env
    found = (*dotenv_values(folder / ".env").items(), *env.items())
    known = {name: value.strip() for name, value in found if value and value.strip()}  # a file's key has a line end
    home = Path(known.get("FAL_HOME_DIR") or Path(known.get("HOME", "~")).expanduser() / ".fal")
    return _from_variables(known) or _from_ini(folder / "fal-config.ini") or _from_home(home)


def _from_variables(known: Mapping[str, str]) -> FalKey | None:
    if key := known.get("FAL_KEY"):
        return FalKey("FAL_KEY", SecretStr(key))
    if (name := known.get("FAL_KEY_ID")) and (secret := known.get("FAL_KEY_SECRET")):
        return FalKey("FAL_KEY_ID and FAL_KEY_SECRET", SecretStr(f"{name}:{secret}"))
    if key := known.get("FAL_API_KEY"):
        return FalKey("FAL_API_KEY", SecretStr(key))
    return None


def _from_ini(path: Path) -> FalKey | None:
    key = read_ini(path).get("fal", "api_key", fallback="").strip()
    return FalKey(path.name, SecretStr(key)) if key else None


def _from_home(home: Path) -> FalKey | None:
    """`credentials` has a line with only the key, or `FAL_KEY=…`, or `key = …`. `auth0_token` is the CLI's login."""
    credentials = home / "credentials"
    if credentials.is_file():
        lines = credentials.read_text(encoding="utf-8").splitlines()
        keys = [
            line.rpartition("=")[2].strip().strip("\"'") for line in lines if ":" in line and not line.startswith("[")
        ]
        if keys:
            return FalKey("~/.fal/credentials", SecretStr(keys[0]))
    return FalKey("the fal CLI's login") if (home / "auth0_token").is_file() else None
