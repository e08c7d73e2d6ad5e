"""Filling a JSON schema: a value that is valid against it, speaks of the pictures, and is the same every time.

Plain JSON Schema and Google's spelling of it (`STRING`, `nullable`) are both read.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twin.caption import Facts

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
USUAL_ITEMS = 2
COLOUR = re.compile(r"colou?r|palette|hue", re.IGNORECASE)
UNIT = re.compile(r"confidence|score|probab|ratio|share", re.IGNORECASE)

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the answer a value stands."""

    name: str = ""
    """The nearest property's name; what it says decides which fact is told."""
    index: int = 0
    """The place in the nearest list."""
    depth: int = 0

    def inside(self, name: str) -> "Place":
        """Return the place of a property of this object."""
        return Place(name, self.index, self.depth + 1)

    def at(self, index: int) -> "Place":
        """Return the place of an entry of this list."""
        return Place(self.name, index, self.depth + 1)


class BadSchema(ValueError):
    """No value can be made of this schema."""


def fill(schema: Schema, facts: Facts) -> Any:
    """Return a value of this schema; raise BadSchema when its keywords do not hold what they must."""
    try:
        return _Filler(schema, facts).value(schema, Place())
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError, re.error) as error:
        raise BadSchema(f"{type(error).__name__}: {error}") from error


def spoil(value: Any) -> Any:
    """Return what no longer fits the schema that a value was filled from: something stands where another type must."""
    if not isinstance(value, dict):
        return {"unexpected": value}
    if not value:
        return [None]
    name, first = next(iter(value.items()))
    return value | {name: [first] if isinstance(first, dict) else {"unexpected": first}}


class _Filler:
    def __init__(self, root: Schema, facts: Facts) -> None:
        self._root, self._facts = root, facts

    def value(self, schema: Any, place: Place) -> Any:
        """Return a value for one place."""
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._chosen(schema["enum"], place)
        match _type(schema):
            case "object":
                return self._object(schema, place)
            case "array":
                return self._list(schema, place)
            case "integer":
                return int(self._number(schema, place, step=1))
            case "number":
                return self._number(schema, place, step=schema.get("multipleOf", 0))
            case "boolean":
                return bool(_dice(place) % 2)
            case "null":
                return None
        return self._text(schema, place)

    def _resolved(self, schema: Any) -> Schema:
        """Follow references, take the first alternative that is not null, and merge what all must hold."""
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

    def _object(self, schema: Schema, place: Place) -> dict[str, Any]:
        properties, required = schema.get("properties") or {}, schema.get("required") or ()
        names = [name for name in properties if name in required or place.depth < MAX_DEPTH // 2]
        names += [name for name in required if name not in properties]
        return {name: self.value(properties.get(name, {}), place.inside(name)) for name in names}

    def _list(self, schema: Schema, place: Place) -> list[Any]:
        least, most = int(schema.get("minItems", 0)), min(MAX_ITEMS, int(schema.get("maxItems", MAX_ITEMS)))
        wanted = len(self._facts.pictures) or USUAL_ITEMS
        count = min(most, max(least, wanted if place.depth < MAX_DEPTH // 2 else 0))
        fixed = schema.get("prefixItems") or []
        kinds = [fixed[i] if i < len(fixed) else schema.get("items", {}) for i in range(count)]
        entries = [self.value(kind, place.at(i)) for i, kind in enumerate(kinds)]
        return _distinct(entries, kinds, self, place) if schema.get("uniqueItems") else entries

    def _chosen(self, choices: list[Any], place: Place) -> Any:
        """Return the choice that the pictures suggest, else one that depends on the place only."""
        named = {choice.lower(): choice for choice in choices if isinstance(choice, str)}
        colours = self._facts.colours
        turned = [colours[(place.index + turn) % len(colours)] for turn in range(len(colours))]
        told = next((named[colour] for colour in turned if colour in named), None)
        return choices[(_dice(place) + place.index) % len(choices)] if told is None else told

    def _number(self, schema: Schema, place: Place, step: float) -> float:
        step = float(schema.get("multipleOf") or step)
        low, high = _bounds(schema, step or 1e-6)
        wish = self._told_number(place)
        if wish is None:
            wish = 0.87 if UNIT.search(place.name) and low <= 0.87 else max(low, 1 + place.index)
        value = min(high, max(low, wish))
        if not step:
            return round(value, 6) if low <= round(value, 6) <= high else value
        up = math.ceil(value / step) * step
        return up if up <= high else math.floor(high / step) * step

    def _told_number(self, place: Place) -> float | None:
        pictures = self._facts.pictures
        if place.name.lower() in ("count", "pictures", "images", "num_images"):
            return len(pictures)
        if not pictures or place.name.lower() not in ("width", "height"):
            return None
        picture = pictures[place.index % len(pictures)]
        return picture.width if place.name.lower() == "width" else picture.height

    def _text(self, schema: Schema, place: Place) -> str:
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        wishes = self._wishes(place)
        pattern = schema.get("pattern")
        text = next((wish for wish in wishes if re.search(pattern, wish)), wishes[0]) if pattern else wishes[0]
        most = min(MAX_LENGTH, int(schema.get("maxLength", MAX_LENGTH)))
        return text.ljust(min(most, int(schema.get("minLength", 0))), ".")[:most]

    def _wishes(self, place: Place) -> list[str]:
        pictures = self._facts.pictures
        picture = pictures[place.index % len(pictures)] if pictures else None
        colour, code = (picture.colour, picture.hex) if picture else ("grey", "#808080")
        digest = picture.digest[:16] if picture else "0" * 16
        spare = [colour, code, code[1:], digest, "word", "WORD", "1", "1.0", "A1", "2026-11-21"]
        if COLOUR.search(place.name):
            return [code, colour, *spare] if "hex" in place.name.lower() else [colour, *spare]
        if place.name.lower() in ("tags", "keywords", "labels"):
            return [(colour, f"{picture.width}x{picture.height}" if picture else "word")[place.index % 2], *spare]
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


def _distinct(entries: list[Any], kinds: list[Any], filler: _Filler, place: Place) -> list[Any]:
    """Return the entries with repeated ones replaced by others of the same kind, or left out."""
    found: list[Any] = []
    for number, entry in enumerate(entries):
        tries = (filler.value(kinds[number], place.at(number + more)) for more in range(1, 20))
        entry = entry if entry not in found else next((one for one in tries if one not in found), f"{entry} {number}")
        found.append(entry)
    return found


def _dice(place: Place) -> int:
    return hashlib.sha256(place.name.encode()).digest()[0]
