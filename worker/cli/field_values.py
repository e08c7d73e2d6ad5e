"""Reads the values of `key=value` arguments. A field's type decides what a value is, not how its text looks.

`prompt=2024` is text, `seed=2024` is a number. The types are those of the request's JSON schema. Whether a value is
allowed is checked later, by the request itself.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from pydantic import BaseModel

from worker.jobs.request import JobOptions

Schema = Mapping[str, Any]

_BOOLEANS = {"true": True, "false": False}


class FieldTypes:
    """The types of a task's fields and options."""

    def __init__(self, request_type: type[BaseModel]) -> None:
        schemas = [model.model_json_schema() for model in (JobOptions, request_type)]
        self._fields = {name: field for schema in schemas for name, field in schema["properties"].items()}
        self._definitions = {name: item for schema in schemas for name, item in schema.get("$defs", {}).items()}

    def value(self, name: str, text: str) -> Any:
        """The value that this text is in the field `name`. Text that does not fit the type stays text."""
        return self._from_text(list(self._alternatives(self._fields.get(name, {}))), text)

    def takes_json_file(self, name: str) -> bool:
        """Whether `@path` is a file with the field's JSON: the field takes objects, and no text."""
        schemas = list(self._alternatives(self._fields.get(name, {})))
        schemas += self._items(schemas)
        return bool(_of(schemas, "object")) and not _of(schemas, "string")

    def _from_text(self, schemas: list[Schema], text: str) -> Any:
        types = {schema.get("type") for schema in schemas}
        parsed = _parsed(text)
        if "string" in types and not _is_container(parsed, types):
            is_null = parsed is None and "null" in types and all("enum" in schema for schema in _of(schemas, "string"))
            return None if is_null else text
        if "array" in types and not _is_container(parsed, types) and parsed is not None:
            return [self._from_text(self._items(schemas), text)]  # one item may be given without brackets
        if "boolean" in types:
            return _BOOLEANS.get(text.strip().lower(), _plain(parsed))
        return self._from_json(schemas, parsed)

    def _from_json(self, schemas: list[Schema], value: Any) -> Any:
        """The value of parsed JSON. A number or boolean in a field for text becomes its text."""
        if isinstance(value, list):
            items = self._items(schemas)
            return [self._from_json(items, item) for item in value]
        if isinstance(value, dict):
            objects = _of(schemas, "object")
            return {name: self._from_json(self._member(objects, name), item) for name, item in value.items()}
        if _of(schemas, "string") and isinstance(value, bool | _Number):
            return json.dumps(value) if isinstance(value, bool) else str(value)
        return _plain(value)

    def _items(self, schemas: Iterable[Schema]) -> list[Schema]:
        return [one for schema in _of(schemas, "array") for one in self._alternatives(schema.get("items", {}))]

    def _member(self, objects: Iterable[Schema], name: str) -> list[Schema]:
        members = (each.get("properties", {}).get(name, each.get("additionalProperties")) or {} for each in objects)
        return [one for member in members for one in self._alternatives(member)]

    def _alternatives(self, schema: Schema) -> Iterator[Schema]:
        """The branches of a union, with references resolved."""
        if "$ref" in schema:
            yield from self._alternatives(self._definitions[schema["$ref"].rpartition("/")[2]])
        elif "anyOf" in schema:
            for branch in schema["anyOf"]:
                yield from self._alternatives(branch)
        else:
            yield schema


class _Number(str):
    """A number of JSON as it was written: a label `1.10` must not become `1.1`."""

    __slots__ = ()

    @classmethod
    def read(cls, text: str) -> Self:
        return cls(text)


def _of(schemas: Iterable[Schema], kind: str) -> list[Schema]:
    return [schema for schema in schemas if schema.get("type") == kind]


def _is_container(parsed: Any, types: Iterable[Any]) -> bool:
    """Whether it is a list or an object, and the field takes one."""
    return (isinstance(parsed, list) and "array" in types) or (isinstance(parsed, dict) and "object" in types)


def _parsed(text: str) -> Any:
    """The text as JSON, with numbers as written; the text itself if it is no JSON."""
    try:
        return json.loads(text, parse_int=_Number.read, parse_float=_Number.read)
    except (ValueError, RecursionError):
        return text


def _plain(value: Any) -> Any:
    """A number as int or float; everything else as it is."""
    if not isinstance(value, _Number):
        return value
    return float(value) if set(value) & set(".eE") else int(value)
