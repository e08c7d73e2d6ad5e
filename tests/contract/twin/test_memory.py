"""Limits of the twin's memory: requests, generated files, drawn bytes, uploads, open uploads."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from twin.app import create_app
from twin.fal.address import BaseUrls
from twin.fal.input_files import InputReader
from twin.fal.job import Job, Submission
from twin.fal.model_runner import ModelRunner
from twin.fal.models import load_models
from twin.fal.stored_inputs import StoredInputs
from twin.fal.uploads import MAX_OPEN, Uploads
from twin.file_store import FileStore, GeneratedFile
from twin.picture import Picture
from twin.server import in_thread
from twin.shorten import shorten


async def parts(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.fixture
def files() -> Any:
    store = FileStore(max_uploaded=1_000, max_drawn=40_000)
    yield store
    store.close()


def on_disk(store: FileStore) -> int:
    return sum(path.stat().st_size for path in Path(store.folder).iterdir())


def test_a_limited_number_of_ended_requests_is_kept(twin: Any) -> None:
    with in_thread(create_app(max_kept=5)) as server:
        small = type(twin)(server.url)
        small.pace(seconds=0.0, queue_seconds=0.0)
        outputs = [small.make(body={"prompt": "a fox", "image_size": "square"}) for _ in range(12)]
        assert len(small.requests()) == 5 and small.count() == 12
        codes = [small.http.get(output["images"][0]["url"]).status_code for output in outputs]
        assert codes == [404] * 7 + [200] * 5
        small.http.close()


async def test_uploads_share_a_limit_and_the_least_recently_used_is_deleted(files: FileStore) -> None:
    uploads, paths = Uploads(files), []
    for _ in range(3):
        upload_id, path = uploads.begin("a.bin", "text/plain")
        upload = uploads.find(upload_id)
        assert upload
        await uploads.add_part(upload, 1, parts(b"x" * 400))
        uploads.finish(upload_id)
        paths.append(path)
        files.find(paths[0])
    assert [files.find(path) is not None for path in paths] == [True, False, True]
    assert files.uploaded_bytes == on_disk(files) == 800


async def test_an_upload_above_the_budget_leaves_nothing(files: FileStore) -> None:
    uploads = Uploads(files)
    upload = uploads.find(uploads.begin("a.bin", "text/plain")[0])
    assert upload
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        await uploads.add_part(upload, 1, parts(b"x" * 900, b"x" * 900))
    assert on_disk(files) == 0


async def test_open_uploads_are_discarded_oldest_first(files: FileStore) -> None:
    uploads = Uploads(files)
    first, _ = uploads.begin("a.bin", "text/plain")
    upload = uploads.find(first)
    assert upload
    await uploads.add_part(upload, 1, parts(b"x" * 10))
    for _ in range(MAX_OPEN):
        uploads.begin("b.bin", "text/plain")
    assert uploads.find(first) is None and uploads.open_count == MAX_OPEN and on_disk(files) == 0


async def test_a_part_sent_again_replaces_the_old_one(files: FileStore) -> None:
    uploads = Uploads(files)
    upload_id, path = uploads.begin("a.bin", "text/plain")
    upload = uploads.find(upload_id)
    assert upload
    for data in (b"old", b"new"):
        await uploads.add_part(upload, 1, parts(data))
    uploads.finish(upload_id)
    assert await files.read(path, 100) == b"new" and on_disk(files) == 3


def test_whole_inputs_share_a_limit_and_the_oldest_is_dropped() -> None:
    stored_inputs = StoredInputs(max_bytes=10_000)
    long = [job({"prompt": str(number) * 4_000}) for number in range(4)]
    for entry in long:
        stored_inputs.keep(entry)
    assert [stored_inputs.find(entry) for entry in long] == [
        None,
        None,
        long[2].submission.input,
        long[3].submission.input,
    ]
    assert stored_inputs.bytes <= 10_000
    for entry in long:
        stored_inputs.drop(entry.request_id)
    assert stored_inputs.bytes == 0


def test_a_short_input_needs_no_budget() -> None:
    stored_inputs = StoredInputs(max_bytes=0)
    short, huge = job({"prompt": "a fox"}), job({"prompt": "x" * 4_000})
    for entry in (short, huge):
        stored_inputs.keep(entry)
    assert (
        stored_inputs.find(short) == {"prompt": "a fox"}
        and stored_inputs.find(huge) is None
        and stored_inputs.bytes == 0
    )


def job(values: dict[str, Any], endpoint: str = "acme/model") -> Job:
    """Return a request with this input."""
    submission = Submission(endpoint, endpoint, values, "account", BaseUrls("", "", ""))
    short_input = shorten(values)
    return Job(
        1, str(values), submission, short_input, short_input != values, accepted_at=0, ready_at=0, seconds=0, seed=0
    )


async def test_drawn_files_are_cached_within_a_budget(files: FileStore) -> None:
    paths = [files.add_generated(Picture(256, 256, "png", "m", "a", seed), "m", ".png") for seed in range(12)]
    drawn = [await draw(files, path) for path in paths]
    assert files.drawn_bytes <= 40_000 < sum(map(len, drawn))
    assert [await draw(files, path) for path in paths] == drawn
    for path in paths:
        files.drop_generated(path)
    assert files.generated_count == files.drawn_bytes == 0


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_a_run_draws_its_files_before_it_ends_and_leaves_none_when_it_is_cancelled(
    files: FileStore, is_cancelled: bool
) -> None:
    async with httpx.AsyncClient() as http:
        runner = ModelRunner(load_models(), files, InputReader(files, http), time.time)
        drawing = job({"prompt": "a fox", "image_size": "square"}, "fal-ai/flux/schnell")
        drawing.started_at, drawing.seconds = time.time(), 1.0
        run = asyncio.create_task(runner(drawing))
        await until(lambda: files.drawn_bytes > 0)
        assert not run.done()
        if is_cancelled:
            run.cancel()
        await asyncio.wait([run])
    assert files.generated_count == (0 if is_cancelled else 1)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


async def test_many_callers_draw_once(files: FileStore) -> None:
    count = 0

    class Counting:
        content_type = "text/plain"

        def render(self) -> bytes:
            nonlocal count
            count += 1
            return b"drawn"

    path = files.add_generated(Counting(), "m", ".txt")
    assert await asyncio.gather(*(draw(files, path) for _ in range(20))) == [b"drawn"] * 20
    assert count == 1


async def draw(files: FileStore, path: str) -> bytes:
    made = files.find(path)
    assert isinstance(made, GeneratedFile)
    return await files.draw(path, made)
