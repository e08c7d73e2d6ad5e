"""The schema that a caller gives: what is taken, what is refused, what vendors get, and what an answer is compared with."""

import json
from datetime import date
from enum import StrEnum
from typing import Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from tasks.language.caller_schema import MAX_LEVELS, SchemaError, for_vendors, read_schema
from tasks.language.schema_faults import MAX_LINES, faults_of

NAME = {"type": "string"}


def whole(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}


def nested(levels: int) -> dict[str, Any]:
    return NAME if levels == 1 else whole(a=nested(levels - 1))


def doubling(levels: int) -> dict[str, Any]:
    """A few hundred bytes that are millions of parts when every reference is followed."""
    defs: dict[str, Any] = {
        f"d{n}": whole(a={"$ref": f"#/$defs/d{n + 1}"}, b={"$ref": f"#/$defs/d{n + 1}"}) for n in range(levels)
    }
    return whole(a={"$ref": "#/$defs/d0"}) | {"$defs": defs | {f"d{levels}": NAME}}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({}, "the whole: needs a type"),
    ({"type": "array", "items": NAME}, 'the whole: must have "type": "object"'),
    ({"type": "object"}, "the whole: an object needs properties"),
    (whole(a=NAME) | {"additionalProperties": True}, "the whole: additionalProperties must be false"),
    (whole(a=NAME) | {"required": ["b"]}, "the whole: required must list names of properties"),
    (whole(a=NAME) | {"required": "a"}, "the whole: required must list names of properties"),
    (whole(a={"type": "text"}), "the whole.a: type 'text' is unknown; known: object, array"),
    (whole(a={"type": [{}]}), "the whole.a: type '{}' is unknown"),
    (whole(a={}), "the whole.a: needs a type, enum, const or anyOf"),
    (whole(a=True), "the whole.a: is not an object"),
    (whole(a={"type": "array"}), "the whole.a: an array needs items"),
    (whole(a={"enum": []}), "the whole.a: enum must be a list with at least one entry"),
    (whole(a={"anyOf": [NAME] * 17}), "the whole.a: anyOf has 17 entries; allowed: 16"),
    (whole(a={**NAME, "pattern": "(a+)+$"}), "the whole.a: pattern is not taken; taken: $defs, $ref, "),
    (whole(a={**NAME, "minLength": -1}), "the whole.a: minLength must be a whole number, 0 or more"),
    (whole(a={"type": "number", "maximum": "9"}), "the whole.a: maximum must be a number"),
    (whole(a={"type": "number", "maximum": float("nan")}), "is not JSON"),
    (whole(a={**NAME, "description": 5}), "the whole.a: description must be a text"),
    (whole(a={"$ref": "https://example.com/schema.json"}), "the whole.a: $ref must be #/$defs/"),
    (whole(a={"$ref": "file:///etc/passwd"}), "nothing is fetched"),
    (whole(a={"$ref": "#/properties/a"}), "the whole.a: $ref must be #/$defs/"),
    (whole(a={"$ref": "#/$defs/b"}) | {"$defs": {"b": whole(c={"$ref": "#/$defs/b"})}}, "leads back to b"),
    (doubling(9), "has more than 400 parts"),
    (nested(MAX_LEVELS + 1), f"is nested more than {MAX_LEVELS} levels deep"),
    (whole(a={"enum": ["x" * 20_000]}), "bytes as JSON; allowed: 16384"),
]


@pytest.mark.parametrize(("schema", "says"), REFUSED, ids=range(len(REFUSED)))
def test_a_schema_that_cannot_be_used_is_refused_with_its_place(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(SchemaError) as refused:
        read_schema(schema)
    assert says in str(refused.value) and len(str(refused.value)) < 500


FULL = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Look",
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 5, "description": "a name"},
        "kind": {"enum": ["coat", "hat", None]},
        "size": {"type": ["integer", "null"], "minimum": 1, "maximum": 5},
        "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "flag": {"const": True},
        "parts": {
            "type": "array",
            "items": {"$ref": "#/$defs/Part"},
            "minItems": 1,
            "maxItems": 2,
            "uniqueItems": True,
        },
        "either": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"x": {"type": "integer"}}}]},
    },
    "required": ["name"],
    "additionalProperties": False,
    "$defs": {"Part": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}},
}
ANSWERS: list[Any] = [
    {"name": "ab"},
    {"name": "ab", "kind": None, "size": None, "share": 0.5, "flag": True, "parts": [{"id": 1}], "either": {"x": 1}},
    {"name": "ab", "kind": "hat", "size": 5, "parts": [{"id": 1}, {"id": 2}], "either": "y"},
    {"name": "ab", "size": 2.0},
    None, [], {}, {"name": 5}, {"name": "a"}, {"name": "abcdef"}, {"name": "ab", "kind": "shoe"},
    {"name": "ab", "size": 0}, {"name": "ab", "size": 6}, {"name": "ab", "size": True}, {"name": "ab", "size": 1.5},
    {"name": "ab", "share": 0}, {"name": "ab", "share": 1}, {"name": "ab", "flag": 1}, {"name": "ab", "parts": []},
    {"name": "ab", "parts": [{"id": 1}, {"id": 1}]}, {"name": "ab", "parts": [{"id": 1}, {"id": 2}, {"id": 3}]},
    {"name": "ab", "parts": [{}]}, {"name": "ab", "parts": {}}, {"name": "ab", "either": 5},
    {"name": "ab", "either": {"x": "1"}}, {"name": "ab", "unknown": 1},
]  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS, ids=json.dumps)
def test_an_answer_is_judged_as_the_reference_implementation_judges_it(answer: Any) -> None:
    is_valid = jsonschema.Draft202012Validator(FULL).is_valid(answer)
    assert (faults_of(answer, read_schema(FULL)) == ()) is is_valid


def test_objects_are_closed_where_the_schema_does_not_say() -> None:
    schema = read_schema(whole(a=NAME))
    assert faults_of({"a": "x", "secret": "y"}, schema) == ("the whole: has a property that the schema does not name",)


class Fit(StrEnum):
    LOOSE, TIGHT = "loose", "tight"


class Piece(BaseModel):
    """A garment."""

    name: str = Field(min_length=1, description="what it is called")
    fit: Fit | None = None


class Look(BaseModel):
    pieces: list[Piece] = Field(max_length=3)
    season: Literal["winter", "summer"] = "winter"
    worn: date | None = None


def test_the_schema_of_a_pydantic_model_is_taken() -> None:
    schema = read_schema(Look.model_json_schema())
    look = Look(pieces=[Piece(name="coat", fit=Fit.LOOSE), Piece(name="hat")])

    assert faults_of(look.model_dump(mode="json"), schema) == ()
    assert faults_of({"pieces": [{"name": "", "fit": "wide"}]}, schema) == (
        "pieces.0.name: has 0, but minLength is 1",
        "pieces.0.fit: is none of the alternatives of anyOf",
    )
    assert for_vendors(schema)["properties"]["worn"]["anyOf"] == [
        {"type": "string", "format": "date"},
        {"type": "null"},
    ]


def test_what_vendors_get_has_no_reference_no_limit_and_one_type_at_a_time() -> None:
    sent = for_vendors(read_schema(FULL))
    text = json.dumps(sent)

    assert not [
        word
        for word in ("$ref", "$defs", '"minimum"', '"maxItems"', '"const"', "title", 'uniqueItems"')
        if word in text
    ]
    properties = sent["properties"]
    assert sent["required"] == ["name"] and sent["additionalProperties"] is False
    assert properties["name"] == {"type": "string", "description": "a name (maxLength 5, minLength 2)"}
    assert properties["kind"] == {
        "anyOf": [{"type": "string", "enum": ["coat", "hat"]}, {"type": "null", "enum": [None]}]
    }
    assert properties["size"]["anyOf"][1] == {"type": "null"}
    assert properties["flag"] == {"type": "boolean", "enum": [True]}
    assert properties["parts"]["items"]["additionalProperties"] is False


def test_faults_are_few_and_quote_nothing_of_the_answer() -> None:
    schema = read_schema(whole(a={"type": "array", "items": NAME}))
    lines = faults_of({"a": [12345] * 999}, schema)
    assert len(lines) == MAX_LINES and lines[0] == "a.0: must be string" and "12345" not in str(lines)


def test_an_answer_that_is_too_large_is_not_checked_to_its_end() -> None:
    schema = read_schema(whole(a={"type": "array", "items": {"anyOf": [*[{"enum": list(range(100))}] * 15, NAME]}}))
    assert faults_of({"a": ["x"] * 60_000}, schema)[-1] == "it is too large to be checked"


def test_the_text_of_items_that_are_compared_counts_as_work() -> None:
    schema = read_schema(whole(a={"type": "array", "items": NAME, "uniqueItems": True}))
    assert faults_of({"a": [f"{n}{'x' * 6000}" for n in range(2000)]}, schema) == ("it is too large to be checked",)
    assert faults_of({"a": ["a", "b", "a"]}, schema) == ("a: has an item twice",)
    assert faults_of({"a": ["a", "b"]}, schema) == ()
