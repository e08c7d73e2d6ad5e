"""All names in stored rows and messages: fields of dataclasses, allowed values, signals, keys, fields of hashes, headers.

`record` runs this file in a copy of an older version, so it imports from the package only what that version has, too.
"""

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

HASH_CALL = re.compile(r"redis\.call\('(?:HSET|HSETNX|HMGET|HGET|HINCRBY|HDEL|HEXISTS)', ([^,()]+|[^()]*\)),([^()]*)")
QUOTED = re.compile(r"'([a-z_:]+)'")
VALUES = {"sent", "closing", "completed", "failed", "cancelled"}  # stages that a script writes into a field


def all_names() -> set[str]:
    """Return the names of the version that is imported."""
    import worker
    from worker.edge import message
    from worker.jobs import job, signals

    root = Path(worker.__file__).parent
    scripts = "".join(path.read_text() for path in sorted((root / "ledger").glob("*.lua")))
    edge = "".join(path.read_text() for path in sorted((root / "edge").glob("*.py")))
    keys = {match.rstrip(":") for match in re.findall(r"prefix\}([a-z]+:?)", (root / "ledger/hash.py").read_text())}
    sent = message.message_to_send("t", "q", (), {}, dict.fromkeys(message._OPTIONS, "x") | {"expires": 1}, 0.0)
    return {
        *fields_of(job.Job),
        *fields_of(signals.WebhookReport),
        *(f"signal {name}" for name in signals_of(signals)),
        *(f"field {name} of a hash" for name in hash_fields_of(scripts)),
        *(f"key {name}" for name in {*keys, *re.findall(r"\.\. '([a-z]+):'", scripts)}),
        *(f"field {name} of a message" for name in {*sent, *message._STORED_FIELDS}),
        *(f"header {name}" for name in re.findall(r'"(kilnhand_[a-z_]+)"', edge)),
    }


def fields_of(kind: type) -> set[str]:
    """Return `Class.field` for each field of a dataclass and of all dataclasses in it, and `Class.field=value`."""
    return set(_fields_of(kind, set()))


def _fields_of(kind: type, seen: set[type]) -> Iterator[str]:
    seen.add(kind)
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        name = f"{kind.__name__}.{_stored_name(hints[field.name], field.name)}"
        yield name
        for part in _parts(hints[field.name]):
            if dataclasses.is_dataclass(part) and isinstance(part, type) and part not in seen:
                yield from _fields_of(part, seen)
            elif isinstance(part, type) and issubclass(part, Enum):
                yield from (f"{name}={each.value}" for each in part)
            elif isinstance(part, str):
                yield f"{name}={part}"


def _stored_name(hint: Any, name: str) -> str:
    aliases = [each.alias for each in getattr(hint, "__metadata__", ()) if isinstance(each, FieldInfo) and each.alias]
    return aliases[0] if aliases else name


def _parts(hint: Any) -> Iterator[Any]:
    """Return all types and literal values in a type hint."""
    inner = typing.get_args(hint)
    if not inner:
        yield hint
    for part in inner:
        yield from (part,) if isinstance(part, str) else _parts(part)


def signals_of(module: Any) -> set[str]:
    """Return the names of the signals of `worker.jobs.signals`, with N for an attempt's number."""
    constants = {value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}
    functions = [made for name, made in inspect.getmembers(module, inspect.isfunction) if name.endswith("_signal")]
    return constants | {made(7).replace("7", "N") for made in functions}


def hash_fields_of(scripts: str) -> set[str]:
    """Return the hash fields that Lua scripts read or write."""
    calls = HASH_CALL.findall(re.sub(r"--.*", "", scripts))
    found = {name for _, words in calls for name in QUOTED.findall(words)} - VALUES
    return {"signal:" if name.startswith("signal:") else name for name in found}
