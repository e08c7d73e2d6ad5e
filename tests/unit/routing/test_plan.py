"""A plan says how a parameter is sent, covers every parameter, and agrees with what is sent."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.catalogue import Catalogue, Model, Route, load_catalogue
from config.mapping import arguments_for, left_out
from worker.jobs.job import Step
from worker.routing.plan import Equivalence, Plan, plan
from worker.routing.routes import call_files

CATALOGUE = load_catalogue()
LORA = {"path": "https://example.com/l.safetensors", "scale": 0.8}


def fallback(model: Model, endpoint: str) -> Route:
    (found,) = (route for route in model.routes[1:] if route.endpoint == endpoint)
    return found


def planned(name: str, endpoint: str, **arguments: Any) -> tuple[Plan, dict[str, Any]]:
    model = CATALOGUE.find(name)
    route = fallback(model, endpoint)
    return plan(model, route, Step(name, arguments, ())), arguments_for(route, arguments, {})


def test_a_size_is_sent_as_a_ratio_and_a_resolution() -> None:
    made, sent = planned("flux-dev", "gemini-nano-banana-2.1", image_size={"width": 1024, "height": 768})

    assert made.approximated == {"image_size": "1024x768 as 4:3 at 1K"}
    assert sent == {"aspect_ratio": "4:3", "resolution": "1K"}


def test_a_model_of_four_megapixels_stays_one() -> None:
    made, sent = planned("flux-pro-v1.1-ultra", "gemini-3-pro-image", image_size="landscape_16_9")

    assert made.approximated == {"image_size": "1024x576 as 16:9 at 2K"}
    assert sent == {"aspect_ratio": "16:9", "resolution": "2K"}
    assert planned("flux-pro-v1.1-ultra", "gemini-3-pro-image", prompt="a")[1] == {"prompt": "a", "resolution": "2K"}


@pytest.mark.parametrize("order", [("prompt", "negative_prompt"), ("negative_prompt", "prompt")])
def test_a_negative_prompt_becomes_a_sentence_of_the_prompt_that_is_sent(order: tuple[str, str]) -> None:
    words = {"prompt": "a kiln", "negative_prompt": " smoke, ash "}

    made, sent = planned("sdxl", "gemini-nano-banana-2.1", **{name: words[name] for name in order})

    assert made.approximated == {"negative_prompt": 'in the prompt: "Without: smoke, ash"'}
    assert sent == {"prompt": "a kiln\n\nWithout: smoke, ash"}


def test_an_empty_negative_prompt_says_nothing() -> None:
    made, sent = planned("sdxl", "gemini-nano-banana-2.1", prompt="a kiln", negative_prompt="  ")

    assert made.approximated == {} and sent == {"prompt": "a kiln"}


def test_a_seed_is_sent_and_marked_as_another_picture() -> None:
    made, sent = planned("flux-dev", "gemini-nano-banana-2.1", seed=7)

    assert made.approximated == {"seed": "sent, but another model draws another picture with the same seed"}
    assert sent == {"seed": 7}


def test_a_picture_goes_inside_the_call_and_its_form_is_left_to_it() -> None:
    arguments = {"image": "https://example.com/a.png", "prompt": "it turns", "duration_s": 8, "aspect_ratio": "auto"}
    route = fallback(CATALOGUE.find("veo-3.1-fast"), "veo-3.1-lite-generate-001")

    assert arguments_for(route, arguments, {}) == {"generate_audio": False, "prompt": "it turns", "duration_s": 8}
    step = Step("veo-3.1-fast", arguments, ())
    assert [file.ref for file in call_files(route, step).in_call] == ["https://example.com/a.png"]
    assert call_files(CATALOGUE.find("veo-3.1-fast").first_route, step).in_call == ()


def test_a_fallback_does_not_get_extra() -> None:
    model = CATALOGUE.find("flux-pro")
    extra = {"safety_tolerance": "6"}

    assert arguments_for(model.first_route, {"prompt": "a"}, extra) == {"prompt": "a", **extra}
    assert arguments_for(fallback(model, "gemini-3-pro-image"), {"prompt": "a"}, extra) == {"prompt": "a"}


def test_a_value_beyond_the_endpoints_limits_is_neither_sent_nor_hidden() -> None:
    route = fallback(CATALOGUE.find("nano-banana-pro"), "gemini-3-pro-image")

    assert arguments_for(route, {"prompt": "a", "seed": 2**40}, {}) == {"prompt": "a"}
    assert left_out(route, {"prompt": "a", "seed": 2**40}) == ("seed",)


@pytest.mark.parametrize(
    ("equivalence", "by_itself", "with_permission"),
    [("exact", True, True), ("close", True, True), ("degraded", False, True), ("impossible", False, False)],
)
def test_degraded_needs_permission_and_impossible_is_never_allowed(
    equivalence: str, by_itself: bool, with_permission: bool
) -> None:
    made = Plan(Equivalence(equivalence))

    assert (made.may_follow(), made.may_follow(allow_degraded=True)) == (by_itself, with_permission)


SIZES = st.one_of(
    st.sampled_from(["square_hd", "square", "portrait_4_3", "portrait_16_9", "landscape_4_3", "landscape_16_9"]),
    st.fixed_dictionaries({"width": st.integers(64, 9000), "height": st.integers(64, 9000)}),
)
ARGUMENTS = st.fixed_dictionaries(
    {"prompt": st.text(min_size=1, max_size=20)},
    optional={
        "negative_prompt": st.text(max_size=20),
        "image_size": SIZES,
        "num_images": st.integers(1, 6),
        "seed": st.integers(0, 2**63 - 1),
        "num_inference_steps": st.integers(1, 150),
        "guidance_scale": st.floats(0, 35),
        "output_format": st.sampled_from(["jpeg", "png", "webp"]),
        "enable_safety_checker": st.booleans(),
        "loras": st.lists(st.just(LORA), max_size=2),
        "image": st.just("https://example.com/a.png"),
        "duration_s": st.integers(1, 20),
        "aspect_ratio": st.sampled_from(["auto", "16:9", "9:16", "1:1", "21:9"]),
        "strength": st.floats(0, 1),
    },
)
EXTRA = st.dictionaries(st.sampled_from(["safety_tolerance", "style", "sync_mode", "seed"]), st.integers(), max_size=3)
ROUTES = st.sampled_from([(model, route) for model in CATALOGUE.models for route in model.routes])


@given(ROUTES, ARGUMENTS, EXTRA)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_every_parameter_is_in_one_group_and_exact_means_all_are_sent(
    where: tuple[Model, Route], arguments: dict[str, Any], extra: dict[str, Any]
) -> None:
    model, route = where
    made = plan(model, route, Step(model.name, arguments, (), extra))
    fates = [*made.mapped, *made.approximated, *made.dropped]

    assert sorted(fates) == sorted([*arguments, *(f"extra.{name}" for name in extra)])
    assert (made.equivalence is Equivalence.EXACT) == (made.why == "")
    if made.equivalence is Equivalence.EXACT:
        assert not made.approximated and not made.dropped
    kept = {name: value for name, value in arguments.items() if name not in made.dropped}
    assert arguments_for(route, kept, extra) == arguments_for(route, arguments, extra), "what is dropped is not sent"


@given(st.sampled_from(CATALOGUE.models), ARGUMENTS, EXTRA)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_the_models_own_route_is_exact_with_all_that_the_catalogue_accepts(
    model: Model, arguments: dict[str, Any], extra: dict[str, Any]
) -> None:
    refused = {name for name, _ in CATALOGUE.problems(model, arguments)}
    accepted = {name: value for name, value in arguments.items() if name not in refused}

    made = plan(model, model.first_route, Step(model.name, accepted, (), extra))

    assert made == Plan(Equivalence.EXACT, mapped=(*accepted, *(f"extra.{name}" for name in extra)))


def test_a_passed_through_endpoint_gets_everything() -> None:
    model = Catalogue(models=()).find("somebody/model")

    made = plan(model, model.first_route, Step(model.name, {"prompt": "a", "anything": 3}, (), {"more": 1}))

    assert made == Plan(Equivalence.EXACT, mapped=("prompt", "anything", "extra.more"))
