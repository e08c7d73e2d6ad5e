"""The twin's memory is bounded: requests, recipes, drawn files, uploads, uploads under way."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from twin.app import create_app
from twin.draw import Picture
from twin.fal.address import Base
from twin.fal.firing import Firing
from twin.fal.inputs import InputReader
from twin.fal.job import Job, Submission
from twin.fal.payloads import Payloads
from twin.fal.schema import load_models
from twin.fal.uploads import MAX_OPEN, Uploads
from twin.files import FileStore, Made
from twin.server import in_thread
from twin.shorten import shorten


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.fixture
def files() -> Any:
    store = FileStore(max_uploaded=1_000, max_drawn=40_000)
    yield store
    store.close()


def on_disk(store: FileStore) -> int:
    return sum(path.stat().st_size for path in Path(store.folder).iterdir())


def test_only_so_many_finished_requests_are_kept(twin: Any) -> None:
    with in_thread(create_app(max_kept=5)) as server:
        small = type(twin)(server.url)
        small.pace(seconds=0.0, queue_seconds=0.0)
        outputs = [small.make(body={"prompt": "a fox", "image_size": "square"}) for _ in range(12)]
        assert len(small.requests()) == 5 and small.count() == 12
        codes = [small.http.get(output["images"][0]["url"]).status_code for output in outputs]
        assert codes == [404] * 7 + [200] * 5
        small.http.close()


async def test_uploads_share_a_budget_and_the_least_used_goes(files: FileStore) -> None:
    uploads, paths = Uploads(files), []
    for _ in range(3):
        upload_id, path = uploads.begin("a.bin", "text/plain")
        begun = uploads.find(upload_id)
        assert begun
        await uploads.put_piece(begun, 1, pieces(b"x" * 400))
        uploads.finish(upload_id)
        paths.append(path)
        files.find(paths[0])
    assert [files.find(path) is not None for path in paths] == [True, False, True]
    assert files.uploaded_bytes == on_disk(files) == 800


async def test_an_upload_above_the_budget_leaves_nothing(files: FileStore) -> None:
    uploads = Uploads(files)
    begun = uploads.find(uploads.begin("a.bin", "text/plain")[0])
    assert begun
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        await uploads.put_piece(begun, 1, pieces(b"x" * 900, b"x" * 900))
    assert on_disk(files) == 0


async def test_uploads_under_way_are_given_up_oldest_first(files: FileStore) -> None:
    uploads = Uploads(files)
    first, _ = uploads.begin("a.bin", "text/plain")
    begun = uploads.find(first)
    assert begun
    await uploads.put_piece(begun, 1, pieces(b"x" * 10))
    for _ in range(MAX_OPEN):
        uploads.begin("b.bin", "text/plain")
    assert uploads.find(first) is None and uploads.open_count == MAX_OPEN and on_disk(files) == 0


async def test_a_piece_sent_again_replaces_the_old_one(files: FileStore) -> None:
    uploads = Uploads(files)
    upload_id, path = uploads.begin("a.bin", "text/plain")
    begun = uploads.find(upload_id)
    assert begun
    for data in (b"old", b"new"):
        await uploads.put_piece(begun, 1, pieces(data))
    uploads.finish(upload_id)
    assert await files.read(path, 100) == b"new" and on_disk(files) == 3


def test_whole_inputs_share_a_budget_and_the_oldest_goes() -> None:
    payloads = Payloads(max_bytes=10_000)
    long = [job({"prompt": str(number) * 4_000}) for number in range(4)]
    for entry in long:
        payloads.keep(entry)
    assert [payloads.find(entry) for entry in long] == [None, None, long[2].submission.input, long[3].submission.input]
    assert payloads.bytes <= 10_000
    for entry in long:
        payloads.drop(entry.request_id)
    assert payloads.bytes == 0


def test_a_short_input_needs_no_budget() -> None:
    payloads = Payloads(max_bytes=0)
    short, huge = job({"prompt": "a fox"}), job({"prompt": "x" * 4_000})
    for entry in (short, huge):
        payloads.keep(entry)
    assert payloads.find(short) == {"prompt": "a fox"} and payloads.find(huge) is None and payloads.bytes == 0


def job(values: dict[str, Any], endpoint: str = "acme/model") -> Job:
    """Return a request with this input."""
    submission = Submission(endpoint, endpoint, values, "account", Base("", "", ""))
    record = shorten(values)
    return Job(1, str(values), submission, record, record != values, accepted_at=0, ready_at=0, seconds=0, seed=0)


async def test_drawn_files_are_cached_within_a_budget(files: FileStore) -> None:
    paths = [files.put_made(Picture(256, 256, "png", "m", "a", seed), "m", ".png") for seed in range(12)]
    drawn = [await draw(files, path) for path in paths]
    assert files.drawn_bytes <= 40_000 < sum(map(len, drawn))
    assert [await draw(files, path) for path in paths] == drawn
    for path in paths:
        files.drop_made(path)
    assert files.made_count == files.drawn_bytes == 0


@pytest.mark.parametrize("is_cancelled", [True, False])
async def test_a_run_draws_its_files_before_it_ends_and_leaves_none_when_it_is_cancelled(
    files: FileStore, is_cancelled: bool
) -> None:
    async with httpx.AsyncClient() as http:
        firing = Firing(load_models(), files, InputReader(files, http), time.time)
        drawing = job({"prompt": "a fox", "image_size": "square"}, "fal-ai/flux/schnell")
        drawing.started_at, drawing.seconds = time.time(), 1.0
        run = asyncio.create_task(firing(drawing))
        await until(lambda: files.drawn_bytes > 0)
        assert not run.done()
        if is_cancelled:
            run.cancel()
        await asyncio.wait([run])
    assert files.made_count == (0 if is_cancelled else 1)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
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

    path = files.put_made(Counting(), "m", ".txt")
    assert await asyncio.gather(*(draw(files, path) for _ in range(20))) == [b"drawn"] * 20
    assert count == 1


async def draw(files: FileStore, path: str) -> bytes:
    made = files.find(path)
    assert isinstance(made, Made)
    return await files.draw(path, made)
