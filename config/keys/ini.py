"""Reads `fal-config.ini`. A file that cannot be read is an error that shows none of its lines: one may be the key."""

import configparser
from pathlib import Path


class KeyFileError(ValueError):
    """The file cannot be read. The message says what its form is."""


def read_ini(path: Path) -> configparser.ConfigParser:
    """The file's sections; none if there is no file. A byte order mark is skipped. Raises `KeyFileError`."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8-sig")
    except (configparser.Error, UnicodeDecodeError) as error:
        text = f"{path.name} cannot be read ({type(error).__name__}); its form is: [fal], then api_key = <id>:<secret>"
        raise KeyFileError(text) from None
    return parser
