"""Cleans the values of settings as people have them: blanks and line ends around them, a URL's scheme in capitals."""

import os
import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from pydantic import SecretStr

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def cleaned(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values by name, texts and secrets stripped. One that has nothing but blanks is left out."""
    pairs = ((name, value, _cleaned(value)) for name, value in given.items())
    return {name: after for name, before, after in pairs if _text(after) != "" or _text(before) == ""}


def clean_variables(prefixes: tuple[str, ...], environ: MutableMapping[str, str] = os.environ) -> None:
    """Strip the variables with these prefixes, which a library reads by itself: the keys of a bucket, for example."""
    for name in [name for name in environ if name.startswith(prefixes)]:
        environ[name] = environ[name].strip()


def _cleaned(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return SecretStr(value.get_secret_value().strip())
    if not isinstance(value, str):
        return value
    text = value.strip()
    return text if (scheme := _SCHEME.match(text)) is None else scheme[0].lower() + text[scheme.end() :]


def _text(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
