"""The JSON Schema of an answer, made from its pydantic model so that every vendor takes it.

What all take: closed objects, every property required, no reference, and of the keywords only those below. Bounds of
numbers, lengths and lists are dropped (Anthropic refuses them); the model holds them, and judges the answer again.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_KEPT = frozenset({"type", "description", "enum", "format"})
_FORMATS = frozenset({"date-time", "date", "time", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_UNKNOWN = frozenset({"oneOf", "allOf", "not", "prefixItems", "patternProperties", "if"})


class UnfitModelError(TypeError):
    """This model has no schema that every vendor takes."""


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """The schema. Raises `UnfitModelError` for open mappings, recursion, tuples, and unions that need `oneOf`."""
    whole = model.model_json_schema(mode="validation")
    return _plain(whole, whole.get("$defs", {}), ())


def _plain(node: Mapping[str, Any], defs: Mapping[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
    if ref := node.get("$ref"):
        name = str(ref).rpartition("/")[2]
        if name in above:
            raise UnfitModelError(f"{name} holds itself")
        return _plain({**defs[name], **{key: node[key] for key in node if key != "$ref"}}, defs, (*above, name))
    if strangers := _UNKNOWN & node.keys():
        raise UnfitModelError(f"needs {', '.join(sorted(strangers))}")
    plain = {key: value for key, value in node.items() if key in _KEPT}
    if plain.get("format", "uri") not in _FORMATS:
        del plain["format"]
    if "const" in node:
        plain["enum"] = [node["const"]]
    if "anyOf" in node:
        plain["anyOf"] = [_plain(part, defs, above) for part in node["anyOf"]]
    if "items" in node:
        plain["items"] = _plain(node["items"], defs, above)
    return plain | _properties(node, defs, above)


def _properties(node: Mapping[str, Any], defs: Mapping[str, Any], above: tuple[str, ...]) -> dict[str, Any]:
    if node.get("type") != "object":
        if not {"type", "enum", "const", "anyOf"} & node.keys():
            raise UnfitModelError("a value of any kind")
        return {}
    if not node.get("properties") or node.get("additionalProperties"):
        raise UnfitModelError("an object whose properties are not known")
    properties = {name: _plain(part, defs, above) for name, part in node["properties"].items()}
    return {"properties": properties, "required": list(properties), "additionalProperties": False}
