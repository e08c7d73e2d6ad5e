"""Where the promised files are looked for in a provider's answer."""

from typing import Any

import pytest

from worker.errors import BrokenPieceError, ContentRefusedError
from worker.files.pieces import pieces_of
from worker.jobs.job import Piece

IMAGES = Piece("images", "image", "images.*", count=2)
VIDEO = Piece("video", "video", "video")
WEIGHTS = Piece("weights", "weights", "diffusers_lora_file")
CONFIG = Piece("config", "json", "config_file")


def image(n: int) -> dict[str, Any]:
    return {"url": f"https://cdn/{n}.png", "content_type": "image/png", "width": 8, "height": 8}


def urls(answer: dict[str, Any], *pieces: Piece) -> list[str]:
    return [found.url for found in pieces_of(answer, pieces)]


def test_each_of_a_list_is_found_in_order_with_its_number() -> None:
    found = pieces_of({"images": [image(0), image(1)]}, [IMAGES])
    assert [(one.n, one.url, one.label) for one in found] == [
        (0, "https://cdn/0.png", "images.0"),
        (1, "https://cdn/1.png", "images.1"),
    ]


def test_several_pieces_come_in_the_order_of_promise() -> None:
    answer = {"config_file": {"url": "https://cdn/c.json"}, "diffusers_lora_file": {"url": "https://cdn/w.safetensors"}}
    assert urls(answer, WEIGHTS, CONFIG) == ["https://cdn/w.safetensors", "https://cdn/c.json"]


def test_a_bare_url_counts_as_a_file() -> None:
    assert urls({"video": "https://cdn/v.mp4"}, VIDEO) == ["https://cdn/v.mp4"]
    assert urls({"images": ["https://cdn/0.png", "data:image/png;base64,AA=="]}, IMAGES)[1].startswith("data:")


def test_a_list_where_one_file_is_promised_gives_its_first() -> None:
    assert urls({"video": [{"url": "https://cdn/v.mp4"}]}, VIDEO) == ["https://cdn/v.mp4"]


def test_more_than_promised_is_not_taken() -> None:
    assert len(pieces_of({"images": [image(n) for n in range(4)]}, [IMAGES])) == 2


def test_a_file_in_an_unexpected_place_is_found_by_its_kind() -> None:
    answer = {
        "timings": {},
        "outputs": {"12": {"pictures": [image(0), image(1)], "preview": {"url": "https://cdn/p.mp4"}}},
    }
    assert urls(answer, IMAGES) == ["https://cdn/0.png", "https://cdn/1.png"]
    assert urls(answer, VIDEO) == ["https://cdn/p.mp4"]


def test_a_file_taken_for_one_piece_is_not_taken_for_another() -> None:
    anything = Piece("rest", "file", "nowhere")
    answer = {"video": {"url": "https://cdn/v.mp4"}, "archive": {"url": "https://cdn/z.zip"}}
    assert urls(answer, VIDEO, anything) == ["https://cdn/v.mp4", "https://cdn/z.zip"]


def test_an_ending_announces_the_kind_when_the_content_type_does_not() -> None:
    file = {"url": "https://cdn/x?sig=a.png", "file_name": "w.safetensors", "content_type": "application/octet-stream"}
    assert urls({"lora": file}, WEIGHTS) == ["https://cdn/x?sig=a.png"]


@pytest.mark.parametrize(
    ("answer", "held"),
    [
        ({"images": [image(0)]}, 1),
        ({"images": []}, 0),
        ({}, 0),
        ({"images": None}, 0),
        ({"images": [{"url": None}, {"url": ""}]}, 0),
        ({"images": {"url": 5}}, 0),
        ({"video": {"url": "https://cdn/v.mp4"}}, 0),
    ],
)
def test_fewer_than_promised_says_how_many_of_how_many(answer: dict[str, Any], held: int) -> None:
    with pytest.raises(BrokenPieceError, match=f"images: promised 2, the answer holds {held}"):
        pieces_of(answer, [IMAGES])


@pytest.mark.parametrize("flags", [[False, True], [True, False], True])
def test_a_picture_that_the_provider_flags_is_refused(flags: Any) -> None:
    with pytest.raises(ContentRefusedError, match="content filter blackened 1 of 2"):
        pieces_of({"images": [image(0), image(1)], "has_nsfw_concepts": flags}, [IMAGES])


def test_a_flag_counts_even_when_the_picture_was_left_out() -> None:
    with pytest.raises(ContentRefusedError, match="blackened 2 of 2"):
        pieces_of({"result": {"images": [], "has_nsfw_concepts": [True, True]}}, [IMAGES])


@pytest.mark.parametrize("flags", [[False, False], [], None, [None, None], ["no", 1], False])
def test_anything_but_true_is_no_flag(flags: Any) -> None:
    assert len(pieces_of({"images": [image(0), image(1)], "has_nsfw_concepts": flags}, [IMAGES])) == 2


def test_a_very_deep_answer_ends_the_search() -> None:
    answer: dict[str, Any] = {"images": []}
    for _ in range(900):
        answer = {"a": answer, "b": [answer]}
    with pytest.raises(BrokenPieceError):
        pieces_of(answer, [IMAGES])


@pytest.mark.parametrize(("masks", "found"), [([], 0), (None, 0), ([{"url": "https://x/1.png"}], 1)])
def test_a_list_that_may_be_empty_is_not_filled_with_other_files(masks: Any, found: int) -> None:
    piece = Piece("masks", "image", "masks.*", count=3, fewest=0)
    answer = {"masks": masks, "image": {"url": "https://x/preview.png"}}

    assert len(pieces_of(answer, [piece])) == found
