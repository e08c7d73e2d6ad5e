"""Wrong input is refused before anything is sent: a line for each field, and what it allows."""

from typing import Any

import pytest

from tasks.generation import Lora, TextToImage, text_to_image
from tasks.training import lora
from tasks.video import image_to_video
from worker.edge.job_task import JobTask
from worker.errors import InvalidRequestError

LORA = "https://example.com/a.safetensors"


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"end": 1}
    for _ in range(depth):
        value = {"deeper": value}
    return value


WRONG: list[tuple[JobTask, dict[str, Any], str]] = [
    (text_to_image, {}, "prompt: field required"),
    (text_to_image, {"prompt": ""}, "prompt: string should have at least 1 character"),
    (text_to_image, {"prompt": "   "}, "prompt: string should have at least 1 character"),
    (text_to_image, {"prompt": "x" * 1_000_000}, "prompt: string should have at most 20000 characters"),
    (text_to_image, {"prompt": "x" * 1_000_000}, "request: is 10000"),
    (text_to_image, {"prompt": 7}, "prompt: input should be a valid string"),
    (text_to_image, {"prompt": None}, "prompt: input should be a valid string"),
    (text_to_image, {"prompt": ["a"]}, "prompt: input should be a valid string"),
    (text_to_image, {"prompt": "a", "loras": [{"url": f"{LORA}?{n}"} for n in range(5)]}, "loras: list should have at most 4"),
    (text_to_image, {"prompt": "a", "loras": [{"url": LORA, "weight": 9}]}, "loras.0.weight: input should be less than or equal to 4"),
    (text_to_image, {"prompt": "a", "loras": [{"url": LORA, "role": "hat"}]}, "loras.0.role: input should be 'subject', 'product', 'style' or 'product2'"),
    (text_to_image, {"prompt": "a", "loras": [{"url": LORA, "role": "style"}] * 2}, "each role"),
    (text_to_image, {"prompt": "a", "loras": [{"url": "file:///etc/passwd"}]}, "loras.0.url: must be an http:// or https:// URL"),
    (text_to_image, {"prompt": "a", "lora_url": "file:///etc/passwd"}, "lora_url: must be an http:// or https:// URL"),
    (text_to_image, {"prompt": "a", "loras": [{"url": "jobs/../../etc/passwd"}]}, "loras.0.url: not the key of a file"),
    (text_to_image, {"prompt": "a", "lora_url": "jobs/a/../b"}, "lora_url: not the key of a file"),
    (text_to_image, {"prompt": "a", "lora_url": "JOBS/a/b"}, "lora_url: must be an http:// or https:// URL, a data: URI, or the key of one of our files"),
    (text_to_image, {"prompt": "a", "lora_url": {"path": "jobs/a/b"}}, "lora_url: input should be a valid string"),
    (lora, {"images_data_url": "jobs//a.zip"}, "images_data_url: not the key of a file"),
    (text_to_image, {"prompt": "a", "lora_url": "https://u:p@example.com/x"}, "lora_url: must not carry a user name or password"),
    (text_to_image, {"prompt": "a", "lora_url": "http:///x"}, "lora_url: must be an http:// or https:// URL"),
    (text_to_image, {"prompt": "a", "lora_scale": 0.5}, "lora_scale needs lora_url"),
    (text_to_image, {"prompt": "a", "lora_url": LORA, "loras": [{"url": f"{LORA}?{n}"} for n in range(4)]}, "at most 4 together"),
    (text_to_image, {"prompt": "a", "lora_url": LORA, "model": "flux-schnell"}, "loras: is not a parameter of flux-schnell; these models have it: "),
    (text_to_image, {"prompt": "a", "image_size": "huge"}, "image_size: input should be 'square_hd'"),
    (text_to_image, {"prompt": "a", "image_size": {"width": 0, "height": 10}}, "image_size.width: input should be greater than or equal to 64"),
    (text_to_image, {"prompt": "a", "image_size": {"width": 512}}, "image_size.height: field required"),
    (text_to_image, {"prompt": "a", "num_images": 0}, "num_images: input should be greater than or equal to 1"),
    (text_to_image, {"prompt": "a", "num_images": 5}, "num_images: input should be less than or equal to 4"),
    (text_to_image, {"prompt": "a", "num_images": "two"}, "num_images: input should be a valid integer"),
    (text_to_image, {"prompt": "a", "num_images": True}, "num_images: input should be a valid integer"),
    (text_to_image, {"prompt": "a", "num_images": 1.5}, "num_images: input should be a valid integer"),
    (text_to_image, {"prompt": "a", "guidance_scale": float("nan")}, "guidance_scale: input should be a finite number"),
    (text_to_image, {"prompt": "a", "guidance_scale": float("inf")}, "guidance_scale: input should be a finite number"),
    (text_to_image, {"prompt": "a", "seed": -1}, "seed: input should be greater than or equal to 0"),
    (text_to_image, {"prompt": "a", "seed": "7"}, "seed: input should be a valid integer"),
    (text_to_image, {"prompt": "a", "num_inference_steps": 40}, "num_inference_steps: is 40; allowed: 1 to 12 (flux-schnell)"),
    (text_to_image, {"prompt": "a", "negative_prompt": "b"}, "negative_prompt: is not a parameter of flux-schnell"),
    (text_to_image, {"prompt": "a", "output_format": "gif"}, "output_format: input should be 'jpeg', 'png' or 'webp'"),
    (text_to_image, {"prompt": "a", "output_format": "webp"}, "output_format: is 'webp'; allowed: jpeg, png (flux-schnell)"),
    (text_to_image, {"prompt": "a", "enable_safety_checker": "yes"}, "enable_safety_checker: input should be a valid boolean"),
    (text_to_image, {"prompt": "a", "model": "fluks-schnel"}, "did you mean flux-schnell"),
    (text_to_image, {"prompt": "a", "model": ""}, "model: string should have at least 1 character"),
    (text_to_image, {"prompt": "a", "model": "fal-ai/../x"}, "model: no model"),
    (text_to_image, {"prompt": "a", "model": "veo-3.1-fast"}, "model: veo-3.1-fast serves video.image_to_video; models of this task: flux-schnell"),
    (text_to_image, {"prompt": "a", "negativ_prompt": "b"}, "negativ_prompt: is not a parameter of this task"),
    (text_to_image, {"prompt": "a", "extra": nested(9)}, "extra: is nested more than 8 levels deep"),
    (text_to_image, {"prompt": "a", "extra": [1]}, "extra: input should be an object"),
    (text_to_image, {"prompt": "a", "extra": {"x": object()}}, "extra: cannot be written as JSON (dict)"),
    (text_to_image, {"prompt": "a", "extra": {"x": float("nan")}}, "extra: numbers must be finite"),
    (text_to_image, {"prompt": "a", "extra": {"num_images": 3}}, "extra.num_images: has a parameter of its own in this task"),
    (text_to_image, {"prompt": "a", "model": "sdxl", "extra": {"format": "png"}}, "extra.format: has a parameter of its own"),
    (text_to_image, {"prompt": "a", "extra": {"sync_mode": True}}, "extra: sync_mode is not possible"),
    (text_to_image, {"prompt": "a", "labels": {"a": 1}}, "labels.a: input should be a valid string"),
    (text_to_image, {"prompt": "a", "priority": "urgent"}, "priority: input should be 'low', 'normal' or 'high'"),
    (text_to_image, {"prompt": "a", "deadline_s": 0}, "deadline_s: input should be greater than 0"),
    (text_to_image, {"prompt": "a", "tenant": ""}, "tenant: string should have at least 1 character"),
    (text_to_image, {"prompt": "a", "model": "nano-banana-2", "image_size": {"width": 1000, "height": 850}}, "image_size: is drawn only in these ratios"),
    (lora, {"trigger_word": "x"}, "request: give either images (a list) or images_data_url (a zip)"),
    (lora, {"images_data_url": "/home/me/set.zip"}, "images_data_url: must be an http:// or https:// URL"),
    (lora, {"images_data_url": "https://example.com/a.zip", "steps": 0}, "steps: input should be greater than or equal to 1"),
    (lora, {"images_data_url": "https://example.com/a.zip", "is_style": 1}, "is_style: input should be a valid boolean"),
    (image_to_video, {"prompt": "a"}, "image: field required"),
    (image_to_video, {"prompt": "a", "image": "ftp://example.com/a.png"}, "image: must be an http:// or https:// URL"),
    (image_to_video, {"prompt": "a", "image": "https://example.com/a.png", "duration_s": 5}, "duration_s: is 5; allowed: 4, 6, 8"),
    (image_to_video, {"prompt": "a", "image": "https://example.com/a.png", "aspect_ratio": "wide"}, "aspect_ratio: string should match"),
]  # fmt: skip


@pytest.mark.parametrize(("task", "given", "said"), WRONG, ids=range(len(WRONG)))
def test_wrong_input_is_refused_at_delay_with_a_line_for_its_field(
    task: JobTask, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        task.delay(**given)
    first, *lines = refused.value.message.splitlines()
    assert first == f"{task.name}: the request was refused"
    assert any(said in line for line in lines), lines
    assert len(refused.value.message) < 4000


def test_every_wrong_field_has_its_own_line() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        text_to_image.delay(prompt="", num_images=0, seed="x", priority="urgent")
    lines = refused.value.message.splitlines()[1:]
    assert [line.strip().split(":")[0] for line in lines] == ["prompt", "num_images", "seed", "priority"]


@pytest.mark.parametrize(
    ("size", "lines"),
    [
        (
            "huge",
            [
                "image_size: input should be 'square_hd', 'square', 'portrait_4_3', 'portrait_16_9', 'landscape_4_3' or "
                "'landscape_16_9' or an object"
            ],
        ),
        ({"width": 512}, ["image_size.height: field required"]),
    ],
)
def test_a_field_of_two_types_has_one_line(size: Any, lines: list[str]) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        text_to_image.delay(prompt="a", image_size=size)
    assert [line.strip() for line in refused.value.message.splitlines()[1:]] == lines


def test_a_positional_value_is_refused_with_the_way_out() -> None:
    with pytest.raises(InvalidRequestError, match="fields are given by name, or as a TextToImage"):
        text_to_image.delay("a red kiln")


def step(**given: Any) -> Any:
    task: Any = text_to_image
    return task._read(given)[2]


def test_an_unknown_endpoint_is_passed_through_with_everything() -> None:
    asked = step(prompt="a", model="someone/new-model/v9", negative_prompt="b", image_size="square", extra={"x": 1})
    assert asked.model == "someone/new-model/v9"
    assert asked.arguments == {"prompt": "a", "negative_prompt": "b", "image_size": "square"}
    assert asked.extra == {"x": 1}


def test_loras_without_a_model_choose_the_one_that_takes_them() -> None:
    asked = step(prompt="a", lora_url=LORA, lora_scale=0.6, loras=[Lora(url=LORA + "2", role="style")])
    assert asked.model == "flux-lora"
    assert asked.arguments["loras"] == [{"path": LORA, "scale": 0.6}, {"path": LORA + "2", "scale": 0.8}]


def test_four_roles_go_at_once() -> None:
    roles = ["subject", "product", "style", "product2"]
    asked = step(prompt="a", model="flux-krea-lora", loras=[{"url": f"{LORA}?{r}", "role": r} for r in roles])
    assert [item["scale"] for item in asked.arguments["loras"]] == [0.8] * 4


def test_a_request_may_be_given_as_its_model() -> None:
    task: Any = text_to_image
    given = task._given((TextToImage(prompt="a", seed=7),), {"tenant": "acme"})
    assert given == {"prompt": "a", "seed": 7, "tenant": "acme"}


@pytest.mark.parametrize(
    ("size", "pixels"),
    [("square_hd", (1024, 1024)), ("portrait_16_9", (576, 1024)), ({"width": 640, "height": 512}, (640, 512)), (None, (None, None))],
)  # fmt: skip
def test_the_size_asked_for_is_the_size_promised(size: Any, pixels: tuple[int | None, int | None]) -> None:
    given = {"prompt": "a"} if size is None else {"prompt": "a", "image_size": size}
    (piece,) = step(**given).pieces
    assert (piece.width, piece.height) == pixels


def test_a_chain_hands_over_what_the_next_task_can_take() -> None:
    video: Any = image_to_video
    given = video._given(({"task": "generation.text_to_image", "images": [{"url": "https://example.com/a.png"}]},), {})
    assert given == {"image": "https://example.com/a.png"}
    picture: Any = text_to_image
    assert picture._given(({"weights": {"url": LORA}},), {"prompt": "a"}) == {"lora_url": LORA, "prompt": "a"}
    with pytest.raises(InvalidRequestError, match=r"takes nothing from the result of other.task; use .si\(…\)"):
        video._given(({"task": "other.task"},), {})
