"""The JSON Schema that a caller gives for an answer: bounded, made plain for every vendor, compared with the answer.

A caller may be hostile, so its bytes, levels and parts are limited, references go into its own `$defs` alone and never
to a URL, and it has no regular expressions. `schema` makes the schemas of our own answers. Pure.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

MAX_BYTES = 16 * 1024
MAX_LEVELS = 12
MAX_PARTS = 400  # subschemas, each counted wherever a reference brings it
MAX_ALTERNATIVES = 16

Schema = Mapping[str, Any]

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
_NOTES = frozenset(
    {"title", "default", "examples", "$schema", "$id", "$comment", "deprecated", "readOnly", "writeOnly"}
)
_LIMITS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems"})
_KEPT = frozenset({"type", "description", "enum", "const", "anyOf", "items", "properties", "required", "format"})
_KNOWN = _KEPT | _NOTES | _LIMITS | _COUNTS | {"uniqueItems", "additionalProperties", "$ref", "$defs", "definitions"}
_FORMATS = frozenset({"date-time", "date", "time", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_OF_TYPE: Mapping[str, frozenset[str]] = {  # the keywords that concern values of one type
    "object": frozenset({"properties", "required"}),
    "array": frozenset({"items", "minItems", "maxItems", "uniqueItems"}),
    "string": frozenset({"minLength", "maxLength", "format"}),
    "number": _LIMITS,
    "integer": _LIMITS,
}


class SchemaError(ValueError):
    """The schema cannot be used. The message says where and why."""


def read_schema(given: Schema) -> dict[str, Any]:
    """The schema without references and notes. Raises `SchemaError`.

    The whole is an object. Objects are closed: an answer with other properties than those named is a fault.
    """
    try:
        size = len(json.dumps(given, allow_nan=False))
    except (ValueError, TypeError, RecursionError) as error:
        raise SchemaError("is not JSON, or nested too deep") from error
    if size > MAX_BYTES:
        raise SchemaError(f"is {size} bytes as JSON; allowed: {MAX_BYTES}")
    plain = _Reader(given).read(given, "the whole", 1, ())
    if plain.get("type") != "object":
        raise SchemaError('the whole: must have "type": "object"')
    return plain


class _Reader:
    """Reads one schema, with a count of its parts."""

    def __init__(self, root: Schema) -> None:
        self._root, self._parts = root, 0

    def read(self, node: Any, at: str, level: int, above: tuple[str, ...]) -> dict[str, Any]:
        """One subschema. `above` are the references that lead to it."""
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise SchemaError(f"has more than {MAX_PARTS} parts; allowed: {MAX_PARTS}")
        if level > MAX_LEVELS:
            raise SchemaError(f"is nested more than {MAX_LEVELS} levels deep; allowed: {MAX_LEVELS}")
        if not isinstance(node, Mapping):
            raise SchemaError(f"{at}: is not an object")
        if "$ref" in node:
            name, target = self._target(node["$ref"], at)
            if name in above:
                raise SchemaError(f"{at}: $ref leads back to {name[:100]}; a schema cannot hold itself")
            beside = {key: value for key, value in node.items() if key != "$ref"}
            return self.read({**target, **beside}, at, level, (*above, name))
        if strangers := sorted(set(node) - _KNOWN):
            raise SchemaError(
                f"{at}: {', '.join(strangers)[:200]} is not taken; taken: {', '.join(sorted(_KNOWN - _NOTES))}"
            )
        plain = {key: node[key] for key in node if key in _KEPT | _LIMITS | _COUNTS | {"uniqueItems"}}
        _check_keywords(plain, at)
        if "anyOf" in plain:
            plain["anyOf"] = [self.read(part, f"{at}.anyOf", level + 1, above) for part in plain["anyOf"]]
        if "items" in plain:
            plain["items"] = self.read(plain["items"], f"{at}.items", level + 1, above)
        return plain | self._properties(node, at, level, above)

    def _properties(self, node: Schema, at: str, level: int, above: tuple[str, ...]) -> dict[str, Any]:
        if "object" not in types_of(node):
            return {}
        if node.get("additionalProperties", False) is not False:
            raise SchemaError(f"{at}: additionalProperties must be false: name every property")
        given, required = node.get("properties"), node.get("required", [])
        if not isinstance(given, Mapping) or not given:
            raise SchemaError(f"{at}: an object needs properties")
        if not isinstance(required, list) or any(not isinstance(n, str) or n not in given for n in required):
            raise SchemaError(f"{at}: required must list names of properties")
        found = {name: self.read(part, f"{at}.{name[:50]}", level + 1, above) for name, part in given.items()}
        return {"properties": found, "required": list(required)}

    def _target(self, reference: Any, at: str) -> tuple[str, Schema]:
        for place in ("$defs", "definitions"):
            name = str(reference).removeprefix(f"#/{place}/")
            defs = self._root.get(place)
            if name != reference and isinstance(defs, Mapping) and isinstance(defs.get(name), Mapping):
                return name, defs[name]
        raise SchemaError(f"{at}: $ref must be #/$defs/ and the name of an object there; nothing is fetched")


def types_of(node: Schema) -> tuple[Any, ...]:
    """The types that a subschema allows; empty if it does not say."""
    given = node.get("type", ())
    return tuple(given) if isinstance(given, list | tuple) else (given,)


def is_a(value: Any, kind: Any) -> bool:
    """Whether a value of JSON has this type."""
    match kind:
        case "object":
            return isinstance(value, Mapping)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case "integer":
            return is_a(value, "number") and value == int(value)
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_keywords(node: Schema, at: str) -> None:
    if strangers := [each for each in types_of(node) if each not in TYPES]:
        raise SchemaError(f"{at}: type {str(strangers[0])[:50]!r} is unknown; known: {', '.join(TYPES)}")
    if not {"type", "enum", "const", "anyOf"} & node.keys():
        raise SchemaError(f"{at}: needs a type, enum, const or anyOf")
    for name in ("enum", "anyOf"):
        if name in node and (not isinstance(node[name], list) or not node[name]):
            raise SchemaError(f"{at}: {name} must be a list with at least one entry")
    if len(node.get("anyOf", ())) > MAX_ALTERNATIVES:
        raise SchemaError(f"{at}: anyOf has {len(node['anyOf'])} entries; allowed: {MAX_ALTERNATIVES}")
    for name in (_LIMITS | _COUNTS) & node.keys():
        value = node[name]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or (name in _COUNTS and (value < 0 or value != int(value))):
            raise SchemaError(f"{at}: {name} must be a {'number' if name in _LIMITS else 'whole number, 0 or more'}")
    if "array" in types_of(node) and "items" not in node:
        raise SchemaError(f"{at}: an array needs items")
    for name in ("description", "format"):
        if not isinstance(node.get(name, ""), str):
            raise SchemaError(f"{at}: {name} must be a text")


def for_vendors(plain: Schema) -> dict[str, Any]:
    """A schema that `read_schema` returned, as all vendors take it: closed objects, limits only in descriptions.

    Anthropic refuses limits of numbers, lengths and lists; what stands in a description is still told to the model.
    """
    values = [plain["const"]] if "const" in plain else plain.get("enum")
    types = types_of(plain) or tuple(kind for kind in TYPES if any(is_a(value, kind) for value in values or ()))
    types = tuple(kind for kind in types if kind != "integer" or "number" not in types)
    if len(types) > 1:
        return {"anyOf": [for_vendors(_of_type(plain, kind, values)) for kind in types]}
    found: dict[str, Any] = {"type": types[0]} if types else {}
    if values is not None:
        found["enum"] = values
    if told := " ".join(filter(None, [plain.get("description"), _limits_in_words(plain)])):
        found["description"] = told
    if plain.get("format") in _FORMATS:
        found["format"] = plain["format"]
    if "anyOf" in plain:
        found["anyOf"] = [for_vendors(part) for part in plain["anyOf"]]
    if "items" in plain:
        found["items"] = for_vendors(plain["items"])
    if "properties" in plain:
        found["properties"] = {name: for_vendors(part) for name, part in plain["properties"].items()}
        found |= {"required": plain["required"], "additionalProperties": False}
    return found


def _of_type(plain: Schema, kind: str, values: list[Any] | None) -> Schema:
    """The part of a subschema with several types that concerns one of them."""
    own = _OF_TYPE.get(kind, frozenset())
    kept = {key: value for key, value in plain.items() if key in own or key in {"description", "anyOf"}}
    some = {} if values is None else {"enum": [value for value in values if is_a(value, kind)]}
    return {**kept, **some, "type": kind}


def _limits_in_words(plain: Schema) -> str:
    found: Iterator[str] = (
        f"{key} {plain[key]}" for key in sorted(_LIMITS | _COUNTS | {"uniqueItems"}) if key in plain
    )
    told = ", ".join(found)
    return f"({told})" if told else ""
