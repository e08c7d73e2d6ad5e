"""Trainings: what each trainer gets, what is refused by field, and which requests take steps."""

from typing import Any

import pytest

from config.mapping import arguments_for
from tasks.training import TrainLora, lora
from tasks.training.captions import given_captions, name_of, with_trigger
from tasks.training.lora import train_in_steps
from worker.edge.job_task import catalogue
from worker.errors import InvalidRequestError

ZIP = "https://example.com/mugs.zip"
MUGS = [f"https://example.com/{n}.jpg" for n in range(4)]


def sent(**given: Any) -> dict[str, Any]:
    _, _, step = lora._read({"images_data_url": ZIP, **given})
    return dict(arguments_for(catalogue().find(step.model).first_route, step.arguments, step.extra))


@pytest.mark.parametrize(
    ("given", "arguments"),
    [
        ({}, {"images_data_url": ZIP}),
        (
            {"trigger_word": "mug", "steps": 500, "is_style": False, "create_masks": True, "role": "product"},
            {"images_data_url": ZIP, "trigger_word": "mug", "steps": 500, "is_style": False, "create_masks": True},
        ),
        ({"role": "style"}, {"images_data_url": ZIP, "is_style": True}),
        ({"role": "style", "is_style": False}, {"images_data_url": ZIP, "is_style": False}),
        (
            {"model": "flux-2-trainer", "trigger_word": "mug", "learning_rate": 1e-4, "role": "style"},
            {"image_data_url": ZIP, "default_caption": "mug", "learning_rate": 1e-4},
        ),
        (
            {"model": "z-image-trainer", "trigger_word": "mug", "role": "style"},
            {"image_data_url": ZIP, "default_caption": "mug", "training_type": "style"},
        ),
        ({"model": "z-image-trainer", "training_type": "content"}, {"image_data_url": ZIP, "training_type": "content"}),
    ],
)
def test_what_the_trainer_gets(given: dict[str, Any], arguments: dict[str, Any]) -> None:
    assert sent(**given) == arguments


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "give either images"),
        ({"images": MUGS, "images_data_url": ZIP}, "give either images"),
        ({"images": []}, "images: "),
        (
            {"images": MUGS[:1], "model": "flux-2-trainer"},
            "images: has 1 picture; flux-2-trainer needs 10 or more",
        ),
        (
            {"images": ["https://x/1.jpg", "https://x/2.jpg"], "captions": {1: "back view"}},
            "captions.1: is 1.jpg by its name, and 2.jpg by its number; write the whole name",
        ),
        (
            {"images_data_url": "https://x/a.zip", "captions": ["one", "two"]},
            "captions: a list is for images; give texts by the names in the zip, as {name: text}",
        ),
        ({"images": MUGS, "model": "flux-2-trainer"}, "images: has 4 pictures; flux-2-trainer needs 10 or more"),
        ({"images": [f"https://example.com/{n}" for n in range(61)]}, "images: value should have at most 60 items"),
        ({"images": [*MUGS, MUGS[1]]}, r"images\.4: is the same file as images\.1"),
        ({"images": [*MUGS, "ftp://example.com/a.jpg"]}, r"images\.4: must be an http"),
        ({"images": MUGS, "captions": ["a"]}, "captions: needed: 4, one for each image; given: 1"),
        ({"images": MUGS, "captions": {"9.jpg": "a"}}, r"captions\.9\.jpg: names no image; allowed: 0 to 3, or 0\.jpg"),
        ({"images": MUGS, "captions": "automatic"}, "captions"),
        ({"images": MUGS, "captions": {"0": "a", "0.jpg": "b"}}, r"0\.jpg has another caption already"),
        ({"images": MUGS, "learning_rate": 1e-4}, "learning_rate: is not a parameter of flux-lora-training; these"),
        ({"images_data_url": ZIP, "model": "flux-2-trainer", "create_masks": True}, "create_masks: is not a parameter"),
        ({"images": MUGS, "model": "flux-dev"}, "model: flux-dev serves"),
        ({"images": MUGS, "provider": "vertex"}, "provider: flux-lora-training has no route"),
    ],
)
def test_what_is_refused_by_its_field(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequestError, match=text):
        lora._read(given)


@pytest.mark.parametrize(
    ("given", "has_steps"),
    [
        ({"images_data_url": ZIP}, False),
        ({"images_data_url": ZIP, "prepare": True}, True),
        ({"images_data_url": ZIP, "captions": "auto"}, True),
        ({"images": MUGS}, True),
    ],
)
def test_a_zip_alone_is_one_call(given: dict[str, Any], has_steps: bool) -> None:
    _, _, step = lora._read(given)
    assert step.model == ("pipeline:training.lora" if has_steps else "flux-lora-training")
    names = {piece.name for piece in step.pieces}
    assert names == {"weights", "config", *(["dataset"] if has_steps else [])}
    assert lora.pipeline is train_in_steps


def test_captions_find_their_pictures() -> None:
    names = ["a.jpg", "set/b.png", "c.jpg"]
    assert given_captions({"a": "1", "b.png": "2", "2": "3"}, names) == ["1", "2", "3"]
    assert given_captions(None, names) == [None, None, None]
    assert TrainLora(images=MUGS, captions={1: "x"}).captions == {"1": "x"}  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="names 2 images"):
        given_captions({"a": "1"}, ["x/a.jpg", "y/a.jpg"])


def test_a_number_is_a_name_where_it_can_mean_nothing_else() -> None:
    names = ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert given_captions({"4": "d", "1.jpg": "a"}, names) == ["a", None, None, "d"]
    with pytest.raises(ValueError, match=r"is 001\.jpg by its name, and 002\.jpg by its number"):
        given_captions({"1": "a"}, [f"00{name}" for name in names])
    assert given_captions({"1": "a"}, names, numbered=False) == ["a", None, None, None], "a zip has no order"
    with pytest.raises(ValueError, match=r"captions\.0: names no image; allowed: 1\.jpg, 2\.jpg"):
        given_captions({"0": "a"}, names, numbered=False)


@pytest.mark.parametrize("model", ["flux-lora-training", "z-image-trainer"])
def test_fewer_pictures_than_fal_advises_are_taken_as_in_a_zip(model: str) -> None:
    assert lora._read({"images": MUGS[:1], "model": model})


def test_names_and_trigger_words() -> None:
    assert (
        name_of("https://example.com/a%20b.jpg?x=1", 0) == "a b.jpg"
        and name_of("data:image/png;base64,", 7) == "images.7"
    )
    assert with_trigger("a cup", "mug") == "mug, a cup" and with_trigger("my mug", "mug") == "my mug"
    assert with_trigger(None, "mug") == ""
