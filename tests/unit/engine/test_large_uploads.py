"""Weights and archives that a provider could not fetch are put where it can, once for each provider."""

from pathlib import Path
from typing import Any

import pytest

from config.catalogue import Route
from tests.unit.engine.fakes import FakeInputs
from tests.unit.engine.world import CATALOGUE, World, world_of_two
from worker.engine.input_files import field_of
from worker.errors import RateLimitError, RequestRefusedError, ServiceUnavailableError
from worker.files.input_refs import row_name
from worker.jobs.job import Job, Piece, Stage, Step, Ticket
from worker.routing.routes import call_files

OURS, PUBLIC, INLINE = "jobs/b/weights-0.safetensors", "https://example.com/a.safetensors", "data:x/y;base64,AAAA"
WEIGHTS = (Piece("weights", "weights", "diffusers_lora_file"),)


@pytest.fixture
def world() -> World:
    return World(inputs=FakeInputs())


def handed(world: World) -> list[tuple[str, str, str]]:
    assert world.inputs
    return world.inputs.handed


def numbered(world: World, fail_at: int = 0) -> list[Path]:
    """What is uploaded from now on; each has a URL of its own, and the `fail_at`-th is refused the first time."""
    taken: list[Path] = []
    failures = [ServiceUnavailableError("fal: 503", provider="fal")] if fail_at else []

    async def upload(media: Any) -> str:
        if failures and len(taken) + 1 == fail_at:
            raise failures.pop()
        taken.append(media)
        return f"https://theirs/{len(taken)}"

    world.fal.upload = upload  # type: ignore[method-assign]
    return taken


async def with_loras(world: World, *refs: str, **more: Any) -> Job:
    loras = [{"path": ref, "scale": 0.8} for ref in refs]
    step = Step("flux-lora", {"prompt": "x", "loras": loras}, (Piece("images", "image", "images.*"),))
    return await world.accept_step(step, request={"loras": [{"url": ref} for ref in refs]}, **more)


async def test_weights_of_ours_are_uploaded_and_public_ones_are_not(world: World) -> None:
    numbered(world)
    await with_loras(world, PUBLIC, OURS)
    row = await world.until(Stage.WAITING)
    assert handed(world) == [(OURS, "weights", "loras.1.url")]
    assert world.fal.sent[0].arguments["loras"] == [
        {"path": PUBLIC, "scale": 0.8},
        {"path": "https://theirs/1", "scale": 0.8},
    ]
    assert row.uploads == {"fal": {OURS: "https://theirs/1"}}
    assert row.step.arguments["loras"][1]["path"] == OURS, "what was asked for stays as it was"


async def test_an_archive_is_uploaded_and_one_inside_the_request_stays_no_longer_than_its_hash(world: World) -> None:
    numbered(world)
    step = Step("flux-lora-training", {"images_data_url": INLINE, "steps": 100}, WEIGHTS)
    await world.accept_step(step, task="training.lora", request={"images_data_url": INLINE})
    row = await world.until(Stage.WAITING)
    assert handed(world) == [(INLINE, "file", "images_data_url")]
    assert world.fal.sent[0].arguments["images_data_url"] == "https://theirs/1"
    assert row.uploads == {"fal": {row_name(INLINE): "https://theirs/1"}}
    assert row_name(INLINE) == row_name(INLINE)[:69] != INLINE


async def test_what_is_named_twice_or_was_uploaded_before_is_not_uploaded_again(world: World) -> None:
    taken = numbered(world)
    world.fal.submits = [RateLimitError("fal: 429"), Ticket("r-1")]
    await with_loras(world, OURS, OURS)
    await world.until(Stage.WAITING)
    assert len(taken) == 1
    assert [[lora["path"] for lora in call.arguments["loras"]] for call in world.fal.sent] == [
        ["https://theirs/1"] * 2
    ] * 2


async def test_what_was_uploaded_before_another_failed_is_not_uploaded_again(world: World) -> None:
    taken = numbered(world, fail_at=2)
    await with_loras(world, OURS, "jobs/c/weights-0.safetensors")
    row = await world.until(Stage.WAITING)
    assert [str(path) for path in taken] == [OURS, "jobs/c/weights-0.safetensors"]
    assert (len(row.attempts), len(row.uploads["fal"])) == (2, 2)


async def test_weights_that_cannot_be_had_end_the_job_before_anything_is_sent(world: World) -> None:
    assert world.inputs
    world.inputs.errors = [RequestRefusedError("loras.0.url: our store has no file", kind="missing")]
    await with_loras(world, OURS)
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.FAILED and row.error
    assert (row.error.code, row.error.message) == ("request_refused", "loras.0.url: our store has no file")
    assert world.fal.sent == []


@pytest.mark.parametrize("kind", ["too_large", "bomb"])
async def test_weights_that_are_too_large_are_asked_for_once(world: World, kind: str) -> None:
    assert world.inputs
    world.inputs.errors = [RequestRefusedError("loras.0.url: larger than the limit", kind=kind)] * 2
    await with_loras(world, OURS)
    row = await world.until(Stage.CLOSING)
    assert (row.ending, len(handed(world))) == (Stage.FAILED, 1), "more room in memory is of no use to them"


async def test_a_fallback_that_takes_no_weights_is_given_none() -> None:
    world = world_of_two()
    world.fal.submits = [ServiceUnavailableError("fal: 503")]
    taken = numbered(world)
    await with_loras(world, OURS, allow_degraded=True)
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.attempts[-1].provider) == (Stage.COMPLETED, "vertex")
    assert (len(taken), [*row.uploads]) == (1, ["fal"])


def test_only_what_the_route_is_told_is_uploaded() -> None:
    fal, vertex = CATALOGUE.find("flux-lora").routes
    loras = Step("flux-lora", {"prompt": "x", "loras": [{"path": "a"}, {"path": "b"}]}, ())
    training = CATALOGUE.find("flux-lora-training").first_route

    assert kinds(fal, loras) == [("a", "weights"), ("b", "weights")]
    assert kinds(vertex, loras) == []
    assert kinds(training, Step("flux-lora-training", {"images_data_url": "z"}, ())) == [("z", "archive")]


def kinds(route: Route, step: Step) -> list[tuple[str, str]]:
    return [(file.ref, file.kind) for file in call_files(route, step).large]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"prompt": "a", "lora_url": "r"}, "lora_url"), ({"loras": [{"url": "s"}, {"url": "r"}]}, "loras.1.url"),
        ({"images_data_url": "r"}, "images_data_url"), ({"prompt": "s"}, ""), ({}, ""),
    ],
)  # fmt: skip
def test_a_reference_goes_by_the_field_that_holds_it(request_: Any, field: str) -> None:
    assert field_of(request_, "r") == field
