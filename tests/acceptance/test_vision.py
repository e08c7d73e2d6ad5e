"""Vision tasks through a real worker and the twin: masks that decode, places in pixels of the upright picture, words."""

import base64
import io

from celery import chain
from PIL import Image

from tasks.vision.detection import detect, detect_faces, point
from tasks.vision.segmentation import segment
from tasks.vision.words import ask, describe
from tests.acceptance.conftest import HTTP, Twin
from tests.unit.tasks.pictures import photo
from worker.cli.processes.stack import Stack

TURNED = "data:image/jpeg;base64," + base64.b64encode(photo(160, 120, orientation=6).data).decode()
SIZE = (120, 160)


def test_a_garment_is_segmented_by_words(stack: Stack, twin: Twin) -> None:
    result = segment.delay(image=TURNED, prompt="coat", max_masks=3).get(timeout=120)

    assert len(result["masks"]) == len(result["objects"]) == 3
    for file in result["masks"]:
        mask = Image.open(io.BytesIO(HTTP.get(file["url"]).raise_for_status().content))
        assert (mask.size, mask.format) == (SIZE, "PNG")
        assert mask.convert("L").getextrema() == (0, 255)
    assert result["objects"][0]["box"] == {"x_min": 36, "y_min": 48, "x_max": 84, "y_max": 112}
    assert result["cost"]["usd"] == 0.005
    assert next(iter(twin.requests()))["input"]["return_multiple_masks"] is True


def test_the_boxes_of_a_detection_become_masks_in_a_chain(stack: Stack, twin: Twin) -> None:
    found = detect.s(image=TURNED, prompt="coat", overlay=True)
    last = chain(found, segment.s(image=TURNED)).apply_async()

    masks, seen = last.get(timeout=120), last.parent.get()

    assert (seen["width"], seen["height"]) == SIZE
    assert seen["overlay"]["content_type"].startswith("image/")
    boxes = [each["box"] for each in seen["objects"]]
    assert boxes and all(0 <= box["x_min"] < box["x_max"] <= 120 and box["y_max"] <= 160 for box in boxes)
    sent = twin.requests("fal-ai/sam-3/image")[0]["input"]
    assert (sent["prompt"], sent["box_prompts"]) == ("", boxes)
    assert (masks["masks"][0]["width"], masks["masks"][0]["height"]) == SIZE


def test_faces_points_and_words(stack: Stack) -> None:
    jobs = [
        detect_faces.delay(image=TURNED),
        point.delay(image=TURNED, prompt="button"),
        ask.delay(image=TURNED, question="Which colour?"),
        describe.delay(image=TURNED, length="short"),
    ]
    faces, points, answered, described = (job.get(timeout=120) for job in jobs)

    assert faces["objects"] and "overlay" not in faces
    assert points["points"][0]["point"].keys() == {"x", "y"}
    assert "Which colour?" in answered["answer"]
    assert described["description"]


def test_a_detection_falls_back_on_sam_and_says_so(stack: Stack, twin: Twin) -> None:
    twin.script(endpoint="fal-ai/moondream3-preview/detect", what="error", status=500, times=-1)

    result = detect_faces.delay(image=TURNED).get(timeout=120)

    assert result["provenance"]["model"] == "fal-ai/sam-3/image"
    assert result["provenance"]["equivalence"] == "close"
    assert result["objects"][0]["score"] is not None


def test_a_place_outside_the_picture_is_refused_and_nothing_is_sent(stack: Stack, twin: Twin) -> None:
    job = segment.delay(image=TURNED, points=[{"x": 130, "y": 5}])

    error = job.get(timeout=120, propagate=False)

    assert "points.0.x: is 130; the upright picture has 120x160 pixels" in str(error)
    assert twin.requests() == []


def test_the_masks_of_a_segmentation_are_drawn_on_the_picture(stack: Stack, twin: Twin) -> None:
    result = segment.delay(image=TURNED, prompt="coat", max_masks=2, overlay=True).get(timeout=120)

    assert len(result["masks"]) == len(result["objects"]) == 2
    assert (result["overlay"]["width"], result["overlay"]["height"]) == SIZE
    assert (result["width"], result["height"]) == SIZE and result["total_cost"]["usd"] == 0.005
    assert twin.count == 1
