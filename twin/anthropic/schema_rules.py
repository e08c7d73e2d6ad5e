"""Anthropic's rules for schemas of structured output: closed objects, no limits of lengths and numbers."""

from collections.abc import Iterator
from typing import Any

from twin.anthropic.errors import Refused

UNSUPPORTED = {
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength"),
    "array": ("maxItems", "uniqueItems"),
}
NESTED = ("properties", "$defs", "definitions")
LISTED = ("anyOf", "allOf", "prefixItems")


def check_schema(schema: dict[str, Any], path: str) -> None:
    """Raise Refused at the first part of a schema that the API does not accept."""
    for at, node in _nodes(schema, path):
        kind = node.get("type")
        if kind == "object" and node.get("additionalProperties") is not False:
            message = "For 'object' type, 'additionalProperties' must be explicitly set to false"
            raise Refused(400, f"{at}: {message}")
        bad = [keyword for keyword in UNSUPPORTED.get(str(kind), ()) if keyword in node]
        if kind == "array" and node.get("minItems", 0) not in (0, 1):
            bad.append("minItems")
        if bad:
            raise Refused(400, f"{at}: For '{kind}' type, properties {', '.join(bad)} are not supported")


def _nodes(schema: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(schema, dict):
        return
    yield path, schema
    for keyword in NESTED:
        parts = schema.get(keyword)
        for name, part in parts.items() if isinstance(parts, dict) else ():
            yield from _nodes(part, f"{path}.{keyword}.{name}")
    for keyword in LISTED:
        parts = schema.get(keyword)
        for number, part in enumerate(parts if isinstance(parts, list) else ()):
            yield from _nodes(part, f"{path}.{keyword}.{number}")
    yield from _nodes(schema.get("items"), f"{path}.items")
