"""Videos: what each model gets of the same words, and what is refused by field."""

import re
from typing import Any

import pytest

from tasks.video import extend, image_to_video, reference_to_video, text_to_video
from tests.unit.tasks.sent import refused, sent, step_of
from worker.edge.job_task import JobTask, catalogue
from worker.routing.plan import plan

PHOTO, END, CLIP = "https://example.com/a.jpg", "https://example.com/b.jpg", "https://example.com/a.mp4"
KLING, HAILUO, WAN = "fal-ai/kling-video/v3/", "fal-ai/minimax/hailuo-2.3", "fal-ai/wan/v2.7/"
FROM_PICTURE: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    (
        "kling-v3-pro",
        {"duration_s": 7, "end_image": END, "sound": True, "negative_prompt": "blur"},
        KLING + "pro/image-to-video",
        {
            "start_image_url": PHOTO,
            "duration": "7",
            "end_image_url": END,
            "generate_audio": True,
            "negative_prompt": "blur",
        },
    ),
    ("kling-v3-standard", {}, KLING + "standard/image-to-video", {"start_image_url": PHOTO, "generate_audio": False}),
    (
        "veo-3.1",
        {"duration_s": 6, "resolution": "4k", "aspect_ratio": "9:16", "seed": 7},
        "fal-ai/veo3.1/image-to-video",
        {
            **{"image_url": PHOTO, "duration": "6s", "resolution": "4k", "aspect_ratio": "9:16", "seed": 7},
            **{"generate_audio": False, "auto_fix": False},
        },
    ),
    (
        "veo-3.1-frames",
        {"end_image": END},
        "fal-ai/veo3.1/first-last-frame-to-video",
        {"first_frame_url": PHOTO, "last_frame_url": END, "generate_audio": False, "auto_fix": False},
    ),
    (
        "seedance-2.0",
        {"duration_s": 4, "resolution": "480p", "sound": False, "end_image": END},
        "bytedance/seedance-2.0/image-to-video",
        {"image_url": PHOTO, "duration": "4", "resolution": "480p", "generate_audio": False, "end_image_url": END},
    ),
    (
        "wan-2.7",
        {"duration_s": 2, "resolution": "720p", "seed": 1},
        WAN + "image-to-video",
        {"image_url": PHOTO, "duration": 2, "resolution": "720p", "seed": 1, "enable_prompt_expansion": False},
    ),
    ("hailuo-2.3", {}, HAILUO + "/pro/image-to-video", {"image_url": PHOTO, "prompt_optimizer": False}),
    (
        "hailuo-2.3-fast",
        {"duration_s": 10},
        HAILUO + "-fast/standard/image-to-video",
        {"image_url": PHOTO, "duration": "10", "prompt_optimizer": False},
    ),
    (
        "ltx-2.3",
        {"duration_s": 8, "resolution": "4k", "fps": 50, "sound": True},
        "fal-ai/ltx-2.3/image-to-video",
        {"image_url": PHOTO, "duration": 8, "resolution": "2160p", "fps": 50, "generate_audio": True},
    ),
    ("h3", {"duration_s": 6}, "minimax/h3/image-to-video", {"image_url": PHOTO, "duration": 6}),
]


@pytest.mark.parametrize(("model", "fields", "endpoint", "arguments"), FROM_PICTURE)
def test_each_model_gets_its_own_names_for_a_picture(
    model: str, fields: dict[str, Any], endpoint: str, arguments: dict[str, Any]
) -> None:
    told = sent(image_to_video, image=PHOTO, prompt="it turns", model=model, **fields)

    assert told == (endpoint, {"prompt": "it turns", **arguments})


def test_stable_video_has_no_prompt() -> None:
    assert sent(image_to_video, image=PHOTO, model="stable-video", motion=60, fps=12) == (
        "fal-ai/stable-video",
        {"image_url": PHOTO, "motion_bucket_id": 60, "fps": 12},
    )


@pytest.mark.parametrize(
    ("task", "fields", "endpoint", "arguments"),
    [
        (text_to_video, {}, "fal-ai/veo3.1/fast", {"generate_audio": False, "auto_fix": False}),
        (
            text_to_video,
            {"model": "kling-v3", "duration_s": 15, "aspect_ratio": "1:1"},
            KLING + "pro/text-to-video",
            {"duration": "15", "aspect_ratio": "1:1", "generate_audio": False},
        ),
        (text_to_video, {"model": "seedance-2"}, "bytedance/seedance-2.0/text-to-video", {}),
        (text_to_video, {"model": "hailuo-2.3"}, HAILUO + "/pro/text-to-video", {"prompt_optimizer": False}),
        (
            text_to_video,
            {"model": "minimax-h3", "aspect_ratio": "9:16"},
            "minimax/h3/text-to-video",
            {"aspect_ratio": "9:16"},
        ),
        (
            reference_to_video,
            {"images": [PHOTO, END]},
            "fal-ai/veo3.1/reference-to-video",
            {"image_urls": [PHOTO, END], "generate_audio": False, "auto_fix": False},
        ),
        (
            reference_to_video,
            {"images": [PHOTO], "model": "wan-2.7", "duration_s": 3},
            WAN + "reference-to-video",
            {"reference_image_urls": [PHOTO], "duration": 3},
        ),
        (
            reference_to_video,
            {"images": [PHOTO], "model": "seedance-2.0", "duration_s": 5},
            "bytedance/seedance-2.0/reference-to-video",
            {"image_urls": [PHOTO], "duration": "5"},
        ),
        (
            extend,
            {"video": CLIP, "duration_s": 7, "sound": True},
            "fal-ai/veo3.1/extend-video",
            {"video_url": CLIP, "duration": "7s", "generate_audio": True, "auto_fix": False},
        ),
    ],
)
def test_a_name_serves_each_task_by_its_endpoint(
    task: JobTask, fields: dict[str, Any], endpoint: str, arguments: dict[str, Any]
) -> None:
    assert sent(task, prompt="it turns", **fields) == (endpoint, {"prompt": "it turns", **arguments})


@pytest.mark.parametrize(
    ("task", "fields", "words"),
    [
        (image_to_video, {}, "prompt: is required by veo-3.1-fast"),
        (image_to_video, {"prompt": "a", "model": "stable-video"}, "prompt: is not a parameter of stable-video; these"),
        (
            image_to_video,
            {"prompt": "a", "end_image": END},
            "end_image: is not a parameter of veo-3.1-fast; .*kling-v3",
        ),
        (image_to_video, {"prompt": "a", "model": "veo-3.1-frames"}, "end_image: is required by veo-3.1-frames"),
        (image_to_video, {"prompt": "a", "model": "kling-v3", "duration_s": 2}, "duration_s: is 2; allowed: 3, 4, 5, "),
        (
            image_to_video,
            {"prompt": "a", "model": "kling-v3", "aspect_ratio": "1:1"},
            "aspect_ratio: is not a parameter",
        ),
        (
            image_to_video,
            {"prompt": "a", "model": "hailuo-2.3", "duration_s": 6},
            "duration_s: is not a parameter of hail",
        ),
        (image_to_video, {"prompt": "a", "model": "seedance-2.0-fast", "resolution": "1080p"}, "allowed: 480p, 720p"),
        (image_to_video, {"prompt": "a", "model": "ltx-2.3", "fps": 30}, "fps: is 30; allowed: 24, 25, 48, 50"),
        (image_to_video, {"prompt": "a", "resolution": "8k"}, "resolution: input should be '480p', "),
        (text_to_video, {"prompt": "a", "aspect_ratio": "1:1"}, "aspect_ratio: is '1:1'; allowed: 16:9, 9:16"),
        (
            text_to_video,
            {"prompt": "a", "model": "stable-video"},
            "model: stable-video serves video.image_to_video; models of",
        ),
        (reference_to_video, {"prompt": "a", "images": [PHOTO] * 4}, "images: has 4; allowed: 3"),
        (reference_to_video, {"prompt": "a", "images": [PHOTO], "seed": 1}, "seed: is not a parameter of veo-3.1-ref"),
        (reference_to_video, {"prompt": "a", "images": []}, "images: "),
        (extend, {"prompt": "a", "video": CLIP, "duration_s": 8}, "duration_s: is 8; allowed: 7"),
        (extend, {"prompt": "a"}, "video: field required"),
    ],
)
def test_what_a_model_cannot_do_is_refused_with_what_it_can(task: JobTask, fields: dict[str, Any], words: str) -> None:
    picture = {"image": PHOTO} if task is image_to_video else {}
    message = refused(task, **picture, **fields)

    assert re.search(words, message), message


@pytest.mark.parametrize(
    ("task", "fields", "follows"),
    [
        (text_to_video, {}, True),
        (text_to_video, {"model": "hailuo-2.3"}, True),
        (text_to_video, {"model": "wan-2.7", "duration_s": 8}, True),
        (text_to_video, {"model": "wan-2.7", "duration_s": 5}, False),
        (image_to_video, {"image": PHOTO, "model": "kling-v3", "sound": True}, True),
        (image_to_video, {"image": PHOTO, "model": "kling-v3", "end_image": END}, False),
        (image_to_video, {"image": PHOTO, "model": "seedance-2.0", "resolution": "720p"}, True),
        (image_to_video, {"image": PHOTO, "model": "seedance-2.0", "resolution": "480p"}, False),
    ],
)
def test_veo_at_vertex_follows_only_if_it_makes_the_same(task: JobTask, fields: dict[str, Any], follows: bool) -> None:
    step = step_of(task, prompt="it turns", **fields)
    model = catalogue().find(step.model)

    assert plan(model, model.routes[1], step).may_follow() is follows


def test_length_shape_and_sound_are_promised_as_asked() -> None:
    asked: dict[str, Any] = {"prompt": "a", "duration_s": 8, "aspect_ratio": "9:16", "sound": True}
    (clip,) = step_of(text_to_video, model="veo-3.1", **asked).pieces
    (free,) = step_of(image_to_video, image=PHOTO, prompt="a", aspect_ratio="auto").pieces
    (longer,) = step_of(extend, video=CLIP, prompt="a", duration_s=7).pieces
    (unknown,) = step_of(text_to_video, model="someone/a-model", **asked).pieces

    assert (clip.duration_s, clip.ratio, clip.sound) == (8, 9 / 16, True)
    assert (free.duration_s, free.ratio, free.sound) == (None, None, False)
    assert longer.duration_s is None
    assert (unknown.duration_s, unknown.ratio, unknown.sound) == (None, None, False)
