"""Holds a value against a schema that `caller_schema` has read. Pure.

`format` is told to the model and not checked. The work has a limit: an answer is as large as a model cares to write.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from tasks.language.caller_schema import Schema, is_a, types_of

MAX_CHECKS = 100_000  # comparisons of a value with a subschema
MAX_LINES = 12


class _TooMuchError(Exception):
    """The value needs more checks than are allowed."""


def faults_of(value: Any, schema: Schema) -> tuple[str, ...]:
    """What is wrong with the value, a line each, the first twelve; they quote nothing of it. Empty if it is valid."""
    try:
        return tuple(islice(_Checker().faults(value, schema, ""), MAX_LINES))
    except _TooMuchError:
        return ("it is too large to be checked",)


class _Checker:
    """One walk over a value."""

    def __init__(self) -> None:
        self._left = MAX_CHECKS

    def faults(self, value: Any, schema: Schema, at: str) -> Iterator[str]:
        """The faults of a part of the value, which is at this path."""
        self._spend(1 + len(schema.get("enum", ())))
        where = at or "the whole"
        if (types := types_of(schema)) and not any(is_a(value, kind) for kind in types):
            yield f"{where}: must be {' or '.join(types)}"
            return
        if "enum" in schema and not any(_same(value, each) for each in schema["enum"]):
            yield f"{where}: must be one of {_shown(schema['enum'])}"
        if "const" in schema and not _same(value, schema["const"]):
            yield f"{where}: must be {_shown(schema['const'])}"
        if "anyOf" in schema and all(any(True for _ in self.faults(value, each, at)) for each in schema["anyOf"]):
            yield f"{where}: is none of the alternatives of anyOf"
        yield from (f"{where}: {fault}" for fault in _limit_faults(value, schema))
        if isinstance(value, list) and schema.get("uniqueItems") is True and self._has_twins(value):
            yield f"{where}: has an item twice"
        if isinstance(value, Mapping) and "properties" in schema:
            yield from self._object_faults(value, schema, at)
        if isinstance(value, list) and "items" in schema:
            for n, each in enumerate(value):
                yield from self.faults(each, schema["items"], f"{at}.{n}" if at else str(n))

    def _has_twins(self, items: list[Any]) -> bool:
        """Items are compared as text; each hundred characters count as a check."""
        seen = set[str]()
        for each in items:
            text = json.dumps(each, sort_keys=True)
            self._spend(1 + len(text) // 100)
            if text in seen:
                return True
            seen.add(text)
        return False

    def _spend(self, checks: int) -> None:
        self._left -= checks
        if self._left < 0:
            raise _TooMuchError

    def _object_faults(self, value: Mapping[str, Any], schema: Schema, at: str) -> Iterator[str]:
        prefix = f"{at}." if at else ""
        yield from (f"{prefix}{name}: is required" for name in schema["required"] if name not in value)
        if any(name not in schema["properties"] for name in value):
            yield f"{at or 'the whole'}: has a property that the schema does not name"
        for name, part in schema["properties"].items():
            if name in value:
                yield from self.faults(value[name], part, f"{prefix}{name[:50]}")


def _limit_faults(value: Any, schema: Schema) -> Iterator[str]:
    if is_a(value, "number"):
        broken = {
            "minimum": value < schema.get("minimum", value),
            "maximum": value > schema.get("maximum", value),
            "exclusiveMinimum": "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"],
            "exclusiveMaximum": "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"],
        }
        yield from (f"breaks {name} {schema[name]}" for name, is_broken in broken.items() if is_broken)
    kind = "Length" if isinstance(value, str) else "Items" if isinstance(value, list) else None
    if kind and len(value) < schema.get(f"min{kind}", 0):
        yield f"has {len(value)}, but min{kind} is {schema[f'min{kind}']}"
    if kind and len(value) > schema.get(f"max{kind}", len(value)):
        yield f"has {len(value)}, but max{kind} is {schema[f'max{kind}']}"


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: `true` is not 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]} …"
