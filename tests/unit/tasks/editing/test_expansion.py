"""Expanding: the canvas that each way of asking makes of a picture, and how each endpoint is told."""

import re
from typing import Any

import pytest

from config.mapping import arguments_for
from tasks.editing.expansion import ExpandCheck, expand
from tests.unit.tasks.pictures import photo
from tests.unit.tasks.sent import refused, step_of
from worker.edge.job_task import catalogue
from worker.errors import RequestRefusedError

PHOTO = "https://example.com/photo.jpg"


def prepared(width: int = 800, height: int = 600, **fields: Any) -> Any:
    return ExpandCheck().prepare(fields, step_of(expand, image=PHOTO, **fields), {"image": photo(width, height)}).step


def told(step: Any) -> dict[str, Any]:
    return arguments_for(catalogue().find(step.model).first_route, step.arguments, {})


@pytest.mark.parametrize(
    ("fields", "canvas", "place"),
    [
        ({"sides": {"left": 100, "bottom": 50}}, [900, 650], [100, 0]),
        ({"canvas": {"width": 1000, "height": 600}}, [1000, 600], [100, 0]),
        ({"canvas": {"width": 1000, "height": 700}, "position": "right"}, [1000, 700], [200, 50]),
        ({"ratio": "16:9"}, [1067, 600], [133, 0]),
        ({"ratio": "1:1", "position": "top"}, [800, 800], [0, 0]),
        ({"ratio": "1:1", "position": "bottom"}, [800, 800], [0, 200]),
    ],
)
def test_bria_gets_the_canvas_with_size_and_place_of_the_picture(
    fields: dict[str, Any], canvas: list[int], place: list[int]
) -> None:
    step = prepared(**fields)

    assert told(step) == {
        "image_url": PHOTO,
        "canvas_size": canvas,
        "original_image_size": [800, 600],
        "original_image_location": place,
    }
    assert [step.pieces[0].width, step.pieces[0].height] == canvas


def test_flux_gets_pixels_for_each_side() -> None:
    step = prepared(model="flux-outpaint", canvas={"width": 1000, "height": 700}, position="left", output_format="png")

    assert told(step) == {
        "image_url": PHOTO,
        "expand_left": 0,
        "expand_right": 200,
        "expand_top": 50,
        "expand_bottom": 50,
        "mode": "high",
        "auto_crop": False,
        "output_format": "png",
    }


def test_a_step_that_was_prepared_before_stays_as_it_is() -> None:
    step = prepared(ratio="16:9")

    assert ExpandCheck().prepare({}, step, {"image": photo(800, 600)}).step == step


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "canvas: exactly one of canvas, ratio and sides must be given"),
        ({"ratio": "1:1", "sides": {"left": 1}}, "exactly one of canvas, ratio and sides"),
        ({"ratio": "wide"}, "ratio: string should match pattern"),
        ({"sides": {}}, "sides: one side at least must be larger than 0"),
        ({"sides": {"left": 9}, "position": "top"}, "position: cannot be used with sides"),
        ({"sides": {"left": -9}}, "sides.left: input should be greater than or equal to 0"),
        ({"ratio": "1:1", "model": "flux-outpaint", "prompt": "sea"}, "prompt: is not a parameter of flux-2-pro-outp"),
        ({"ratio": "1:1", "model": "own/outpaint"}, "model: how own/outpaint takes a canvas is not known"),
        ({"canvas": {"width": 9000, "height": 3000}}, r"canvas: is 9000x3000 pixels; allowed: 25 megapixels \(bria"),
        (
            {"canvas": {"width": 3000, "height": 900}, "model": "flux-outpaint"},
            r"canvas: is 3000x900 pixels; allowed: 2560 on a side \(flux-2-pro-outpaint\)",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_by_field(fields: dict[str, Any], words: str) -> None:
    message = refused(expand, image=PHOTO, **fields)

    assert re.search(words, message), message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"canvas": {"width": 700, "height": 900}},
            "canvas: 700x900 does not hold the image; allowed: 800x600 or more",
        ),
        ({"ratio": "4:3"}, "canvas: the image has this size already, 800x600"),
    ],
)
def test_a_canvas_that_does_not_fit_the_picture_is_refused_before_anything_is_sent(
    fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestRefusedError, match=words):
        prepared(**fields)
