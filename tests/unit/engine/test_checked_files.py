"""Files that a task checks itself: brought and judged before anything is sent, and sent as the check leaves them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.engine.world import IMAGES, World, world_of_two
from worker.errors import RateLimitError, RequestRefusedError, ServiceUnavailableError
from worker.files.file_checks import Prepared
from worker.files.media import Media
from worker.jobs.job import Job, Stage, Step, Ticket

TASK = "video.image_to_video"
PUBLIC = Step("veo-3.1-lite", {"image": "https://x/i.png", "prompt": "it turns", "duration_s": 4}, IMAGES)
SMALLER = Media(b"smaller", "image/png")


class Check:
    """Looks at the image, changes it, and sets the duration."""

    def __init__(self, duration_s: int = 6) -> None:
        self.duration_s, self.seen = duration_s, list[Mapping[str, Media]]()
        self.errors: list[Exception] = []

    def looks_at(self, request: Mapping[str, Any]) -> tuple[str, ...]:
        return ("image",) if request.get("check", True) else ()

    def prepare(self, request: Mapping[str, Any], step: Step, files: Mapping[str, Media]) -> Prepared:
        self.seen.append(files)
        if self.errors:
            raise self.errors.pop(0)
        arguments = {**step.arguments, "duration_s": self.duration_s}
        return Prepared(replace(step, arguments=arguments), {"image": SMALLER})


def world_with(check: Check) -> World:
    world = world_of_two()
    world.dispatcher = world.another(file_checks={TASK: check})
    return world


async def run(world: World, step: Step = PUBLIC, **more: Any) -> Job:
    await world.accept_step(step, TASK, **more)
    return await world.until(Stage.CLOSING)


@pytest.mark.parametrize("ref", ["https://x/i.png", "jobs/b/images-0.png", "data:image/png;base64,AAAA"])
async def test_the_file_that_was_checked_is_the_file_that_is_sent(ref: str) -> None:
    world = world_with(check := Check())

    row = await run(world, replace(PUBLIC, arguments={**PUBLIC.arguments, "image": ref}))

    assert row.ending == Stage.COMPLETED
    assert [files["image"].data for files in check.seen] == [ref.encode()]
    assert world.fal.uploaded == [SMALLER]
    assert world.fal.sent[0].arguments["image_url"] == "https://theirs/1"


async def test_what_follows_from_the_file_is_sent_and_kept_on_the_row() -> None:
    world = world_with(Check(duration_s=8))

    row = await run(world)

    assert world.fal.sent[0].arguments["duration"] == "8s"
    assert row.step.arguments["duration_s"] == 8


async def test_a_file_that_is_refused_ends_the_job_before_anything_is_sent_or_uploaded() -> None:
    world = world_with(check := Check())
    check.errors = [RequestRefusedError("image: too dark", kind="mask")]

    row = await run(world)

    assert row.error and (row.error.code, row.error.message) == ("request_refused", "image: too dark")
    assert (world.fal.calls, row.attempts) == ([], ())


async def test_what_the_catalogue_does_not_allow_is_refused_after_the_check_too() -> None:
    world = world_with(Check(duration_s=7))

    row = await run(world)

    assert row.error and row.error.message == "duration_s: is 7; allowed: 4, 6, 8 (veo-3.1-lite)"
    assert world.fal.calls == []


async def test_a_request_that_needs_no_check_is_handed_on_as_it_is() -> None:
    world = world_with(check := Check())

    await run(world, request={"check": False})

    assert (check.seen, world.fal.uploaded) == ([], [])
    assert world.fal.sent[0].arguments["image_url"] == "https://x/i.png"


async def test_a_second_attempt_at_the_same_provider_uploads_nothing_again() -> None:
    world = world_with(check := Check())
    world.fal.submits = [RateLimitError("fal: 429"), Ticket("r-1")]

    row = await run(world)

    assert (row.ending, len(row.attempts), len(check.seen), len(world.fal.uploaded)) == (Stage.COMPLETED, 2, 1, 1)


async def test_a_fallback_that_takes_files_inside_its_call_gets_the_checked_file() -> None:
    world = world_with(check := Check())
    world.fal.submits = [ServiceUnavailableError("fal: 503", provider="fal")]

    row = await run(world)

    assert (row.ending, row.attempts[-1].provider) == (Stage.COMPLETED, "vertex")
    assert world.providers["vertex"].sent[0].files == (SMALLER,)
    assert len(check.seen) == 2
