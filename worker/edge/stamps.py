"""Celery's stamps: names and values that a producer puts on messages, so that many are revoked at once."""

from collections.abc import Mapping
from typing import Any

from celery.utils.functional import maybe_list


def read_stamps(headers: Any) -> dict[str, list[Any]]:
    """The stamps of `revoke_by_stamped_headers`: a mapping, or `name=value` strings as the command line sends them."""
    pairs = headers.items() if isinstance(headers, Mapping) else (each.split("=")[:2] for each in headers)
    return {name: list(maybe_list(values) or ()) for name, values in pairs}


def has_stamp(message: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a message, or the message of a row, has one of these stamps."""
    stamps = message.get("stamps") or {}
    return any(
        value in (maybe_list(wanted[name]) or ())
        for name in message.get("stamped_headers") or ()
        if name in wanted
        for value in maybe_list(stamps.get(name)) or ()
    )
