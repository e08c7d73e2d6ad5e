"""What the ComfyUI connector reads beside fal's key: the endpoint of the Comfy server, and a token for Hugging Face.

Sources, as in the connector (`config.py` of ComfyUI-fal-Connector): `FAL_COMFY_ENDPOINT`, then `application_name` under
`[fal]` in `fal-config.ini`; `HF_TOKEN`, then `token` under `[huggingface]`. `.env` counts as the environment.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values
from pydantic import SecretStr

from config.keys.fal import fal_disabled_why
from config.keys.ini import read_ini
from config.settings import FalSettings

COMFY_ENDPOINT = "fal-ai/comfy-server/stream"
_ENDPOINT = re.compile(r"(?:(?!\.+(?:/|$))[A-Za-z0-9._-]+/){1,5}(?!\.+$)[A-Za-z0-9._-]+")


@dataclass(frozen=True)
class ComfyAccess:
    """The endpoint without a host, and the token for gated and private files of Hugging Face."""

    endpoint: str = COMFY_ENDPOINT
    hugging_face: SecretStr | None = None


def find_comfy_access(folder: Path | None = None, env: Mapping[str, str] | None = None) -> ComfyAccess:
    """The access by the environment, then by the file. Raises `ValueError` for what cannot be read or used."""
    folder = folder or Path.cwd()
    found = (*dotenv_values(folder / ".env").items(), *(os.environ if env is None else env).items())
    known = {name: value.strip() for name, value in found if value and value.strip()}
    file = read_ini(folder / "fal-config.ini")
    endpoint = known.get("FAL_COMFY_ENDPOINT") or file.get("fal", "application_name", fallback="").strip()
    endpoint = (endpoint or COMFY_ENDPOINT).strip("/")
    if not _ENDPOINT.fullmatch(endpoint):
        where = "FAL_COMFY_ENDPOINT" if known.get("FAL_COMFY_ENDPOINT") else "fal-config.ini, application_name"
        raise ValueError(f"{where}: {endpoint[:100]!r} is no endpoint; allowed: owner/name/stream, without a host")
    token = known.get("HF_TOKEN") or file.get("huggingface", "token", fallback="").strip()
    if any(not "!" <= sign <= "~" for sign in token):  # it becomes a header
        raise ValueError("the Hugging Face token is not valid: it must be one word of ASCII")
    return ComfyAccess(endpoint, SecretStr(token) if token else None)


def stream_disabled_why(settings: FalSettings) -> str | None:
    """What to set to enable fal's streams: what enables fal, and an endpoint and a token that can be used."""
    try:
        find_comfy_access()
    except ValueError as error:
        return str(error)
    return fal_disabled_why(settings)
