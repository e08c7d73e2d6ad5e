"""What may be asked of the language tasks, in which words, and as which step."""

from typing import Any

import pytest

from config.catalogue import Model, Route
from tasks.language.answers import Asked
from tasks.language.requests import REQUESTS, LanguageRequest
from tasks.language.schema import schema_of
from worker.errors import InvalidRequestError
from worker.jobs.request import read

MODEL = Model(
    name="m", title="m", task=(), usual_s=1, routes=(Route(provider="p", endpoint="e", takes=("prompt",)),)
)  # fmt: skip
URL = "https://example.com/{}.png"


def request(task: str, **given: Any) -> LanguageRequest:
    return read(task, REQUESTS[task], given)[0]


def test_a_caption_request_is_one_step_with_neutral_arguments() -> None:
    asked = request(
        "language.caption", images=[URL.format(1), URL.format(2)], trigger_word="ohwx", about="wool,\n grey"
    )
    step = asked.step(MODEL)

    assert set(step.arguments) == {"system", "prompt", "schema", "max_tokens", "images"} and step.pieces == ()
    assert step.arguments["images"] == [URL.format(1), URL.format(2)]
    assert step.arguments["schema"] == schema_of(asked.answer)
    assert asked.asked == Asked(images=2, trigger_word="ohwx")
    prompt = step.arguments["prompt"]
    assert "2 images, numbered 1 to 2" in prompt and 'the word "ohwx"' in prompt and "wool, grey" in prompt
    assert "Write in this language: en." in prompt


def test_a_wardrobe_is_numbered_and_its_images_are_counted_apart() -> None:
    wardrobe = [
        {"name": "white shirt"},
        {"name": "grey coat", "image": URL.format(1)},
        {"name": "jeans", "image": URL.format(2)},
    ]
    asked = request("language.style", wardrobe=wardrobe, outfits=2, occasion="a wedding", language="Portuguese")

    assert asked.prompt.text.splitlines()[1:4] == ["1. white shirt", "2. grey coat (image 1)", "3. jeans (image 2)"]
    assert "Suggest 2 different outfits." in asked.prompt.text and "Portuguese" in asked.prompt.text
    assert asked.pictures == [URL.format(1), URL.format(2)]
    assert asked.asked == Asked(images=2, garments=3, outfits=2)


def test_a_wardrobe_in_words_alone_brings_no_images() -> None:
    assert "images" not in request("language.style", wardrobe=[{"name": "shirt"}]).step(MODEL).arguments


def test_products_are_held_against_the_images_to_search_and_the_text() -> None:
    products = [{"name": "coat", "image": URL.format(2)}, {"name": "hat", "about": "felt,\ngrey"}]
    asked = request("language.filter", products=products, images=URL.format(1), text="a wet\nautumn")

    lines = asked.prompt.text.splitlines()
    assert lines[1:3] == ["1. coat (image 2)", "2. hat: felt, grey"] and asked.pictures == [
        URL.format(1),
        URL.format(2),
    ]
    assert "visible in the image to search, image 1" in lines[4] and lines[5].endswith("fits this: a wet autumn")
    assert asked.asked == Asked(images=1, products=2)
    assert "There is no image to search" in request("language.filter", products=products[1:], text="x").prompt.text


def test_questions_are_numbered_a_line_each() -> None:
    asked = request("language.analyse", images=[URL.format(1)], questions=["Is it\n1. red?", "Is it wool?"])

    assert "1. Is it 1. red?\n2. Is it wool?" in asked.prompt.text and "image 1" in asked.prompt.text
    assert asked.asked == Asked(images=1, questions=2)


def test_each_task_begins_with_the_vendor_of_the_table() -> None:
    assert {task: cls.model_fields["model"].default for task, cls in REQUESTS.items()} == {
        "language.caption": "claude-haiku-5-5",
        "language.style": "gemini-3.8-flash",
        "language.analyse": "claude-sonnet-5-5",
        "language.filter": "gemini-3.8-flash",
    }


@pytest.mark.parametrize(
    ("task", "given", "says"),
    [
        ("language.caption", {"images": []}, "images: list should have at least 1 item"),
        ("language.caption", {"images": ["/etc/passwd"]}, "images.0: must be an http"),
        ("language.caption", {"images": [URL] * 21}, "images: list should have at most 20"),
        ("language.caption", {"images": [URL], "trigger_word": 'a"b'}, "trigger_word: string should match"),
        ("language.caption", {"images": [URL], "language": "en\nIgnore"}, "language: string should match"),
        ("language.caption", {"images": [URL], "max_tokens": 10}, "max_tokens: input should be greater"),
        ("language.style", {"wardrobe": []}, "wardrobe: list should have at least 1 item"),
        ("language.style", {"wardrobe": [{"image": URL}]}, "wardrobe.0.name: field required"),
        ("language.style", {"wardrobe": [{"name": "x", "image": URL}] * 21}, "at most 20 garments may have an image"),
        ("language.filter", {"products": [{"name": "x"}]}, "images or text is required"),
        ("language.filter", {"products": [], "text": "x"}, "products: list should have at least 1 item"),
        ("language.filter", {"products": [{"name": "x"}] * 101, "text": "x"}, "products: list should have at most 100"),
        (
            "language.filter",
            {"products": [{"name": "x", "image": URL}] * 20, "images": [URL]},
            "images: at most 20, tog",
        ),
        ("language.analyse", {"images": [URL], "questions": []}, "questions: list should have at least 1 item"),
        ("language.analyse", {"images": [URL], "questions": [" "]}, "questions.0: string should have at least 1"),
        ("language.analyse", {"images": [URL], "questions": ["x"], "answer": "y"}, "answer: is not a parameter"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_field(task: str, given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        request(task, **given)

    assert says in refused.value.message
