"""Makes a value that is valid against a JSON schema, from facts about the pictures; the same input, the same value.

Reads JSON Schema and Google's variant of it (`STRING`, `nullable`).
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twin.caption import PromptFacts

MAX_DEPTH = 12
MAX_ITEMS = 1_000
MAX_LENGTH = 100_000
FORMATS = {
    "date-time": "2026-11-21T12:00:00Z",
    "date": "2026-11-21",
    "time": "12:00:00Z",
    "duration": "PT8S",
    "email": "someone@example.com",
    "hostname": "example.com",
    "uri": "https://example.com/",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uuid": "6f1c0e0a-3b52-4b8e-9b1a-2f6d0c9a7e11",
}
DEFAULT_ITEMS = 2
COLOUR = re.compile(r"colou?r|palette|hue", re.IGNORECASE)
ZERO_TO_ONE = re.compile(r"confidence|score|probab|ratio|share", re.IGNORECASE)

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a value is in the answer."""

    name: str = ""
    """The name of the nearest property; it decides which fact the value shows."""
    index: int = 0
    """The index in the nearest list."""
    depth: int = 0
    in_list: bool = False
    """Whether it is an entry of a list: `images` of numbers names pictures, a number `images` counts them."""

    def inside(self, name: str) -> "Position":
        """Return the position of a property of this object."""
        return Position(name, self.index, self.depth + 1)

    def at(self, index: int) -> "Position":
        """Return the position of an entry of this list."""
        return Position(self.name, index, self.depth + 1, in_list=True)


class BadSchema(ValueError):
    """No value can be made for this schema."""


def fill_schema(schema: Schema, facts: PromptFacts) -> Any:
    """Return a valid value; raise BadSchema for keywords with impossible values."""
    try:
        return _Filler(schema, facts).value(schema, Position())
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError, re.error) as error:
        raise BadSchema(f"{type(error).__name__}: {error}") from error


def make_invalid(value: Any) -> Any:
    """Return the value with one part of a wrong type, so that it is not valid against its schema."""
    if not isinstance(value, dict):
        return {"unexpected": value}
    if not value:
        return [None]
    name, first = next(iter(value.items()))
    return value | {name: [first] if isinstance(first, dict) else {"unexpected": first}}


class _Filler:
    def __init__(self, root: Schema, facts: PromptFacts) -> None:
        self._root, self._facts = root, facts

    def value(self, schema: Any, position: Position) -> Any:
        """Return a value for one position."""
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._choose(schema["enum"], position)
        match _type(schema):
            case "object":
                return self._object(schema, position)
            case "array":
                return self._list(schema, position)
            case "integer":
                return int(self._number(schema, position, step=1))
            case "number":
                return self._number(schema, position, step=schema.get("multipleOf", 0))
            case "boolean":
                return bool(_stable_byte(position) % 2)
            case "null":
                return None
        return self._text(schema, position)

    def _resolved(self, schema: Any) -> Schema:
        """Follow `$ref`, take the first alternative that is not null, and merge `allOf`."""
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, dict):
                return {}
            options = schema.get("anyOf") or schema.get("oneOf")
            if "$ref" in schema:
                schema = {key: part for key, part in schema.items() if key != "$ref"} | self._target(schema["$ref"])
            elif options:
                rest = {key: part for key, part in schema.items() if key not in ("anyOf", "oneOf")}
                schema = rest | dict(next((one for one in options if _type(one) != "null"), options[0]))
            elif schema.get("allOf"):
                schema = _merged([{k: v for k, v in schema.items() if k != "allOf"}, *schema["allOf"]])
            else:
                break
        return dict(schema)

    def _target(self, reference: Any) -> dict[str, Any]:
        node: Any = self._root
        for part in str(reference).removeprefix("#").strip("/").split("/"):
            node = node.get(part, {}) if isinstance(node, dict) and part else node
        return dict(node) if isinstance(node, dict) else {}

    def _object(self, schema: Schema, position: Position) -> dict[str, Any]:
        properties, required = schema.get("properties") or {}, schema.get("required") or ()
        names = [name for name in properties if name in required or position.depth < MAX_DEPTH // 2]
        names += [name for name in required if name not in properties]
        return {name: self.value(properties.get(name, {}), position.inside(name)) for name in names}

    def _list(self, schema: Schema, position: Position) -> list[Any]:
        least, most = int(schema.get("minItems", 0)), min(MAX_ITEMS, int(schema.get("maxItems", MAX_ITEMS)))
        wanted = len(self._facts.pictures) or DEFAULT_ITEMS
        count = min(most, max(least, wanted if position.depth < MAX_DEPTH // 2 else 0))
        fixed = schema.get("prefixItems") or []
        schemas = [fixed[i] if i < len(fixed) else schema.get("items", {}) for i in range(count)]
        entries = [self.value(kind, position.at(i)) for i, kind in enumerate(schemas)]
        return _distinct(entries, schemas, self, position) if schema.get("uniqueItems") else entries

    def _choose(self, choices: list[Any], position: Position) -> Any:
        """Return the choice that is a colour of the pictures, else one that depends on the position only."""
        named = {choice.lower(): choice for choice in choices if isinstance(choice, str)}
        colours = self._facts.colours
        rotated = [colours[(position.index + shift) % len(colours)] for shift in range(len(colours))]
        match = next((named[colour] for colour in rotated if colour in named), None)
        return choices[(_stable_byte(position) + position.index) % len(choices)] if match is None else match

    def _number(self, schema: Schema, position: Position, step: float) -> float:
        step = float(schema.get("multipleOf") or step)
        low, high = _bounds(schema, step or 1e-6)
        candidate = self._known_number(position)
        if candidate is None:
            candidate = 0.87 if ZERO_TO_ONE.search(position.name) and low <= 0.87 else max(low, 1 + position.index)
        value = min(high, max(low, candidate))
        if not step:
            return round(value, 6) if low <= round(value, 6) <= high else value
        up = math.ceil(value / step) * step
        return up if up <= high else math.floor(high / step) * step

    def _known_number(self, position: Position) -> float | None:
        pictures = self._facts.pictures
        if position.name.lower() in ("count", "pictures", "images", "num_images"):
            return None if position.in_list else len(pictures)
        if not pictures or position.name.lower() not in ("width", "height"):
            return None
        picture = pictures[position.index % len(pictures)]
        return picture.width if position.name.lower() == "width" else picture.height

    def _text(self, schema: Schema, position: Position) -> str:
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        candidates = self._text_candidates(position)
        pattern = schema.get("pattern")
        matching = (text for text in candidates if not pattern or re.search(pattern, text))
        text = next(matching, candidates[0])
        most = min(MAX_LENGTH, int(schema.get("maxLength", MAX_LENGTH)))
        return text.ljust(min(most, int(schema.get("minLength", 0))), ".")[:most]

    def _text_candidates(self, position: Position) -> list[str]:
        pictures = self._facts.pictures
        picture = pictures[position.index % len(pictures)] if pictures else None
        colour, code = (picture.colour, picture.hex) if picture else ("grey", "#808080")
        digest = picture.digest[:16] if picture else "0" * 16
        spare = [colour, code, code[1:], digest, "word", "WORD", "1", "1.0", "A1", "2026-11-21"]
        if COLOUR.search(position.name):
            return [code, colour, *spare] if "hex" in position.name.lower() else [colour, *spare]
        if position.name.lower() in ("tags", "keywords", "labels"):
            return [(colour, f"{picture.width}x{picture.height}" if picture else "word")[position.index % 2], *spare]
        return [self._facts.caption, *spare]


def _type(schema: Any) -> str:
    kind = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(kind, list):
        kind = next((entry for entry in kind if str(entry).lower() != "null"), "null")
    if kind is None and isinstance(schema, dict):
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind).lower()


def _merged(parts: list[Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for part in (part for part in parts if isinstance(part, dict)):
        properties = {**whole.get("properties", {}), **part.get("properties", {})}
        required = [*whole.get("required", []), *part.get("required", [])]
        whole |= (
            part | ({"properties": properties} if properties else {}) | ({"required": required} if required else {})
        )
    return whole


def _bounds(schema: Schema, step: float) -> tuple[float, float]:
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + step)
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - step)
    return low, high


def _distinct(entries: list[Any], schemas: list[Any], filler: _Filler, position: Position) -> list[Any]:
    """Return the entries, with each repeated one replaced by another value, so that all are different."""
    found: list[Any] = []
    for number, entry in enumerate(entries):
        tries = (filler.value(schemas[number], position.at(number + more)) for more in range(1, 20))
        entry = entry if entry not in found else next((one for one in tries if one not in found), f"{entry} {number}")
        found.append(entry)
    return found


def _stable_byte(position: Position) -> int:
    return hashlib.sha256(position.name.encode()).digest()[0]
