"""Answers of language models: valid against any schema, with facts about the pictures."""

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.caption import collect_facts
from twin.google.language import to_json_schema
from twin.input_picture import NotAPicture, inspect, unread_picture
from twin.schema_filler import fill_schema, make_invalid

Png = Callable[..., bytes]
NONE = collect_facts([], ["a fox"])


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    lengths = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted)
    bounds = st.tuples(st.integers(-50, 50), st.integers(0, 60)).map(lambda pair: (pair[0], pair[0] + pair[1]))
    leaves = st.one_of(
        lengths.map(lambda two: {"type": "string", "minLength": two[0], "maxLength": two[1]}),
        bounds.map(lambda two: {"type": "integer", "minimum": two[0], "maximum": two[1]}),
        bounds.map(lambda two: {"type": "number", "minimum": two[0] / 7, "maximum": two[1] / 7}),
        bounds.map(lambda two: {"type": "number", "exclusiveMinimum": two[0], "exclusiveMaximum": two[1] + 1}),
        st.integers(1, 9).map(lambda step: {"type": "integer", "multipleOf": step, "minimum": 1, "maximum": 40}),
        st.lists(st.text() | st.integers() | st.none(), min_size=1, unique_by=str).map(lambda all_: {"enum": all_}),
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"const": 5}, {"type": ["null", "integer"]}]),
        st.sampled_from([{"type": "string", "format": name} for name in ("date", "date-time", "uuid", "email")]),
    )
    return st.recursive(leaves, _larger, max_leaves=12)


def _larger(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    names = st.sampled_from(["caption", "colour", "width", "score", "tags", "kind", "hex_color", "count"])
    sizes = st.tuples(st.integers(0, 4), st.integers(0, 4)).map(sorted)
    objects = st.dictionaries(names, inner, max_size=4).map(
        lambda parts: {"type": "object", "properties": parts, "required": [*parts], "additionalProperties": False}
    )
    lists = st.tuples(inner, sizes).map(
        lambda two: {"type": "array", "items": two[0], "minItems": two[1][0], "maxItems": two[1][1]}
    )
    return st.one_of(objects, lists, inner.map(lambda one: {"anyOf": [{"type": "null"}, one]}))


@settings(max_examples=150, deadline=None)
@given(schemas())
def test_what_is_filled_is_valid_and_the_same_again(schema: dict[str, Any]) -> None:
    value = fill_schema(schema, NONE)

    jsonschema.validate(value, schema)
    assert fill_schema(schema, NONE) == value and json.loads(json.dumps(value)) == value


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["caption", "tags", "n"]), schemas(), min_size=1))
def test_what_is_spoilt_is_not_valid(parts: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": parts, "required": [*parts]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(make_invalid(fill_schema(schema, NONE)), schema)


def test_a_schema_that_refers_to_itself_ends() -> None:
    child = {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}
    node = {
        "type": "object",
        "properties": {"child": child, "more": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
    }
    schema = {"$ref": "#/$defs/node", "$defs": {"node": node}}

    jsonschema.validate(fill_schema(schema, NONE), schema)


def test_unique_entries_and_what_all_must_hold(png: Png) -> None:
    unique = {"type": "array", "items": {"type": "string"}, "minItems": 4, "uniqueItems": True}
    both = [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"const": 1}}}]
    facts = collect_facts([inspect(png("red"))], [])

    for schema in (unique, {"type": "object", "allOf": both}):
        jsonschema.validate(fill_schema(schema, facts), schema)
    assert fill_schema({"type": "object", "allOf": both}, facts).keys() == {"a", "b"}


def test_names_decide_which_fact_is_shown(png: Png) -> None:
    facts = collect_facts([inspect(png("red", (30, 20))), inspect(png((0, 0, 255)))], ["caption"])
    properties = {
        "main_color": {"type": "string"},
        "hexColor": {"type": "string", "pattern": "^#[0-9a-f]{6}$"},
        "palette": {"type": "array", "items": {"enum": ["green", "blue", "red"]}},
        "width": {"type": "integer"},
        "count": {"type": "integer"},
        "sizes": {"type": "array", "items": {"type": "object", "properties": {"height": {"type": "integer"}}}},
    }
    value = fill_schema({"type": "object", "properties": properties}, facts)

    assert value == {
        "main_color": "red",
        "hexColor": "#ff0000",
        "palette": ["red", "blue"],
        "width": 30,
        "count": 2,
        "sizes": [{"height": 20}, {"height": 48}],
    }


def test_googles_spelling_of_a_schema_is_read() -> None:
    google = {"type": "OBJECT", "properties": {"min_items": {"any_of": [{"type": "NULL"}, {"type": "STRING"}]}}}

    assert to_json_schema(google)["properties"]["min_items"] == {"anyOf": [{"type": "NULL"}, {"type": "STRING"}]}
    assert isinstance(fill_schema(to_json_schema(google), NONE)["min_items"], str)


def test_a_colour_is_called_by_its_name(png: Png, subtests: pytest.Subtests) -> None:
    for colour in ["red", "orange", "yellow", "green", "blue", "purple", "pink", "black", "white"]:
        for kind in ["png", "jpeg", "webp", "gif"]:
            with subtests.test(colour=colour, kind=kind):
                picture = inspect(png(colour, (50, 40), kind))

                assert (picture.colour, picture.width, picture.height, picture.format) == (colour, 50, 40, kind)


def test_what_is_no_picture_or_too_large_a_one_is_refused(png: Png) -> None:
    with pytest.raises(NotAPicture):
        inspect(b"\x89PNG\r\n")
    with pytest.raises(NotAPicture, match="7100x7100 pixels are more than"):
        inspect(png("red", (7_100, 7_100)))
    assert unread_picture("gs://b/a.png").thumbnail is None


def test_images_of_numbers_name_pictures_and_a_number_counts_them(png: Png) -> None:
    facts = collect_facts([inspect(png("red")), inspect(png("blue"))], [])
    numbers = {"type": "array", "items": {"type": "integer", "minimum": 1}}
    named = fill_schema({"type": "object", "properties": {"images": numbers}}, facts)
    counted = fill_schema({"type": "object", "properties": {"images": {"type": "integer"}}}, facts)
    assert (named, counted) == ({"images": [1, 2]}, {"images": 2})
