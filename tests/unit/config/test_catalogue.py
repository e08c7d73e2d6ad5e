"""The catalogue finds models by every name people use, and says what a model cannot do."""

from pathlib import Path

import pytest

from config.catalogue import Catalogue, CatalogueError, UnknownModelError, load_catalogue

BRIEF = {
    "flux-schnell": "fal-ai/flux/schnell",
    "flux-dev": "fal-ai/flux/dev",
    "flux-pro": "fal-ai/flux-pro/v1.1",
    "flux-realism": "fal-ai/flux-lora",
    "flux-lora": "fal-ai/flux-lora",
    "sdxl": "fal-ai/fast-sdxl",
}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.mark.parametrize(("name", "endpoint"), BRIEF.items())
def test_every_name_of_the_brief_is_served(catalogue: Catalogue, name: str, endpoint: str) -> None:
    assert catalogue.find(name).routes[0].endpoint == endpoint


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("FLUX-Schnell", "flux-schnell"),
        (" flux-dev\n", "flux-dev"),
        ("fal-ai/flux/schnell", "flux-schnell"),
        ("fal-ai/flux-pro", "flux-pro"),
        ("fal-ai/flux-pro/v1.1", "flux-pro-v1.1"),
        ("fal-ai/flux-realism", "flux-realism"),
        ("fal-ai/flux-lora", "flux-lora"),
        ("fal-ai/recraft-v3", "recraft-v3"),
        ("fal-ai/recraft/v3/text-to-image", "recraft-v3"),
        ("fal-ai/stable-diffusion-v35-large", "sd-3.5-large"),
        ("stable-diffusion-3.5-large", "sd-3.5-large"),
        ("fal-ai/flux-lora-fast-training", "flux-lora-training"),
        ("fal-ai/veo3.1/fast/image-to-video", "veo-3.1-fast"),
    ],
)
def test_a_model_is_found_by_name_alias_and_endpoint(catalogue: Catalogue, said: str, meant: str) -> None:
    assert catalogue.find(said).name == meant


@pytest.mark.parametrize(
    "endpoint",
    ["workflows/me/flux-krea-lora-i2i", "fal-ai/flux/krea", "comfy/me/my_flow-1", "a/b/c/d/e/f"],
)
def test_an_unknown_endpoint_is_passed_through_as_it_is(catalogue: Catalogue, endpoint: str) -> None:
    model = catalogue.find(endpoint)

    assert (model.passthrough, model.name, model.routes[0].endpoint) == (True, endpoint, endpoint)
    assert model.serves("generation.text_to_image")
    assert catalogue.problems(model, {"prompt": "a kiln", "negative_prompt": "", "num_images": 9}) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "flux",
        "a/",
        "/a",
        "a//b",
        "a/b c",
        "a/../b",
        "../b",
        "a/.",
        "a/b\nc",
        "a/b?x=1",
        "a/b/c/d/e/f/g",
        "a/" + "b" * 200,
    ],
)
def test_what_is_no_name_and_no_endpoint_is_refused(catalogue: Catalogue, name: str) -> None:
    with pytest.raises(UnknownModelError, match="owner/name is passed through"):
        catalogue.find(name)


def test_a_misspelt_name_is_answered_with_the_nearest_ones(catalogue: Catalogue) -> None:
    with pytest.raises(UnknownModelError, match="did you mean flux-schnell"):
        catalogue.find("flux-schnel")
    with pytest.raises(UnknownModelError, match="nano-banana-2 or nano-banana-pro"):
        catalogue.find("nano-banana")


def test_each_task_of_the_first_day_has_a_model(catalogue: Catalogue) -> None:
    assert len(catalogue.for_task("generation.text_to_image")) >= 14
    assert catalogue.for_task("training.lora")
    assert catalogue.for_task("video.image_to_video")
    assert catalogue.for_task("no.such_task") == ()


def test_a_parameter_that_a_model_lacks_is_refused_and_not_dropped(catalogue: Catalogue) -> None:
    problems = catalogue.problems(catalogue.find("flux-schnell"), {"prompt": "a kiln", "negative_prompt": "smoke"})

    assert problems == [
        (
            "negative_prompt",
            "is not a parameter of flux-schnell; these models have it: sdxl, sd-3.5-large, qwen-image-2, qwen-image-2512",
        )
    ]


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("flux-schnell", {"num_inference_steps": 13}, "is 13; allowed: 1 to 12 (flux-schnell)"),
        ("flux-schnell", {"num_images": 0}, "is 0; allowed: 1 to 4 (flux-schnell)"),
        ("flux-schnell", {"num_images": True}, "is True; allowed: 1 to 4 (flux-schnell)"),
        ("flux-dev", {"guidance_scale": float("nan")}, "is nan; allowed: 1 to 20 (flux-dev)"),
        ("flux-dev", {"guidance_scale": "many"}, "is 'many'; allowed: 1 to 20 (flux-dev)"),
        ("flux-dev", {"output_format": "webp"}, "is 'webp'; allowed: jpeg, png (flux-dev)"),
        ("wan-2.7", {"duration_s": 1}, "is 1; allowed: 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 (wan-2.7)"),
        ("veo-3.1-reference", {"prompt": "a", "images": ["a"] * 4}, "has 4; allowed: 3 (veo-3.1-reference)"),
        ("veo-3.1-fast", {"prompt": "a", "duration_s": 5}, "is 5; allowed: 4, 6, 8 (veo-3.1-fast)"),
        (
            "nano-banana-pro",
            {"image_size": {"width": 9000, "height": 9000}},
            "is drawn only up to 4K (1K is 1024x1024 pixels) (nano-banana-pro)",
        ),
    ],
)
def test_a_value_out_of_a_models_limits_is_refused(
    catalogue: Catalogue, model: str, arguments: dict[str, object], message: str
) -> None:
    assert catalogue.problems(catalogue.find(model), arguments) == [([*arguments][-1], message)]


def test_a_size_in_no_ratio_of_the_model_is_refused(catalogue: Catalogue) -> None:
    model = catalogue.find("flux-pro-v1.1-ultra")

    ((name, message),) = catalogue.problems(model, {"image_size": {"width": 100, "height": 3000}})

    assert name == "image_size" and "21:9, 16:9" in message


def test_what_a_model_allows_is_no_problem(catalogue: Catalogue) -> None:
    arguments = {
        "prompt": "a kiln",
        "num_images": 4,
        "guidance_scale": 3.5,
        "output_format": "png",
        "image_size": "square",
    }

    assert catalogue.problems(catalogue.find("flux-schnell"), arguments) == []
    assert catalogue.problems(catalogue.find("nano-banana-2"), {"image_size": "portrait_16_9"}) == []


def test_a_substitute_is_documented(catalogue: Catalogue) -> None:
    for name in ("flux-pro", "flux-realism"):
        assert "retired; served by" in (catalogue.find(name).note or "")


STANZA = """
[models.kiln]
title = "Kiln"
task = ["generation.text_to_image"]
usual_s = 1
[[models.kiln.routes]]
provider = "fal"
endpoint = "a/b"
takes = ["prompt"]
"""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (STANZA.replace("usual_s = 1", "usual_s = 0"), "model kiln: usual_s: Input should be greater than 0"),
        (STANZA.replace('provider = "fal"', ""), "model kiln: routes.0.provider: Field required"),
        (STANZA + "size = 3", "model kiln: routes.0.size: Extra inputs are not permitted"),
        (STANZA + 'shape = "aspect_ratio"', "model kiln: routes.0: .*shape, ratios and resolutions belong together"),
        (
            STANZA + 'write = { seed = { to = "s" } }',
            "model kiln: routes.0: .*write has parameters that are not in takes: seed",
        ),
        (
            STANZA + "[models.kiln.limits]\nseed = { min = 1 }",
            "model kiln: as a whole: .*that the first route does not take: seed",
        ),
        (STANZA + STANZA.replace("models.kiln", "models.KILN"), "as a whole: .*'KILN' names both kiln and KILN"),
        ("[models", "toml: "),
    ],
)
def test_a_wrong_file_is_refused_with_the_model_and_the_field(tmp_path: Path, wrong: str, message: str) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_text(wrong, encoding="utf-8")

    with pytest.raises(CatalogueError, match=message):
        load_catalogue(path)


def test_a_file_of_ones_own_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(STANZA, encoding="utf-8")

    assert load_catalogue(path).find("kiln").title == "Kiln"


def test_a_parameter_that_a_model_requires_is_named(catalogue: Catalogue) -> None:
    model = catalogue.find("veo-3.1-frames")

    assert catalogue.problems(model, {"image": "x", "prompt": "a"}) == [("end_image", "is required by veo-3.1-frames")]


def test_the_name_of_a_family_finds_the_member_that_serves_the_task(catalogue: Catalogue) -> None:
    tasks = ("video.text_to_video", "video.reference_to_video", "video.extend", "video.image_to_video")
    members = [catalogue.member(task, " Veo-3.1 ") for task in tasks]

    assert [member and member.name for member in members] == [
        "veo-3.1-text", "veo-3.1-reference", "veo-3.1-extend", None
    ]  # fmt: skip
    aliased = catalogue.member("video.text_to_video", "kling-v3")
    assert aliased and aliased.name == "kling-v3-pro-text"
    assert catalogue.member("video.extend", "kling-v3") is None
