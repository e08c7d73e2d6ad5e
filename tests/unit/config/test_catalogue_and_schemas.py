"""Every shipped route agrees with the endpoint's published input schema (twin/fal_models.json, twin/fal_schemas)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.canvas import KEYS, canvas_arguments
from config.catalogue import Limit, Model, Route, Spelling, load_catalogue

TWIN = Path(__file__).parents[3] / "twin"
SCHEMAS: dict[str, Any] = {
    endpoint: schema
    for path in (TWIN / "fal_models.json", *(TWIN / "fal_schemas").glob("*.json"))
    for endpoint, schema in json.loads(path.read_text(encoding="utf-8"))["models"].items()
}

ROUTES = [(model, route) for model in load_catalogue().models for route in model.routes if route.provider == "fal"]

# The published schema has no range; fal.md's table does.
# The numbers of reference pictures are those of Google's and ByteDance's own documentation.
RANGES_FROM_ELSEWHERE = {
    ("flux-lora-training", "steps"),
    ("elevenlabs-turbo-v2.5", "speed"),
    ("veo-3.1-reference", "images"),
    ("seedance-2.0-reference", "images"),
}


def schema_of(route: Route) -> dict[str, Any]:
    """The fields; those of an object also as `voice_setting.speed`."""
    fields: dict[str, Any] = SCHEMAS[route.endpoint]["input"]
    objects = SCHEMAS[route.endpoint].get("defs", {})
    inner = {
        f"{name}.{key}": each
        for name, field in fields.items()
        for key, each in objects.get(field.get("ref"), {}).items()
    }
    return {**inner, **fields}


def targets(route: Route) -> Iterator[tuple[str, str]]:
    """Our parameter and the endpoint's field it becomes."""
    for ours in route.takes:
        if ours == "image_size" and route.shape:
            yield from ((ours, theirs) for theirs in route.shape.split("+"))
        elif ours == "canvas" and route.canvas:
            yield from ((ours, theirs) for theirs in canvas_arguments(route.canvas, dict.fromkeys(KEYS, 1)))
        else:
            yield ours, (route.write[ours].to or ours) if ours in route.write else ours


def limit_of(model: Model, route: Route, ours: str) -> Limit | None:
    """What a value of the parameter may be when it reaches the route."""
    return route.limits.get(ours) or model.limits.get(ours)


def written_by(route: Route, ours: str, limit: Limit | None) -> list[Any]:
    """The endpoint's words for every choice."""
    spelling = route.write.get(ours, Spelling())
    choices = (limit.one_of if limit else None) or ()
    return [spelling.values.get(str(value), spelling.text(value) if spelling.template else value) for value in choices]


def reaching(model: Model, route: Route) -> list[tuple[str, str]]:
    """The targets that a request can reach: a fallback gets only what the model takes."""
    return [(ours, theirs) for ours, theirs in targets(route) if model.takes(ours)]


def test_the_endpoint_is_not_retired(subtests: pytest.Subtests) -> None:
    for model, route in ROUTES:
        with subtests.test(model=model.name):
            assert SCHEMAS[route.endpoint]["status"] == "active"


def test_every_parameter_becomes_a_field_that_the_endpoint_has(subtests: pytest.Subtests) -> None:
    for model, route in ROUTES:
        with subtests.test(model=model.name):
            assert {theirs for _, theirs in targets(route)} <= set(schema_of(route))
            assert {*route.sends, *route.sets} <= set(schema_of(route))


def test_every_required_field_can_be_given(subtests: pytest.Subtests) -> None:
    for model, route in ROUTES:
        with subtests.test(model=model.name):
            required = {name for name, field in SCHEMAS[route.endpoint]["input"].items() if field.get("required")}

            assert required <= {theirs.partition(".")[0] for _, theirs in targets(route)} | set(route.sends)


def test_limits_are_the_schemas(subtests: pytest.Subtests) -> None:
    for model, route in ROUTES:
        with subtests.test(model=model.name):
            for ours, theirs in reaching(model, route):
                field, limit = schema_of(route)[theirs], limit_of(model, route, ours)
                if "min" in field or "max" in field:
                    assert limit and (limit.min, limit.max) == (field.get("min"), field.get("max")), ours
                elif limit and (limit.min, limit.max) != (None, None) and not route.equivalence:
                    assert (model.name, ours) in RANGES_FROM_ELSEWHERE


def test_choices_are_the_schemas(subtests: pytest.Subtests) -> None:
    for model, route in ROUTES:
        with subtests.test(model=model.name):
            for ours, theirs in reaching(model, route):
                choices, limit = schema_of(route)[theirs].get("enum"), limit_of(model, route, ours)
                if choices is None or ours == "image_size":
                    continue
                words = set(written_by(route, ours, limit))
                may_be = set(choices) - {"auto"}
                assert words and (words <= set(choices) if route.equivalence else may_be <= words <= set(choices)), ours


def test_shapes_are_the_schemas(subtests: pytest.Subtests) -> None:
    for model, route in ROUTES:
        with subtests.test(model=model.name):
            if route.shape:
                assert set(route.ratios) == set(schema_of(route)["aspect_ratio"]["enum"]) - {"auto"}
            if route.resolutions:
                assert list(route.resolutions) == schema_of(route)["resolution"]["enum"]
