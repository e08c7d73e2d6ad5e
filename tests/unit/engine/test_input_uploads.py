"""Pictures that a provider could not fetch by the name they are given are put where it can."""

import io
from dataclasses import replace

import pytest
from PIL import Image

from tests.unit.engine.fakes import FakeInputs
from tests.unit.engine.world import World
from worker.errors import ServiceUnavailableError
from worker.files.media import Media
from worker.jobs.job import Job, Options, Piece, Stage, Step, Ticket


@pytest.fixture
def world() -> World:
    made = World(inputs=FakeInputs())
    return made


OURS, PUBLIC = "jobs/b/images-0.png", "https://example.com/a.png"


async def accepted(world: World, image: str) -> None:
    step = Step("veo-3.1-fast", {"prompt": "x", "image": image}, (Piece("video", "video", "video"),))
    await world.ledger.accept(Job("a", "video.image_to_video", "generation", {}, step, Options(), 0.0))


def uploads(world: World) -> list[bytes]:
    """What is uploaded from now on."""
    taken: list[bytes] = []

    async def upload(media: Media) -> str:
        taken.append(media.data)
        return f"https://cdn/{len(taken)}"

    world.fal.upload = upload  # type: ignore[attr-defined]
    return taken


async def test_a_file_of_ours_is_uploaded_and_the_provider_is_told_where(world: World) -> None:
    taken = uploads(world)
    await accepted(world, OURS)
    row = await world.turn()
    assert (row.stage, taken) == (Stage.WAITING, [OURS.encode()])
    assert world.fal.sent[0].arguments["image_url"] == "https://cdn/1"
    assert row.uploads == {"fal": {OURS: "https://cdn/1"}}, "what is looked for is what was sent"


async def test_a_picture_that_is_too_small_is_refused_before_it_is_uploaded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    dot = io.BytesIO()
    Image.new("RGB", (1, 1)).save(dot, "PNG")
    monkeypatch.setattr(FakeInputs, "media", lambda _, ref: Media(dot.getvalue(), "image/png"))
    taken = uploads(world)
    await accepted(world, OURS)
    row = await world.turn()
    assert row.error and row.error.code == "request_refused"
    assert "image: is a picture of 1×1 pixels; allowed: 64 or more on each side" in row.error.message
    assert (taken, world.fal.calls) == ([], [])


async def test_a_public_picture_goes_as_it_is(world: World) -> None:
    taken = uploads(world)
    await accepted(world, PUBLIC)
    row = await world.turn()
    assert (taken, row.uploads) == ([], {})
    assert world.fal.sent[0].arguments["image_url"] == PUBLIC


async def test_a_second_attempt_uses_what_was_uploaded_for_the_first(world: World) -> None:
    taken = uploads(world)
    world.fal.submits = [ServiceUnavailableError("away"), Ticket("r-1")]
    await accepted(world, OURS)
    await world.until(Stage.WAITING)
    assert taken == [OURS.encode()]
    assert [call.arguments["image_url"] for call in world.fal.sent] == ["https://cdn/1"] * 2


async def test_an_upload_that_fails_is_tried_again_before_anything_is_submitted(world: World) -> None:
    taken = uploads(world)
    good, failures = world.fal.upload, [ServiceUnavailableError("storage is away")] * 2  # type: ignore[attr-defined]

    async def upload(media: Media) -> str:
        if failures:
            raise failures.pop()
        return str(await good(media))

    world.fal.upload = upload  # type: ignore[attr-defined]
    await accepted(world, OURS)
    row = await world.until(Stage.WAITING)
    assert (len(row.attempts), len(taken)) == (1, 1)


async def test_what_was_uploaded_is_looked_for_when_the_answer_was_lost(world: World) -> None:
    uploads(world)
    await accepted(world, OURS)
    (claim,), _ = await world.ledger.claim(["generation"], 1, 8.0)
    await world.ledger.release(claim, claim.job, 0.1)
    world.now += 1
    row = await world.turn()
    lost = replace(row, stage=Stage.UNKNOWN, attempts=(replace(row.attempts[0], ticket=None),))
    world.now += 100
    (claim,), _ = await world.ledger.claim(["generation"], 1, 8.0)
    await world.ledger.release(claim, lost, 0.1)
    world.now += 1
    await world.turn()
    assert world.fal.sought[0].arguments == world.fal.sent[0].arguments
