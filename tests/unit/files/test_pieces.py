"""Where the promised files are looked for in a provider's answer."""

from typing import Any

import pytest

from worker.errors import BrokenPieceError, ContentRefusedError
from worker.files.needed_answer import needed_answer
from worker.files.pieces import find_pieces, pieces_of
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


def test_more_than_promised_is_taken_too_since_it_is_paid() -> None:
    assert len(pieces_of({"images": [image(n) for n in range(4)]}, [IMAGES])) == 4


def test_pictures_under_names_of_their_own_are_all_found() -> None:
    names = ["front", "back", "left", "right", "top", "bottom"]
    answer = {f"{name}_image": image(n) for n, name in enumerate(names)}
    assert urls(answer, IMAGES) == [f"https://cdn/{n}.png" for n in range(6)]
    assert urls({name: file["url"] for name, file in answer.items()}, IMAGES) == [
        f"https://cdn/{n}.png" for n in range(6)
    ]


def test_files_that_a_result_has_no_place_for_are_named() -> None:
    found = find_pieces({"video": [{"url": "https://cdn/v.mp4"}, {"url": "https://cdn/w.mp4"}]}, [VIDEO])
    assert [file.url for file in found.files] == ["https://cdn/v.mp4"]
    assert [error.message for error in found.missing] == ["video: the answer holds 1 more, which were not stored"]


@pytest.mark.parametrize(
    "answer",
    [
        {"output": "https://cdn/out.png"},
        {"output": "HTTPS://cdn/out.png"},
        {"result": {"image": "https://cdn/out"}, "docs": None},
        {"output": ["https://cdn/out"]},
        {"image": {"url": "https://cdn/out"}, "about": "https://fal.ai/models"},
        {"output": "DATA:image/png;base64,AA=="},
    ],
)
def test_an_output_that_is_a_bare_url_or_says_no_type_is_found(answer: dict[str, Any]) -> None:
    assert len(urls(answer, Piece("images", "image", "images.*"))) == 1


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


def test_fewer_pictures_than_promised_are_kept_and_the_result_says_so() -> None:
    found = find_pieces({"images": [image(0)], "error": {"message": "one worker\n died"}}, [IMAGES])
    assert [file.url for file in found.files] == ["https://cdn/0.png"]
    (error,) = found.missing
    assert error.message == "images: promised 2, the answer holds 1; it says: one worker died"


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ({"error": "Out of memory on the GPU"}, BrokenPieceError, "it says: Out of memory on the GPU"),
        ({"images": [], "detail": [{"loc": ["body"], "msg": "bad seed"}]}, BrokenPieceError, "it says: bad seed"),
        ({"result": {"message": "no face found"}}, BrokenPieceError, "it says: no face found"),
        ({"error": "NSFW content detected"}, ContentRefusedError, "it says: NSFW content detected"),
        ({"detail": [{"msg": "no", "type": "content_policy_violation"}]}, ContentRefusedError, "content_policy"),
    ],
)
def test_an_error_inside_a_good_answer_is_quoted(answer: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said) as caught:
        pieces_of(needed_answer(answer, [IMAGES]), [IMAGES])
    assert type(caught.value) is error


@pytest.mark.parametrize(("flags", "kept"), [([False, True], 0), ([True, False], 1)])
def test_one_flagged_picture_does_not_lose_the_others(flags: Any, kept: int) -> None:
    answer = needed_answer({"images": [image(0), image(1)], "has_nsfw_concepts": flags}, [IMAGES])
    found = find_pieces(answer, [IMAGES])
    assert [(file.n, file.url) for file in found.files] == [(kept, f"https://cdn/{kept}.png")]
    (error,) = found.missing
    assert isinstance(error, ContentRefusedError) and error.message.startswith(f"images.{1 - kept}: blackened by")


def test_a_place_without_a_picture_keeps_the_numbers_of_the_flags() -> None:
    images = [image(0), {"url": None}, image(2), image(3)]
    answer = needed_answer({"images": images, "has_nsfw_concepts": [False, True, True, False]}, [IMAGES])
    assert [file.n for file in pieces_of(answer, [IMAGES])] == [0, 3]


@pytest.mark.parametrize("flags", [True, [True]])
def test_one_flag_for_several_pictures_leaves_it_to_their_pixels(flags: Any) -> None:
    answer = needed_answer({"images": [image(0), image(1)], "has_nsfw_concepts": flags}, [IMAGES])
    assert [file.suspected for file in pieces_of(answer, [IMAGES])] == [True, True]


@pytest.mark.parametrize("flags", [True, [True]])
def test_a_picture_that_the_provider_flags_is_refused(flags: Any) -> None:
    with pytest.raises(ContentRefusedError, match="content filter blackened 1 of 1"):
        pieces_of({"images": [image(0)], "has_nsfw_concepts": flags}, [Piece("images", "image", "images.*")])


def test_flags_of_pictures_that_were_left_out_name_no_other() -> None:
    answer = {"images": [image(n) for n in range(3)], "has_nsfw_concepts": [True, False, False, False]}
    assert [file.n for file in pieces_of(answer, [IMAGES])] == [0, 1, 2]


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
