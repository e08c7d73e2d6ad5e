"""Invalid inputs get fal's 422: one entry for each field, with pydantic's messages."""

from typing import Any

import pytest

SCHNELL = "fal-ai/flux/schnell"
GOOD = {"prompt": "a fox"}


@pytest.mark.parametrize(
    ("change", "field", "kind"),
    [
        ({"prompt": None}, "prompt", "string_type"),
        ({"prompt": 3}, "prompt", "string_type"),
        ({"image_size": "huge"}, "image_size", "literal_error"),
        ({"image_size": 512}, "image_size", "literal_error"),
        ({"num_images": 0}, "num_images", "greater_than_equal"),
        ({"num_images": 5}, "num_images", "less_than_equal"),
        ({"num_images": "x"}, "num_images", "int_parsing"),
        ({"num_images": 1.5}, "num_images", "int_from_float"),
        ({"num_images": []}, "num_images", "int_type"),
        ({"num_images": None}, "num_images", "int_type"),
        ({"guidance_scale": 0.5}, "guidance_scale", "greater_than_equal"),
        ({"guidance_scale": "x"}, "guidance_scale", "float_parsing"),
        ({"guidance_scale": {}}, "guidance_scale", "float_type"),
        ({"num_inference_steps": 13}, "num_inference_steps", "less_than_equal"),
        ({"enable_safety_checker": "maybe"}, "enable_safety_checker", "bool_parsing"),
        ({"enable_safety_checker": 7}, "enable_safety_checker", "bool_type"),
        ({"output_format": "tiff"}, "output_format", "literal_error"),
    ],
)
def test_a_bad_value_names_its_field(twin: Any, change: dict[str, Any], field: str, kind: str) -> None:
    (entry,) = twin.refused(SCHNELL, GOOD | change)
    assert (entry["loc"], entry["type"], entry["input"]) == (["body", field], kind, change[field])
    assert entry["msg"] and entry["url"].endswith(kind)


def test_a_missing_field_is_named(twin: Any) -> None:
    (entry,) = twin.refused(SCHNELL, {})
    assert (entry["loc"], entry["type"], entry["msg"]) == (["body", "prompt"], "missing", "Field required")


def test_ranges_tell_their_limit(twin: Any) -> None:
    (entry,) = twin.refused(SCHNELL, GOOD | {"num_images": 9})
    assert entry["ctx"] == {"le": 4} and entry["msg"] == "Input should be less than or equal to 4"
    assert entry["url"] == "https://docs.fal.ai/errors/#less_than_equal"


@pytest.mark.parametrize(
    ("size", "field", "kind"),
    [
        ({"width": 0, "height": 512}, "width", "greater_than"),
        ({"width": 512, "height": 14143}, "height", "less_than_equal"),
        ({"width": "wide", "height": 512}, "width", "int_parsing"),
    ],
)
def test_explicit_sizes_have_limits(twin: Any, size: dict[str, Any], field: str, kind: str) -> None:
    (entry,) = twin.refused(SCHNELL, GOOD | {"image_size": size})
    assert (entry["loc"], entry["type"]) == (["body", "image_size", field], kind)


def test_lists_of_objects_are_checked_entry_by_entry(twin: Any) -> None:
    loras = [{"path": "a/b"}, {"scale": "heavy"}, 3]
    entries = twin.refused("fal-ai/flux-lora", GOOD | {"loras": loras})
    assert [(entry["loc"], entry["type"]) for entry in entries] == [
        (["body", "loras", 1, "path"], "missing"),
        (["body", "loras", 1, "scale"], "float_parsing"),
        (["body", "loras", 2], "model_attributes_type"),
    ]
    (entry,) = twin.refused("fal-ai/flux-lora", GOOD | {"loras": "a/b"})
    assert entry["type"] == "list_type"


def test_every_fault_of_an_input_is_listed(twin: Any) -> None:
    entries = twin.refused(SCHNELL, {"num_images": 0, "image_size": "huge", "guidance_scale": 99})
    assert {entry["loc"][1] for entry in entries} == {"prompt", "num_images", "image_size", "guidance_scale"}


@pytest.mark.parametrize(
    "change",
    [{"seed": None}, {"num_images": "2"}, {"guidance_scale": 3}, {"extra": 1}, {"enable_safety_checker": "true"}],
)
def test_what_fal_takes_is_taken(twin: Any, change: dict[str, Any]) -> None:
    assert twin.make(SCHNELL, GOOD | change)["images"]


def test_the_refusal_reaches_the_record_and_costs_nothing(twin: Any) -> None:
    twin.refused(SCHNELL, {})
    (record,) = twin.requests()
    assert (record["state"], record["http_status"], record["billed"]) == ("COMPLETED", 422, {"units": 0.0, "usd": 0.0})
    assert record["error_type"] is None


def test_a_free_ratio_is_taken_where_the_schema_says_so(twin: Any) -> None:
    image = twin.make("fal-ai/flux-pro/v1.1-ultra", GOOD | {"aspect_ratio": "5:4"})["images"][0]
    assert image["width"] / image["height"] == pytest.approx(1.25, rel=0.02)
