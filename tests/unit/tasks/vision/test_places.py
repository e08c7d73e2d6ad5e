"""Places in answers: in pixels of the upright picture, normalised, or refused."""

from typing import Any

import pytest

from tasks.vision.places import object_around, object_at, point_at

SIZE = {"width": 640, "height": 480}
WHOLE = {"x_min": 0, "y_min": 0, "x_max": 1, "y_max": 1}


def test_a_box_comes_in_shares_and_in_pixels_that_contain_it() -> None:
    found = object_at({"x_min": 0.1001, "y_min": 0.25, "x_max": 0.5001, "y_max": 0.75}, SIZE)

    assert found.box is not None and found.normalised.x_min == 0.1001
    assert (found.box.x_min, found.box.y_min, found.box.x_max, found.box.y_max) == (64, 120, 321, 360)


def test_a_box_around_a_centre_is_the_same_box() -> None:
    assert object_around([0.5, 0.5, 0.5, 0.25], SIZE, 0.9) == object_at(
        {"x_min": 0.25, "y_min": 0.375, "x_max": 0.75, "y_max": 0.625}, SIZE, 0.9
    )


def test_what_is_a_little_outside_counts_as_the_edge() -> None:
    found = object_at({"x_min": -0.01, "y_min": 0, "x_max": 1.015, "y_max": 1}, SIZE)

    assert found.box is not None and (found.box.x_min, found.box.x_max) == (0, 640)


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ({**WHOLE, "x_max": 320}, "between 0 and 1"),
        ({**WHOLE, "x_min": "0.1"}, "not a number"),
        ({**WHOLE, "x_min": float("nan")}, "not a number"),
        ({**WHOLE, "x_min": True}, "not a number"),
        ({**WHOLE, "y_min": 0.9, "y_max": 0.1}, "ends before it begins"),
        ({"x_min": 0}, "not a number"),
        ([0, 0, 1, 1], "not an object"),
    ],
)
def test_a_bad_box_is_refused(edges: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        object_at(edges, SIZE)


@pytest.mark.parametrize("centre", [[0.5, 0.5, 0.1], None, ["a", 0, 0, 0], {"x": 1}])
def test_a_bad_centre_is_refused(centre: Any) -> None:
    with pytest.raises(ValueError, match="four numbers"):
        object_around(centre, SIZE)


def test_a_point_is_inside_the_picture() -> None:
    found = point_at({"x": 1, "y": 0.5}, SIZE)

    assert found.point is not None and (found.point.x, found.point.y) == (639, 240)


def test_without_the_size_places_are_normalised_only() -> None:
    assert object_at(WHOLE, {}).box is None
    assert point_at({"x": 0.5, "y": 0.5}, {}).point is None


@pytest.mark.parametrize(("score", "kept"), [(0.5, 0.5), (2, None), ("high", None), (None, None)])
def test_a_score_is_kept_if_it_is_one(score: Any, kept: float | None) -> None:
    assert object_at(WHOLE, SIZE, score).score == kept
