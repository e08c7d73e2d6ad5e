"""Vision tasks: what each model gets, what is refused by field, and what a check of the picture adds."""

import io
import re
from typing import Any

import pytest
from PIL import Image

from tasks.vision.detection import detect, detect_faces, point
from tasks.vision.pictures import UprightPicture
from tasks.vision.segmentation import SegmentCheck, segment
from tasks.vision.words import ask, describe
from tests.unit.tasks.pictures import photo
from tests.unit.tasks.sent import refused, sent, step_of
from worker.edge.job_task import JobTask, catalogue
from worker.errors import RequestRefusedError
from worker.routing.plan import plan

PHOTO = "https://example.com/photo.jpg"
MOONDREAM = "fal-ai/moondream3-preview/"
SAM: dict[str, Any] = {
    "prompt": "",
    "apply_mask": False,
    "include_scores": True,
    "include_boxes": True,
    "output_format": "png",
}
BOX = {"x_min": 4, "y_min": 2, "x_max": 60, "y_max": 40}


@pytest.mark.parametrize(
    ("task", "fields", "endpoint", "arguments"),
    [
        (detect, {"prompt": "coat"}, MOONDREAM + "detect", {"prompt": "coat"}),
        (detect, {"prompt": "coat", "overlay": True}, MOONDREAM + "detect", {"prompt": "coat", "preview": True}),
        (detect_faces, {}, MOONDREAM + "detect", {"prompt": "face"}),
        (point, {"prompt": "button", "overlay": True}, MOONDREAM + "point", {"prompt": "button", "preview": True}),
        (
            ask,
            {"question": "Which colour?", "reasoning": False, "top_p": 0.5},
            MOONDREAM + "query",
            {"prompt": "Which colour?", "reasoning": False, "top_p": 0.5},
        ),
        (describe, {"length": "short"}, MOONDREAM + "caption", {"length": "short"}),
        (segment, {"prompt": "coat"}, "fal-ai/sam-3/image", {**SAM, "prompt": "coat"}),
        (
            segment,
            {"points": [{"x": 5, "y": 6}, {"x": 7, "y": 8, "label": 0}], "model": "sam-3.1"},
            "fal-ai/sam-3-1/image",
            {
                **SAM,
                "point_prompts": [
                    {"x": 5, "y": 6, "label": 1, "object_id": 1},
                    {"x": 7, "y": 8, "label": 0, "object_id": 1},
                ],
            },
        ),
        (
            segment,
            {"boxes": [BOX], "max_masks": 5},
            "fal-ai/sam-3/image",
            {**SAM, "box_prompts": [BOX], "max_masks": 5, "return_multiple_masks": True},
        ),
    ],
)
def test_each_model_gets_its_own_names(
    task: JobTask, fields: dict[str, Any], endpoint: str, arguments: dict[str, Any]
) -> None:
    assert sent(task, image=PHOTO, **fields) == (endpoint, {"image_url": PHOTO, **arguments})


@pytest.mark.parametrize(
    ("task", "fields", "words"),
    [
        (detect, {}, "prompt: field required"),
        (detect_faces, {"prompt": "nose"}, "prompt: "),
        (detect, {"prompt": "a", "model": "sam-3"}, "model: sam-3"),
        (segment, {}, "prompt, points or boxes: one of them"),
        (segment, {"prompt": "a", "max_masks": 33}, "max_masks: input should be less than or equal to 32"),
        (segment, {"boxes": [{**BOX, "x_max": 4}]}, "boxes.0: .*x_min must be less than x_max"),
        (segment, {"points": [{"x": -1, "y": 2}]}, "points.0.x: input should be greater than or equal to 0"),
        (segment, {"points": [{"x": 1, "y": 2, "label": 2}]}, "points.0.label: input should be 0 or 1"),
        (ask, {"question": ""}, "question: "),
        (describe, {"length": "huge"}, "length: input should be 'short', 'normal' or 'long'"),
    ],
)
def test_what_cannot_be_done_is_refused_by_field(task: JobTask, fields: dict[str, Any], words: str) -> None:
    message = refused(task, image=PHOTO, **fields)

    assert re.search(words, message), message


@pytest.mark.parametrize(("orientation", "size"), [(None, (64, 48)), (1, (64, 48)), (3, (64, 48)), (6, (48, 64))])
def test_the_picture_is_sent_upright_and_its_size_is_noted(orientation: int | None, size: tuple[int, int]) -> None:
    prepared = UprightPicture().prepare({}, step_of(detect_faces, image=PHOTO), {"image": photo(64, 48, orientation)})

    assert (prepared.step.facts["width"], prepared.step.facts["height"]) == size
    assert bool(prepared.changed) == (orientation not in {None, 1})
    if prepared.changed:
        turned = Image.open(io.BytesIO(prepared.changed["image"].data))
        assert (turned.size, turned.getexif().get(0x0112, 1)) == (size, 1)


def test_masks_of_the_pictures_size_are_promised() -> None:
    step = step_of(segment, image=PHOTO, prompt="coat", max_masks=4)
    (masks,) = SegmentCheck().prepare({}, step, {"image": photo(64, 48, 6)}).step.pieces

    assert (masks.width, masks.height, masks.count, masks.fewest) == (48, 64, 4, 0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"points": [{"x": 3, "y": 3}, {"x": 64, "y": 3}]}, r"^points\.1\.x: is 64; the upright picture has 64x48"),
        ({"boxes": [{**BOX, "y_max": 49}]}, r"^boxes\.0\.y_max: is 49; "),
    ],
)
def test_a_place_outside_the_picture_is_refused_before_anything_is_sent(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestRefusedError, match=words):
        SegmentCheck().prepare({}, step_of(segment, image=PHOTO, **fields), {"image": photo(64, 48)})


def test_only_a_detection_without_an_overlay_falls_back_on_sam() -> None:
    model = catalogue().find("moondream3-detect")
    plain, drawn = (step_of(detect_faces, image=PHOTO, overlay=overlay) for overlay in (False, True))

    assert plan(model, model.routes[1], plain).may_follow()
    assert not plan(model, model.routes[1], drawn).may_follow()
