"""Finds credentials for Google: an account or an express key for Vertex AI, a key for the Gemini API. Connects nowhere.

The variables are Google's own, from the environment or `.env`. Vertex AI uses the first of:
GOOGLE_APPLICATION_CREDENTIALS (a service account's key file); GOOGLE_CLOUD_PROJECT with the machine's login;
GOOGLE_API_KEY, if GOOGLE_GENAI_USE_ENTERPRISE or GOOGLE_GENAI_USE_VERTEXAI marks it as an express key. The Gemini API
uses GEMINI_API_KEY, or GOOGLE_API_KEY if it is not an express key. With the twin, no real credentials are read, so none
can be sent to it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values
from pydantic import SecretStr

from config.settings import GoogleSettings

GLOBAL = "global"
TWIN_SOURCE = "the twin at KILNHAND_GOOGLE_BASE_URL"
_USE_TWIN = "without an account, KILNHAND_GOOGLE_BASE_URL points at the twin"
VERTEX_HOW_TO_SET = (
    "no access to Vertex AI: set GOOGLE_APPLICATION_CREDENTIALS=<a service account's key file>, "
    "or GOOGLE_CLOUD_PROJECT after `gcloud auth application-default login`, "
    f"or GOOGLE_API_KEY with GOOGLE_GENAI_USE_ENTERPRISE=true; {_USE_TWIN}"
)
GEMINI_HOW_TO_SET = f"no key for the Gemini API: set GEMINI_API_KEY; {_USE_TWIN}"


@dataclass(frozen=True)
class VertexAccess:
    """Credentials for Vertex AI: an express key, or a project with a key file or the machine's login."""

    source: str
    project: str | None = None  # None: the credentials contain it, or an express key needs none
    location: str = GLOBAL
    file: Path | None = None
    key: SecretStr | None = None


@dataclass(frozen=True)
class GeminiAccess:
    """The key of the Gemini API and its source."""

    source: str
    key: SecretStr = field(repr=False)


@dataclass(frozen=True)
class MissingAccess:
    """No credentials were found; `how_to_set` says what to set."""

    how_to_set: str


def find_vertex(
    settings: GoogleSettings, folder: Path | None = None, env: Mapping[str, str] | None = None
) -> VertexAccess | MissingAccess:
    """Credentials for Vertex AI, or what to set. `folder` has `.env`; `env` replaces the environment."""
    if settings.google_base_url:
        return VertexAccess(TWIN_SOURCE, project="local")
    known = _variables(folder, env)
    project, location = known.get("GOOGLE_CLOUD_PROJECT"), known.get("GOOGLE_CLOUD_LOCATION") or GLOBAL
    if name := known.get("GOOGLE_APPLICATION_CREDENTIALS"):
        path = Path(name).expanduser()
        if not path.is_file():
            return MissingAccess(f"GOOGLE_APPLICATION_CREDENTIALS names {name}, which is not a file")
        return VertexAccess("GOOGLE_APPLICATION_CREDENTIALS", project, location, file=path)
    if project:
        return VertexAccess("GOOGLE_CLOUD_PROJECT and the machine's own login", project, location)
    if (key := known.get("GOOGLE_API_KEY")) and _is_express(known):
        return VertexAccess("GOOGLE_API_KEY", key=SecretStr(key)) if _is_one_word(key) else _malformed("GOOGLE_API_KEY")
    return MissingAccess(VERTEX_HOW_TO_SET)


def find_gemini(
    settings: GoogleSettings, folder: Path | None = None, env: Mapping[str, str] | None = None
) -> GeminiAccess | MissingAccess:
    """The key of the Gemini API, or what to set. Same arguments."""
    if settings.google_base_url:
        return GeminiAccess(TWIN_SOURCE, SecretStr("local"))
    known = _variables(folder, env)
    name = "GOOGLE_API_KEY" if "GEMINI_API_KEY" not in known and not _is_express(known) else "GEMINI_API_KEY"
    if key := known.get(name):
        return GeminiAccess(name, SecretStr(key)) if _is_one_word(key) else _malformed(name)
    return MissingAccess(GEMINI_HOW_TO_SET)


def vertex_disabled_why(settings: GoogleSettings) -> str | None:
    """What to set to enable Vertex AI; None if it is enabled."""
    access = find_vertex(settings)
    return access.how_to_set if isinstance(access, MissingAccess) else None


def gemini_disabled_why(settings: GoogleSettings) -> str | None:
    """What to set to enable the Gemini API; None if it is enabled."""
    access = find_gemini(settings)
    return access.how_to_set if isinstance(access, MissingAccess) else None


def _variables(folder: Path | None, env: Mapping[str, str] | None) -> dict[str, str]:
    """The variables that are set and not empty. The environment overrides `.env`."""
    file = dotenv_values((folder or Path.cwd()) / ".env")
    found = (*file.items(), *(os.environ if env is None else env).items())
    return {name: value.strip() for name, value in found if value and value.strip()}


def _is_one_word(key: str) -> bool:
    """Whether a key can be sent as a header."""
    return all("!" <= character <= "~" for character in key)


def _malformed(name: str) -> MissingAccess:
    return MissingAccess(f"{name} is not a valid key: it must be one word of ASCII")


def _is_express(known: Mapping[str, str]) -> bool:
    """Whether GOOGLE_API_KEY is an express key. The newer variable overrides the older one, as in Google's SDK."""
    value = known.get("GOOGLE_GENAI_USE_ENTERPRISE") or known.get("GOOGLE_GENAI_USE_VERTEXAI") or ""
    return value.lower() in {"true", "1"}
