"""For an endpoint that the catalogue does not know, nothing of ours is assumed; what is refused is refused truthfully."""

from typing import Any

import pytest

from config.mapping import arguments_for
from tasks.generation import text_to_image
from tasks.training import lora
from tasks.video import image_to_video
from worker.edge.job_task import JobTask, catalogue
from worker.errors import InvalidRequestError

PICTURE = "https://example.com/a.png"
KLING = "fal-ai/kling-video/v2.1/master/image-to-video"


def sent(task: JobTask, **given: Any) -> dict[str, Any]:
    """What the first endpoint gets."""
    step = task._read(given)[2]
    return arguments_for(catalogue().find_for(task.name, step.model).first_route, step.arguments, step.extra)


@pytest.mark.parametrize(
    ("endpoint", "extra"),
    [
        ("fal-ai/flux/dev/image-to-image", {"image_url": PICTURE, "strength": 0.8}),
        ("fal-ai/flux-lora/inpainting", {"image_url": PICTURE, "mask_url": PICTURE, "loras": []}),
        ("fal-ai/flux-pro/kontext", {"image_url": PICTURE, "aspect_ratio": "16:9"}),
        ("fal-ai/esrgan", {"image_url": PICTURE, "scale": 2, "model": "RealESRGAN_x4plus"}),
        ("fal-ai/birefnet/v2", {"image_url": PICTURE, "model": "Portrait", "output_format": "webp"}),
        (
            "fal-ai/fast-sdxl/image-to-image",
            {"image_size": {"width": 640, "height": 480}, "seed": "7", "num_images": 2},
        ),
    ],
)
def test_every_parameter_of_an_unknown_endpoint_can_be_given_in_extra(endpoint: str, extra: dict[str, Any]) -> None:
    assert sent(text_to_image, prompt="a kiln", model=endpoint, extra=extra) == {"prompt": "a kiln", **extra}


def test_extra_wins_over_our_own_parameters_there() -> None:
    asked = sent(text_to_image, prompt="a", seed=1, model="someone/model", extra={"seed": -1, "prompt": ["a", "b"]})

    assert asked == {"prompt": ["a", "b"], "seed": -1}


def test_what_the_caller_did_not_set_is_not_sent() -> None:
    assert sent(text_to_image, prompt="a", model="someone/model") == {"prompt": "a"}
    assert sent(text_to_image, prompt="a", num_images=1, model="someone/model") == {"prompt": "a", "num_images": 1}
    assert sent(lora, images_data_url="https://x.example/a.zip", model="someone/trainer") == {
        "images_data_url": "https://x.example/a.zip"
    }


def test_seconds_are_written_as_most_of_fals_endpoints_read_them() -> None:
    asked = sent(image_to_video, image=PICTURE, prompt="a", duration_s=5, model=KLING)

    assert asked == {"image_url": PICTURE, "prompt": "a", "duration": "5"}


@pytest.mark.parametrize("duration", [6, "8s", "auto", 5.5])
def test_a_duration_in_extra_goes_out_as_it_is(duration: Any) -> None:
    asked = sent(image_to_video, image=PICTURE, prompt="a", model=KLING, duration_s=5, extra={"duration": duration})

    assert asked["duration"] == duration


def test_the_first_picture_may_have_another_name() -> None:
    endpoint = "fal-ai/kling-video/v2.6/pro/image-to-video"
    asked = sent(image_to_video, image=PICTURE, prompt="a", model=endpoint, extra={"start_image_url": PICTURE})

    assert asked["start_image_url"] == PICTURE


def test_pictures_that_extra_asks_for_are_all_expected() -> None:
    step = text_to_image._read({"prompt": "a", "model": "someone/model", "extra": {"num_images": 3}})[2]

    assert step.pieces[0].count == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model": "flux-dev", "extra": {"num_images": 3}}, "extra.num_images: has a parameter of its own in this task"),
        ({"model": "sdxl", "extra": {"format": "png"}}, "extra.format: has a parameter of its own in this task, output_format"),
        ({"model": "someone/model", "extra": {"sync_mode": True}}, "sync_mode is not possible"),
    ],
)  # fmt: skip
def test_what_is_refused_is_true(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        text_to_image._read({"prompt": "a", **given})

    assert said in refused.value.message


@pytest.mark.parametrize("name", ["model", "image_url", "duration"])
def test_a_model_of_the_catalogue_gets_what_the_task_has_no_parameter_for(name: str) -> None:
    """The task's `model` is no parameter of an endpoint, and a picture's task has no picture."""
    assert sent(text_to_image, prompt="a", model="flux-dev", extra={name: "x"})[name] == "x"
