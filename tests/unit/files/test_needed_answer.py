"""A row keeps of an answer what it needs, and finds the same files in it."""

import json
from typing import Any

import pytest

from worker.files.needed_answer import is_inline, needed_answer, without_inline
from worker.files.pieces import pieces_of
from worker.jobs.job import Piece
from worker.jobs.status import VALUES

IMAGE, VIDEO = Piece("images", "image", "images.*", count=2), Piece("video", "video", "video")
FILE = {"url": "https://x/y.png", "content_type": "image/png", "file_name": "y.png", "width": 9, "file_size": 10**9}
JUNK = {"text": "x" * 100_000, "list": [["z"] * 1000] * 1000, "map": {str(n): {"a": n} for n in range(5000)}}


@pytest.mark.parametrize(
    ("answer", "pieces"),
    [
        ({"images": [FILE, FILE], "seed": 7, "prompt": "a"}, [IMAGE]),
        ({**JUNK, "images": [FILE, FILE]}, [IMAGE]),
        ({**JUNK, "video": {"url": "https://x/v.mp4", **JUNK}}, [VIDEO]),
        ({"images": ["https://x/1.png", "https://x/2.png"]}, [IMAGE]),
        ({"output": {"deep": [{"file": FILE}, {"file": {**FILE, "url": "https://x/z"}}]}}, [IMAGE]),
        ({"images": [FILE, FILE], "video": {"url": "https://x/v.mp4"}}, [IMAGE, VIDEO]),
    ],
    ids=["plain", "junk", "junk inside", "urls", "elsewhere", "two"],
)
def test_the_same_files_are_found_in_a_small_answer(answer: dict[str, Any], pieces: list[Piece]) -> None:
    needed = needed_answer(answer, pieces)
    assert len(json.dumps(needed)) < 20_000
    assert pieces_of(needed, pieces) == pieces_of(answer, pieces)
    assert needed.get("seed") == answer.get("seed")


@pytest.mark.parametrize(
    ("written", "seed"),
    [
        (7, 7),
        (7.0, 7),
        ("7", 7),
        (" 18446744073709551615 ", 2**64 - 1),
        (7.5, None),
        (True, None),
        ("x", None),
        ([7], None),
    ],
)
def test_a_seed_is_read_however_it_is_written(written: Any, seed: int | None) -> None:
    assert needed_answer({"images": [FILE], "seed": written}, [IMAGE]).get("seed") == seed


def test_flags_of_a_content_filter_stay() -> None:
    answer = {**JUNK, "images": [FILE, FILE], "has_nsfw_concepts": [False, True] + [False] * 9999}
    assert [file.n for file in pieces_of(needed_answer(answer, [IMAGE]), [IMAGE])] == [0]


def test_an_answer_in_words_is_its_own_result() -> None:
    assert needed_answer(JUNK, []) == JUNK


def test_a_file_inside_the_answer_does_not_stay_in_it() -> None:
    answer = needed_answer({"images": [{"url": "data:image/png;base64,AAAA", "content_type": "image/png"}]}, [IMAGE])
    assert is_inline(answer) and not is_inline(needed_answer({"images": [FILE]}, [IMAGE]))
    assert without_inline(answer) == {"images": [{"url": "data:", "content_type": "image/png"}]}


def test_checked_values_stay_beside_the_files() -> None:
    values = {"objects": [{"box": None}], "width": 9}
    answer = {**JUNK, "images": [FILE, FILE], VALUES: values}

    assert needed_answer(answer, [IMAGE], checked=True)[VALUES] == values
    assert VALUES not in needed_answer(answer, [IMAGE]), "a provider adds nothing to a result by that name"
    assert pieces_of(needed_answer(answer, [IMAGE], checked=True), [IMAGE]) == pieces_of(answer, [IMAGE])
