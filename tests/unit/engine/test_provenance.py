"""What a result says of where its pieces come from: nobody is swapped in silence, and nothing is lost in silence."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.engine.fakes import PICTURE, FakeAtOnce
from tests.unit.engine.world import IMAGES, World, world_of_two
from worker.errors import AuthenticationError, BrokenPieceError, ContentRefusedError, ServiceUnavailableError
from worker.jobs.job import Piece, Stage, Step
from worker.providers.base import Reply


@pytest.fixture
def world() -> World:
    return world_of_two()


def vertex(world: World) -> FakeAtOnce:
    return world.providers["vertex"]  # type: ignore[no-any-return]


async def result(world: World) -> dict[str, Any]:
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    return dict(row.result or {})


async def test_what_was_served_as_asked_says_so(world: World) -> None:
    await world.accept()
    assert (await result(world))["provenance"] == {
        "asked_for": "flux-schnell",
        "provider": "fal",
        "model": "fal-ai/flux/schnell",
        "version": None,
        "equivalence": "exact",
        "approximated": {},
        "dropped": [],
        "prompt": "x",
        "rewritten_prompt": None,
        "missing": [],
        "tried": [
            {
                "provider": "fal",
                "model": "fal-ai/flux/schnell",
                "error": None,
                "seconds": 1.0,
                "cost": {
                    "usd": 0.006,
                    "units": 2.0,
                    "per": "megapixel",
                    "estimated": False,
                    "lower_usd": 0.006,
                    "upper_usd": 0.006,
                    "certainty": "exact",
                },
            }
        ],
    }


async def test_what_another_served_tells_all(world: World) -> None:
    world.fal.submits = [ServiceUnavailableError("fal: 503")]
    given = {"negative_prompt": "fog", "image_size": {"width": 1600, "height": 900}, "num_inference_steps": 4}
    await world.accept("sdxl", given)
    told = await result(world)
    provenance = told["provenance"]
    assert (provenance["asked_for"], told["model"]) == ("sdxl", "sdxl")
    assert (provenance["provider"], provenance["model"]) == ("vertex", "gemini-nano-banana-2.1")
    assert provenance["version"] == "gemini-nano-banana-2.1-002"
    assert provenance["equivalence"] == "close"
    assert provenance["approximated"] == {
        "negative_prompt": 'in the prompt: "Without: fog"',
        "image_size": "1600x900 as 16:9 at 2K",
    }
    assert provenance["dropped"] == ["num_inference_steps"]
    assert provenance["prompt"] == "x\n\nWithout: fog" == vertex(world).sent[0].arguments["prompt"]
    assert [(each["provider"], each["error"]) for each in provenance["tried"]] == [
        ("fal", "service_unavailable"),
        ("fal", "service_unavailable"),
        ("fal", "service_unavailable"),
        ("vertex", None),
    ]
    assert [each["cost"] for each in provenance["tried"][:3]] == [None] * 3
    assert provenance["tried"][3]["cost"]["usd"] == 0.0504


async def test_the_same_model_elsewhere_is_exact(world: World) -> None:
    world.fal.submits = [AuthenticationError("fal: 401")]
    await world.accept("nano-banana-pro")
    told = await result(world)
    assert (told["provenance"]["equivalence"], told["provenance"]["model"]) == ("exact", "gemini-3-pro-image")


async def test_a_model_is_named_in_the_callers_words(world: World) -> None:
    await world.accept_step(Step("nano-banana-2", {"prompt": "x"}, IMAGES), request={"model": "gemini-3.1-flash-image"})
    assert (await result(world))["provenance"]["asked_for"] == "gemini-3.1-flash-image"


async def test_a_seed_that_another_model_is_told_is_approximated(world: World) -> None:
    world.fal.submits = [AuthenticationError("fal: 401")]
    await world.accept(given={"seed": 7}, allow_degraded=True)
    provenance = (await result(world))["provenance"]
    assert provenance["equivalence"] == "degraded"
    assert list(provenance["approximated"]) == ["seed"]
    assert vertex(world).sent[0].arguments["seed"] == 7


async def test_fewer_pictures_than_asked_for_are_kept_and_marked(world: World) -> None:
    refused = ContentRefusedError("vertex: IMAGE_SAFETY", provider="vertex")
    vertex(world).submits = [replace(PICTURE, billed_units=2.0, files=(b"1", b"2"), missing=(refused,))]
    step = Step("flux-schnell", {"prompt": "x", "num_images": 3}, (Piece("images", "image", "images.*", count=3),))
    await world.accept_step(step, provider="vertex")
    told = await result(world)
    assert [image["key"] for image in told["images"]] == ["jobs/a/images-0.png", "jobs/a/images-1.png"]
    assert told["provenance"]["missing"] == ["vertex: IMAGE_SAFETY"]
    assert (told["cost"]["usd"], told["cost"]["units"], told["cost"]["lower_usd"]) == (0.0672, 2.0, 0.0672)
    assert len(vertex(world).sent) == 1


async def test_each_try_keeps_its_own_error(world: World) -> None:
    world.fal.submits = [AuthenticationError("fal: 401")]
    vertex(world).submits = [ContentRefusedError("vertex: not this")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert [attempt.error and attempt.error.message for attempt in row.attempts] == ["fal: 401", "vertex: not this"]
    assert row.error and row.error.message == "fal: 401; vertex failed too: vertex: not this"


ONE = {"url": "https://x/y.png"}


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ({"images": [ONE], "actual_prompt": "x, by golden light"}, "x, by golden light"),
        ({"images": [ONE], "expanded_prompt": "a long x", "prompt": "x"}, "a long x"),
        ({"images": [{**ONE, "revised_prompt": "an x"}]}, "an x"),
        ({"images": [ONE], "prompt": "x in fog"}, "x in fog"),
        ({"images": [ONE], "prompt": " x\n"}, None),
        ({"images": [ONE], "actual_prompt": None, "revised_prompt": ["y"]}, None),
        ({"images": [ONE], "actual_prompt": "y" * 9000}, "y" * 4000),
    ],
)
async def test_a_prompt_that_the_provider_rewrote_is_told(world: World, output: dict[str, Any], told: str) -> None:
    world.fal.results = [Reply(output)]
    await world.accept()

    provenance = (await result(world))["provenance"]

    assert (provenance["prompt"], provenance["rewritten_prompt"]) == ("x", told)


async def test_three_paid_pictures_are_not_lost_with_the_fourth(world: World) -> None:
    world.fetcher.errors = [BrokenPieceError("images.1: entirely black")] * 3
    world.fetcher.whole = (0, 2, 3)
    await world.accept()
    found = await result(world)
    assert [file["key"][-5:] for file in found["images"]] == ["0.png", "2.png", "3.png"]
    assert found["provenance"]["missing"] == ["images.1: entirely black"]
    assert found["cost"]["usd"] == 0.006, "the bill is what fal says"


async def test_a_flagged_picture_among_others_is_named_and_the_others_come(world: World) -> None:
    world.fal.results = [
        Reply({"images": [{"url": "https://x/0.png"}, {"url": "https://x/1.png"}], "has_nsfw_concepts": [True, False]})
    ]
    await world.accept()
    missing = (await result(world))["provenance"]["missing"]
    assert missing == ["images.0: blackened by the provider's content filter (has_nsfw_concepts)"]


async def test_a_refusal_while_the_files_are_fetched_loses_no_other(world: World) -> None:
    world.fetcher.errors = [ContentRefusedError("images.0: entirely black (has_nsfw_concepts)")]
    world.fetcher.whole = (1,)
    await world.accept()
    assert (await result(world))["provenance"]["missing"] == ["images.0: entirely black (has_nsfw_concepts)"]
    assert world.fal.calls.count("submit") == 1


async def test_a_bad_picture_inside_an_answer_loses_no_other(world: World) -> None:
    world.fetcher.keep_errors = [BrokenPieceError("images.1: black")]
    world.fetcher.whole = (0,)
    await world.accept(providers=("vertex",))
    found = await result(world)
    assert (len(found["images"]), found["provenance"]["missing"]) == (1, ["images.1: black"])
