"""An answer is compared with what was asked, settled when it is right, and asked for once more when it is not."""

from typing import Any

import pytest

from tasks.language.answers import Analysis, Answer, Asked, Captions, Matches, Outfits
from tasks.language.checks import MAX_LINES, MAX_SHOWN, LanguageCheck, checked_answer
from tasks.language.requests import CaptionRequest
from worker.jobs.answers import AnswerFaults

repair = LanguageCheck(CaptionRequest).repair


def captions(*images: int, text: str = "a red coat") -> dict[str, Any]:
    return {"captions": [{"image": image, "text": text} for image in images]}


def outfits(*garments: list[int]) -> dict[str, Any]:
    return {"outfits": [{"title": "t", "garments": some, "reason": "r"} for some in garments]}


def analysis(*found: tuple[int, list[int]]) -> dict[str, Any]:
    findings = [{"question": q, "answer": "a", "images": i, "confidence": "high"} for q, i in found]
    return {"findings": findings, "summary": "s"}


def matches(*found: tuple[int, bool, list[int]]) -> dict[str, Any]:
    each = {"confidence": "high", "reason": "r"}
    return {"products": [{"product": n, "matches": does, "images": images, **each} for n, does, images in found]}


TWO = Asked(images=2, questions=2, garments=2, outfits=2, products=2)
WRONG: list[tuple[type[Answer], Any, str]] = [
    (Captions, captions(1), "image 2 is missing"),
    (Captions, captions(), "image 1, 2 is missing"),
    (Captions, captions(1, 2, 2), "image 2 comes more than once"),
    (Captions, captions(0, 1, 2), "captions.0.image: Input should be greater than or equal to 1"),
    (Captions, captions(1, 2, text=" "), "captions.0.text: String should have at least 1 character"),
    (Captions, {"captions": {"unexpected": 1}}, "captions: Input should be a valid list"),
    (Captions, [], "the whole: Input should be a valid dictionary or instance of Captions"),
    (Captions, None, "the whole: "),
    (Outfits, outfits(), "there is no outfit"),
    (Outfits, outfits([]), "outfits.0.garments: List should have at least 1 item"),
    (Outfits, outfits([1], [1, 3]), "outfit 2 has garment 3, but the wardrobe ends with 2"),
    (Outfits, outfits([1, 1]), "outfit 1 has a garment twice"),
    (Analysis, analysis((1, [1])), "question 2 is missing"),
    (Analysis, analysis((1, []), (2, []), (2, [])), "question 2 comes more than once"),
    (Analysis, analysis((1, [3]), (2, [])), "the answer to question 1 names image 3, but the last is 2"),
    (Analysis, {"findings": []}, "summary: Field required"),
    (Matches, matches((1, True, [1])), "product 2 is missing"),
    (Matches, matches((1, True, [1]), (2, True, [])), "product 2 matches, but none of the images to search"),
    (Matches, matches((1, True, [1]), (2, True, [3])), "product 2 matches, but none of the images to search"),
]


@pytest.mark.parametrize(("kind", "value", "says"), WRONG, ids=range(len(WRONG)))
def test_what_does_not_fit_what_was_asked_is_complained_of(kind: type[Answer], value: Any, says: str) -> None:
    faults = checked_answer(kind, {"json": value}, TWO)

    assert isinstance(faults, AnswerFaults) and says in faults.text


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Captions, captions(1, 2)),
        (Outfits, outfits([1], [2, 1])),
        (Analysis, analysis((1, [1, 2]), (2, []))),
    ],
)
def test_what_fits_is_handed_on(kind: type[Answer], value: dict[str, Any]) -> None:
    answer = checked_answer(kind, {"json": value}, TWO)

    assert isinstance(answer, kind) and answer.model_dump() == value


def test_words_in_place_of_json_are_complained_of() -> None:
    assert checked_answer(Captions, {"text": "a coat"}, TWO) == AnswerFaults(("it is not JSON",), "a coat")


def test_answers_are_put_in_the_order_of_what_was_asked() -> None:
    found = checked_answer(Captions, {"json": captions(2, 1)}, TWO)
    assert isinstance(found, Captions) and [caption.image for caption in found.captions] == [1, 2]

    told = checked_answer(Analysis, {"json": analysis((2, []), (1, []))}, TWO)
    assert isinstance(told, Analysis) and [finding.question for finding in told.findings] == [1, 2]


def test_a_caption_without_the_trigger_word_gets_it_in_front() -> None:
    value = {"captions": [{"image": 1, "text": "ohwx coat, red"}, {"image": 2, "text": "A red coat"}]}
    found = checked_answer(Captions, {"json": value}, Asked(images=2, trigger_word="ohwx"))

    assert isinstance(found, Captions)
    assert [caption.text for caption in found.captions] == ["ohwx coat, red", "ohwx, A red coat"]


def test_what_nobody_asked_for_is_left_out() -> None:
    found = checked_answer(Outfits, {"json": outfits([1], [2], [1, 2]) | {"remark": "x"}}, TWO)
    assert isinstance(found, Outfits) and [outfit.garments for outfit in found.outfits] == [[1], [2]]

    seen = checked_answer(Captions, {"json": captions(1, 2, 3)}, TWO)
    assert isinstance(seen, Captions) and [caption.image for caption in seen.captions] == [1, 2]

    sorted_out = checked_answer(Matches, {"json": matches((3, True, []), (2, True, [2, 3]), (1, False, [4]))}, TWO)
    assert isinstance(sorted_out, Matches) and sorted_out.matching == [2] and sorted_out.model_dump()["matching"] == [2]
    assert [(match.product, match.images) for match in sorted_out.products] == [(1, []), (2, [2])]

    told = checked_answer(Analysis, {"json": analysis((1, []), (2, []), (3, [9]))}, TWO)
    assert isinstance(told, Analysis) and [finding.question for finding in told.findings] == [1, 2]


def test_a_faults_is_short_and_quotes_nothing() -> None:
    faults = checked_answer(Captions, {"json": {"captions": [{"image": "secret", "text": "secret"}] * 999}}, TWO)

    assert isinstance(faults, AnswerFaults) and len(faults.lines) == MAX_LINES and "secret" not in faults.text


def test_the_repair_round_asks_the_same_and_says_what_was_wrong() -> None:
    arguments = {"system": "s", "prompt": "Write captions.", "schema": {"type": "object"}, "images": ["u"]}
    again = repair(arguments, AnswerFaults(("image 2 is missing", "x"), captions(1)))

    assert {**again, "prompt": ""} == {**arguments, "prompt": ""} and arguments["prompt"] == "Write captions."
    assert again["prompt"].startswith("Write captions.\n\nYour last answer was:\n{")
    assert "- image 2 is missing\n- x" in again["prompt"]


def test_the_repair_round_shows_no_endless_answer_and_none_where_there_was_none() -> None:
    arguments = {"prompt": "p"}

    assert len(repair(arguments, AnswerFaults(("l",), "x" * 10 * MAX_SHOWN))["prompt"]) < MAX_SHOWN + 300
    assert "Your last answer" not in repair(arguments, AnswerFaults(("it is not JSON",)))["prompt"]
