"""Fallbacks in the catalogue: they change nothing about the model itself, and dead ids keep working."""

from pathlib import Path

import pytest

from config.catalogue import Catalogue, CatalogueError, Model, load_catalogue
from config.mapping import arguments_for
from config.model import Price

CATALOGUE = load_catalogue()
PICTURES = CATALOGUE.for_task("generation.text_to_image")


def alone(model: Model) -> Model:
    """The model without its fallbacks."""
    return model.model_copy(update={"routes": model.routes[:1]})


ALONE = Catalogue(models=tuple(alone(model) for model in CATALOGUE.models))


def test_what_a_model_accepts_is_the_same_with_and_without_its_fallbacks(subtests: pytest.Subtests) -> None:
    for model in CATALOGUE.models:
        for arguments in [
            {"prompt": "a", "negative_prompt": "b", "loras": [], "seed": 2**62, "num_images": 4, "strength": 0.5},
            {
                "image_size": {"width": 100, "height": 3000},
                "output_format": "webp",
                "duration_s": 7,
                "aspect_ratio": "9:16",
            },
            {"image_size": {"width": 9000, "height": 9000}, "output_format": "png", "duration_s": 15},
            {"image_size": "landscape_16_9", "num_inference_steps": 500, "guidance_scale": 99},
        ]:
            with subtests.test(model=model.name, arguments=arguments):
                assert CATALOGUE.problems(model, arguments) == ALONE.problems(alone(model), arguments)
                assert {name: model.takes(name) for name in arguments} == {
                    name: alone(model).takes(name) for name in arguments
                }


def test_a_parameter_that_only_a_fallback_has_is_refused() -> None:
    model = CATALOGUE.find("flux-schnell")

    assert any(route.understands("negative_prompt") for route in model.routes)
    assert CATALOGUE.problems(model, {"negative_prompt": "smoke"}) == [
        (
            "negative_prompt",
            "is not a parameter of flux-schnell; these models have it: sdxl, sd-3.5-large, qwen-image-2, qwen-image-2512",
        )
    ]


def test_no_fallback_takes_a_word_from_the_callers_extra() -> None:
    for model in CATALOGUE.models:
        for route in model.routes[1:]:
            extra = {say.to: "the caller's" for say in route.write.values() if say.to}

            assert "the caller's" not in arguments_for(route, {}, extra).values()


def test_every_picture_of_the_brief_can_be_drawn_by_google() -> None:
    names = (
        "flux-schnell",
        "flux-dev",
        "flux-pro",
        "flux-realism",
        "flux-lora",
        "sdxl",
        "recraft-v3",
        "flux-pro-v1.1-ultra",
    )
    alone = [name for name in names if not any(route.provider == "vertex" for route in CATALOGUE.find(name).routes)]

    assert alone == []


def test_most_pictures_can_be_drawn_by_google() -> None:
    """A new model may come without a fallback; most have one."""
    drawn = [model for model in PICTURES if any(route.provider == "vertex" for route in model.routes)]

    assert len(drawn) > 0.7 * len(PICTURES)


def test_training_has_no_fallback() -> None:
    assert {len(model.routes) for model in CATALOGUE.for_task("training.lora")} == {1}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("gemini-3-pro-image", "nano-banana-pro"),
        ("gemini-3-pro-image-preview", "nano-banana-pro"),
        ("Gemini-3.1-flash-image", "nano-banana-2"),
        ("gemini-3.1-flash-image-preview", "nano-banana-2"),
        ("gemini-nano-banana-2.1", "nano-banana-2.1"),
        ("veo-3.1-lite-generate-001", "veo-3.1-lite"),
        ("veo-3.1-fast-generate-001", "veo-3.1-fast-audio"),
    ],
)
def test_an_id_of_google_finds_its_model_dead_or_alive(said: str, meant: str) -> None:
    assert CATALOGUE.find(said).name == meant


def test_the_endpoint_of_every_route_finds_a_model_that_has_it(subtests: pytest.Subtests) -> None:
    for model in CATALOGUE.models:
        with subtests.test(model=model.name):
            for route in model.routes:
                found = CATALOGUE.find(route.endpoint)
                assert not found.passthrough
                assert route.endpoint in {other.endpoint for other in found.routes} | set(found.names)


@pytest.mark.parametrize(
    ("name", "endpoint", "resolution", "usd"),
    [
        ("flux-pro", "fal-ai/flux-pro/v1.1", None, None),
        ("flux-dev", "fal-ai/flux/dev", None, 0.025),
        ("flux-dev", "gemini-nano-banana-2.1", None, 0.0336),
        ("flux-dev", "gemini-nano-banana-2.1", "2K", 0.0504),
        ("flux-dev", "gemini-nano-banana-2.1", "4K", 0.11301),
        ("flux-pro", "gemini-3-pro-image", "1K", 0.1344),
        ("flux-pro", "gemini-3-pro-image", "2K", 0.1344),
        ("nano-banana-pro", "gemini-3-pro-image", "4K", 0.24),
        ("nano-banana-2", "gemini-3.1-flash-image", "4K", 0.1512),
        ("veo-3.1-fast", "veo-3.1-lite-generate-001", None, 0.05),
        ("veo-3.1-fast", "veo-3.1-lite-generate-001", "1080p", 0.08),
    ],
)
def test_a_unit_costs_what_its_route_costs(name: str, endpoint: str, resolution: str | None, usd: float | None) -> None:
    model = CATALOGUE.find(name)
    (route,) = (route for route in model.routes if route.endpoint == endpoint)
    price = model.price_on(route)

    assert (price.usd_for(resolution) if price else None) == usd


def test_a_fallback_without_a_price_does_not_cost_what_the_model_costs() -> None:
    dev = CATALOGUE.find("flux-dev")
    unpriced = dev.routes[1].model_copy(update={"price": None})

    assert dev.price == Price(usd=0.025, per="megapixel") and dev.price_on(unpriced) is None


FILE = """
[routes.shared]
provider = "vertex"
endpoint = "c"
equivalence = "close"
takes = ["prompt", "seed"]

[models.kiln]
title = "Kiln"
task = ["generation.text_to_image"]
usual_s = 1
retired = ["old-kiln"]
[[models.kiln.routes]]
provider = "fal"
endpoint = "a/b"
takes = ["prompt"]
[[models.kiln.routes]]
like = "shared"
takes = ["prompt"]
"""


def written(folder: Path, text: str) -> Catalogue:
    path = folder / "catalogue.toml"
    path.write_text(text, encoding="utf-8")
    return load_catalogue(path)


def test_a_route_takes_over_what_it_does_not_say_from_the_one_that_it_is_like(tmp_path: Path) -> None:
    model = written(tmp_path, FILE).find("old-kiln")

    assert (model.routes[1].endpoint, model.routes[1].equivalence, model.routes[1].takes) == ("c", "close", ("prompt",))


def test_an_endpoint_is_the_model_that_it_is_and_not_one_that_falls_back_to_it(tmp_path: Path) -> None:
    itself = FILE.partition("[models.kiln]")[2].partition("[[models.kiln.routes]]\nlike")[0]
    first = "[models.cee]" + itself.replace("models.kiln", "models.cee").replace("a/b", "c/d").replace(
        "old-kiln", "sea"
    )

    found = written(tmp_path, first + FILE.replace('endpoint = "c"', 'endpoint = "c/d"'))

    assert (found.find("c/d").name, found.find("a/b").name) == ("cee", "kiln")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (FILE.replace('like = "shared"', 'like = "none"'), "model kiln: routes: like 'none'; known: shared"),
        (FILE.replace('equivalence = "close"', ""), "model kiln: as a whole: .*needs equivalence, exact or close: c"),
        (
            FILE.replace('equivalence = "close"', 'equivalence = "degraded"'),
            "routes.1.equivalence: .*'exact' or 'close'",
        ),
        (
            FILE.replace('endpoint = "a/b"', 'endpoint = "a/b"\nequivalence = "exact"'),
            "first route defines the model",
        ),
        (
            FILE.replace('endpoint = "c"', 'endpoint = "old-kiln"'),
            "as a whole: .*retired, but still on a route: old-kiln",
        ),
        (
            FILE + "[models.kiln.limits]\nseed = { min = 1 }",
            "limits has parameters that the first route does not take: seed",
        ),
        (FILE + 'files = ["image"]', "routes.1: .*files has parameters that are not in takes: image"),
        (FILE + "limits = { seed = { min = 1 } }", "routes.1: .*limits has parameters that are not in takes: seed"),
        (
            FILE + 'write = { prompt = { into = "text" } }',
            "routes.1: .*into names parameters that are not in takes: text",
        ),
        (FILE + 'write = { prompt = { into = "prompt", to = "t" } }', "to and into cannot be used together"),
    ],
)
def test_a_wrong_fallback_is_refused_with_what_is_wrong(tmp_path: Path, wrong: str, message: str) -> None:
    with pytest.raises(CatalogueError, match=message):
        written(tmp_path, wrong)
