"""Answers of vision models: values of the result, or faults."""

from typing import Any

import pytest

from tasks.vision.detection import DetectionCheck, PointCheck
from tasks.vision.segmentation import MaskCheck
from tasks.vision.words import WordsCheck
from worker.jobs.answers import AnswerCheck, AnswerFaults
from worker.jobs.status import VALUES

SIZE = {"width": 100, "height": 50}
EDGES = {"x_min": 0.1, "y_min": 0.2, "x_max": 0.5, "y_max": 0.6}
PIXELS = {"x_min": 10, "y_min": 10, "x_max": 50, "y_max": 30}
FOUND = {"box": PIXELS, "normalised": EDGES, "score": None}
MASK = {"url": "https://x/mask.png"}
OVERLAY = {"url": "https://x/overlay.png"}


def values(check: AnswerCheck, output: dict[str, Any], **request: Any) -> Any:
    answer = check.check(request, output, SIZE)
    assert not isinstance(answer, AnswerFaults), answer.text
    return answer[VALUES]


def test_objects_come_with_the_size_of_the_picture() -> None:
    assert values(DetectionCheck(), {"objects": [EDGES]}) == {"objects": [FOUND], **SIZE}
    assert values(DetectionCheck(), {"objects": []}) == {"objects": [], **SIZE}


def test_boxes_of_the_fallback_are_read_too() -> None:
    found = values(DetectionCheck(), {"masks": [MASK], "boxes": [[0.3, 0.4, 0.4, 0.4]], "scores": [0.75]})

    assert found["objects"] == [{**FOUND, "score": 0.75}]


def test_an_overlay_stays_in_the_answer() -> None:
    answer = DetectionCheck().check({}, {"objects": [EDGES], "image": OVERLAY, "usage_info": {}}, SIZE)

    assert not isinstance(answer, AnswerFaults) and answer.keys() == {"image", VALUES}


def test_points() -> None:
    assert values(PointCheck(), {"points": [{"x": 0.5, "y": 0.5}]})["points"] == [
        {"point": {"x": 50, "y": 25}, "normalised": {"x": 0.5, "y": 0.5}}
    ]


def test_each_mask_has_its_object() -> None:
    output = {"masks": [MASK, MASK, MASK], "boxes": [[0.3, 0.4, 0.4, 0.4]], "scores": [0.5, 0.25]}
    answer = MaskCheck().check({"max_masks": 2}, output, SIZE)

    assert not isinstance(answer, AnswerFaults)
    assert answer["masks"] == [MASK, MASK]
    assert answer[VALUES] == {"objects": [{**FOUND, "score": 0.5}, None], **SIZE}


@pytest.mark.parametrize("output", [{"masks": []}, {}, {"masks": [], "boxes": None, "scores": None}])
def test_nothing_found_is_an_answer(output: dict[str, Any]) -> None:
    assert values(MaskCheck(), output) == {"objects": [], **SIZE}


def test_words_with_thoughts() -> None:
    assert values(WordsCheck("answer"), {"output": " blue ", "reasoning": "the sky"}) == {
        "answer": "blue",
        "reasoning": "the sky",
    }
    assert values(WordsCheck("description"), {"output": "a coat"}) == {"description": "a coat"}


@pytest.mark.parametrize(
    ("check", "output", "words"),
    [
        (DetectionCheck(), {"objects": {"a": 1}}, "objects is not a list"),
        (DetectionCheck(), {}, "boxes is not a list"),
        (DetectionCheck(), {"objects": [{**EDGES, "x_max": 90}]}, "between 0 and 1"),
        (DetectionCheck(), {"objects": [EDGES] * 501}, "501 entries"),
        (PointCheck(), {"points": [[1, 2]]}, "not an object"),
        (MaskCheck(), {"masks": {"url": "x"}}, "masks is not a list"),
        (MaskCheck(), {"masks": [MASK], "boxes": [[1, 2]]}, "four numbers"),
        (WordsCheck("answer"), {"output": " "}, "no text"),
        (WordsCheck("answer"), {"output": None}, "no text"),
    ],
)
def test_an_answer_that_cannot_be_used(check: AnswerCheck, output: dict[str, Any], words: str) -> None:
    faults = check.check({}, output, SIZE)

    assert isinstance(faults, AnswerFaults) and words in faults.text
    assert check.repair({"prompt": "coat"}, faults) == {"prompt": "coat"}
