"""Checks an input against its endpoint's schema, and returns the `detail` list of fal's 422.

Types, messages and contexts are those of pydantic, because fal's apps are FastAPI apps. Numbers out of range have the
URL of fal's own error catalogue. Unknown fields are ignored, as fal does.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twin.fal.models import Field, Model, Shape

Problem = dict[str, Any]
Loc = tuple[str | int, ...]

FAL_CATALOGUE = "https://docs.fal.ai/errors/#"
PYDANTIC_CATALOGUE = "https://errors.pydantic.dev/2.11/v/"
FAL_TYPES = frozenset({"greater_than", "greater_than_equal", "less_than", "less_than_equal"})
BOOLEAN_WORDS = frozenset({"true", "false", "1", "0", "yes", "no", "on", "off"})


def problem(loc: Loc, kind: str, msg: str, value: Any, ctx: Mapping[str, Any] | None = None) -> Problem:
    """Return one entry of `detail`."""
    catalogue = FAL_CATALOGUE if kind in FAL_TYPES else PYDANTIC_CATALOGUE
    entry: Problem = {"loc": list(loc), "msg": msg, "type": kind, "url": catalogue + kind, "input": value}
    return entry | ({"ctx": dict(ctx)} if ctx else {})


def find_problems(model: Model, body: Any) -> list[Problem]:
    """Return all problems of an input; an empty list if it is valid."""
    if not isinstance(body, dict):
        return [not_an_object(("body",), body)]
    return list(_check_shape(model, model.input, body, ("body",)))


def _check_shape(model: Model, shape: Shape, value: Mapping[str, Any], loc: Loc) -> Iterator[Problem]:
    for name, field in shape.items():
        if name in value:
            yield from _check_field(model, field, value[name], (*loc, name))
        elif field.is_required:
            yield problem((*loc, name), "missing", "Field required", value)


def _check_field(model: Model, field: Field, value: Any, loc: Loc) -> Iterator[Problem]:
    if value is None and not field.is_required and not field.has_default:
        return
    alternative = next((model.shapes[name] for name in field.alternatives if name in model.shapes), None)
    if alternative is not None and isinstance(value, dict):
        yield from _check_shape(model, alternative, value, loc)
    elif field.enum:
        yield from _check_choice(field, value, loc)
    else:
        yield from CHECKS.get(field.type, _accept_anything)(model, field, value, loc)


def _check_choice(field: Field, value: Any, loc: Loc) -> Iterator[Problem]:
    if isinstance(value, str) and "string" in field.alternatives:
        return
    if isinstance(value, bool) or value not in field.enum:
        expected = [repr(choice) for choice in field.enum]
        listed = " or ".join(filter(None, (", ".join(expected[:-1]), expected[-1])))
        yield problem(loc, "literal_error", f"Input should be {listed}", value, {"expected": listed})


def _accept_anything(model: Model, field: Field, value: Any, loc: Loc) -> Iterator[Problem]:
    yield from ()


def _check_string(model: Model, field: Field, value: Any, loc: Loc) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield problem(loc, "string_type", "Input should be a valid string", value)


def _check_boolean(model: Model, field: Field, value: Any, loc: Loc) -> Iterator[Problem]:
    if isinstance(value, str):
        if value.lower() not in BOOLEAN_WORDS:
            yield problem(loc, "bool_parsing", "Input should be a valid boolean, unable to interpret input", value)
    elif not isinstance(value, bool) and value not in (0, 1):
        yield problem(loc, "bool_type", "Input should be a valid boolean", value)


def _check_integer(model: Model, field: Field, value: Any, loc: Loc) -> Iterator[Problem]:
    if isinstance(value, str):
        if not value.strip().lstrip("+-").isdecimal():
            message = "Input should be a valid integer, unable to parse string as an integer"
            yield problem(loc, "int_parsing", message, value)
            return
        value = int(value)
    if not isinstance(value, int | float):
        yield problem(loc, "int_type", "Input should be a valid integer", value)
    elif isinstance(value, float) and not value.is_integer():
        message = "Input should be a valid integer, got a number with a fractional part"
        yield problem(loc, "int_from_float", message, value)
    else:
        yield from _check_range(field, value, loc)


def _check_number(model: Model, field: Field, value: Any, loc: Loc) -> Iterator[Problem]:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            message = "Input should be a valid number, unable to parse string as a number"
            yield problem(loc, "float_parsing", message, value)
            return
    if not isinstance(value, int | float):
        yield problem(loc, "float_type", "Input should be a valid number", value)
    else:
        yield from _check_range(field, value, loc)


def _check_range(field: Field, value: float, loc: Loc) -> Iterator[Problem]:
    if field.above is not None and not value > field.above:
        yield problem(loc, "greater_than", f"Input should be greater than {field.above:g}", value, {"gt": field.above})
    elif field.minimum is not None and not value >= field.minimum:
        message = f"Input should be greater than or equal to {field.minimum:g}"
        yield problem(loc, "greater_than_equal", message, value, {"ge": field.minimum})
    elif field.maximum is not None and not value <= field.maximum:
        message = f"Input should be less than or equal to {field.maximum:g}"
        yield problem(loc, "less_than_equal", message, value, {"le": field.maximum})


def _check_array(model: Model, field: Field, value: Any, loc: Loc) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield problem(loc, "list_type", "Input should be a valid list", value)
        return
    item = _item_field(model, field)
    for index, entry in enumerate(value):
        yield from _check_field(model, item, entry, (*loc, index))


def _item_field(model: Model, field: Field) -> Field:
    if field.items and field.items in model.shapes:
        return Field(type="object", ref=field.items, is_required=True)
    return Field(type=field.items or "any", is_required=True)


def _check_object(model: Model, field: Field, value: Any, loc: Loc) -> Iterator[Problem]:
    if field.ref and field.ref in CHECKS:
        return
    if not isinstance(value, dict):
        yield not_an_object(loc, value)
    elif field.ref and field.ref in model.shapes:
        yield from _check_shape(model, model.shapes[field.ref], value, loc)


def not_an_object(loc: Loc, value: Any) -> Problem:
    """Return the entry for a value that must be a JSON object."""
    message = "Input should be a valid dictionary or object to extract fields from"
    return problem(loc, "model_attributes_type", message, value)


CHECKS: Mapping[str, Callable[[Model, Field, Any, Loc], Iterator[Problem]]] = {
    "string": _check_string,
    "boolean": _check_boolean,
    "integer": _check_integer,
    "number": _check_number,
    "array": _check_array,
    "object": _check_object,
}
