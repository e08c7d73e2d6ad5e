"""One schema for every vendor, which lets through whatever the model does."""

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, StringConstraints, create_model

from tasks.language.answers import Analysis, Captions, Outfits
from tasks.language.schema import UnfitModelError, schema_of

ANSWERS = [Captions, Outfits, Analysis]
KNOWN = {"type", "description", "enum", "format", "anyOf", "items", "properties", "required", "additionalProperties"}


def nodes(schema: dict[str, Any]) -> list[dict[str, Any]]:
    below = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    below += [schema["items"]] if "items" in schema else []
    return [schema, *(node for part in below for node in nodes(part))]


@pytest.mark.parametrize("model", ANSWERS)
def test_the_schema_of_an_answer_has_only_what_every_vendor_takes(model: type[BaseModel]) -> None:
    for node in nodes(schema_of(model)):
        assert node.keys() <= KNOWN
        if node.get("type") == "object":
            assert node["additionalProperties"] is False and node["required"] == list(node["properties"])


@pytest.mark.parametrize("model", ANSWERS)
def test_every_field_of_an_answer_is_described(model: type[BaseModel]) -> None:
    for node in nodes(schema_of(model)):
        assert [name for name, part in node.get("properties", {}).items() if not part.get("description")] == []


def test_a_field_may_have_the_name_of_a_keyword() -> None:
    class Odd(BaseModel):
        title: str
        default: int = Field(3, ge=1, le=9)
        format: Literal["a"]

    assert schema_of(Odd) == {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "default": {"type": "integer"},
            "format": {"type": "string", "enum": ["a"]},
        },
        "required": ["title", "default", "format"],
        "additionalProperties": False,
    }


class Tree(BaseModel):
    branches: list["Tree"]


class Left(BaseModel):
    kind: Literal["left"]


class Right(BaseModel):
    kind: Literal["right"]


@pytest.mark.parametrize(
    "model",
    [
        Tree,
        create_model("Open", facts=(dict[str, str], ...)),
        create_model("Anything", value=(Any, ...)),
        create_model("Pair", value=(tuple[int, str], ...)),
        create_model("Either", value=(Annotated[Left | Right, Field(discriminator="kind")], ...)),
        create_model("Nothing"),
    ],
    ids=lambda model: model.__name__,
)
def test_what_no_vendor_takes_is_refused(model: type[BaseModel]) -> None:
    with pytest.raises(UnfitModelError):
        schema_of(model)


LEAVES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, st.text()),
    (Annotated[str, StringConstraints(min_length=2, max_length=5)], st.text(min_size=2, max_size=5)),
    (Annotated[int, Field(ge=1, le=9, multiple_of=1)], st.integers(1, 9)),
    (Annotated[float, Field(gt=0, lt=1)], st.floats(0.01, 0.99)),
    (bool, st.booleans()),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (Literal["only"], st.just("only")),
    (str | None, st.none() | st.text()),
]


def _lists(pair: tuple[Any, st.SearchStrategy[Any]]) -> tuple[Any, st.SearchStrategy[Any]]:
    kind, values = pair
    return Annotated[list[kind], Field(min_length=1, max_length=3)], st.lists(values, min_size=1, max_size=3)


def _object(fields: list[tuple[Any, st.SearchStrategy[Any]]]) -> tuple[Any, st.SearchStrategy[Any]]:
    names = [f"f{number}" for number in range(len(fields))]
    model = create_model(
        "Some", **{n: (kind, Field(description="d")) for n, (kind, _) in zip(names, fields, strict=True)}
    )
    return model, st.fixed_dictionaries({n: values for n, (_, values) in zip(names, fields, strict=True)})


KINDS = st.recursive(
    st.sampled_from(LEAVES),
    lambda kinds: kinds.map(_lists) | st.lists(kinds, min_size=1, max_size=3).map(_object),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(KINDS, min_size=1, max_size=3).map(_object), st.data())
def test_what_a_model_takes_its_schema_takes(
    pair: tuple[type[BaseModel], st.SearchStrategy[Any]], data: st.DataObject
) -> None:
    model, values = pair
    value = data.draw(values)
    schema = schema_of(model)

    model.model_validate(value)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(value)
    assert all(node.keys() <= KNOWN for node in nodes(schema))
