"""Large files are decoded in a process of their own: counted before, one after the other, killed when it takes long."""

import asyncio
import io
import random
import struct
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.files.files import bomb, found, picture, video
from worker.errors import BrokenPieceError, ServiceUnavailableError
from worker.files import decoding
from worker.files import verify as verify_module
from worker.files.decode_process import BASE_BYTES
from worker.files.memory_budget import MB
from worker.files.verify import Verifier, VerifyLimits

LARGE = picture(size=(4200, 4200), mode="L", colour=200)  # 17.6 megapixels, 70 MB
BLACK = picture(size=(4200, 4200), colour=0)


@pytest.fixture
async def verifier() -> AsyncIterator[Verifier]:
    one = Verifier(VerifyLimits(120_000_000, memory_bytes=256 * MB))
    yield one
    one.close()
    assert one._memory.free_bytes == 256 * MB


async def refusal(verifier: Verifier, content: bytes, **promise: Any) -> BrokenPieceError:
    with pytest.raises(BrokenPieceError) as caught:
        await verifier.check(found(**promise), io.BytesIO(content))
    return caught.value


@pytest.mark.parametrize("is_spooled", [False, True])
async def test_a_large_picture_is_seen_as_in_a_thread(verifier: Verifier, is_spooled: bool) -> None:
    with tempfile.SpooledTemporaryFile(max_size=1 << 20) if is_spooled else io.BytesIO() as file:
        file.write(LARGE)
        seen = await verifier.check(found(), file)  # type: ignore[arg-type]
    assert (seen.form.content_type, seen.width, seen.height) == ("image/png", 4200, 4200)


@pytest.mark.parametrize("kept", ["memory", "disk"])
async def test_the_whole_file_is_read_after_its_decoder(verifier: Verifier, kept: str) -> None:
    content = LARGE + random.Random(1).randbytes(2_000_000)  # more than a buffer, as a photo has
    with tempfile.SpooledTemporaryFile(max_size=1 << (20 if kept == "disk" else 24)) as file:
        file.write(content)
        await verifier.check(found(), file)  # type: ignore[arg-type]
        assert len(file.read()) == len(content)


async def test_defects_of_a_large_picture_are_told_as_in_a_thread(verifier: Verifier) -> None:
    assert (await refusal(verifier, BLACK)).message == "images.0: entirely black, as a content filter leaves it"
    assert "does not decode" in (await refusal(verifier, bomb(4200, 4200))).message


async def test_a_video_is_decoded_in_a_process_too(verifier: Verifier) -> None:
    seen = await verifier.check(found("video"), io.BytesIO(video()))
    assert (seen.form.ending, seen.width, seen.height) == ("mp4", 64, 48)


async def test_a_size_that_was_not_promised_is_refused_before_anything_is_decoded(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError("it is decoded")

    monkeypatch.setattr(verify_module, "decode_in_process", never)
    assert "promised a width of 1024 px, got 11000" in (await refusal(verifier, bomb(11000, 10000), width=1024)).message
    too_many = await refusal(verifier, bomb(9000, 9000), most_megapixels=36)
    assert (too_many.kind, "the most for this task" in too_many.message) == ("too_many_pixels", True)
    dear = await refusal(verifier, bomb(9000, 9000))
    assert (dear.kind, "KILNHAND_DECODE_MEMORY_MB" in dear.message) == ("too_many_pixels", True)


async def test_pixels_are_counted_before_decoding_and_small_pictures_do_not_wait(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, sizes = asyncio.Event(), list[int]()

    async def slowly(*asked: Any) -> Any:
        sizes.append(asked[-1])
        await go_on.wait()

    monkeypatch.setattr(verify_module, "decode_in_process", slowly)
    large = [asyncio.ensure_future(verifier.check(found(), io.BytesIO(LARGE))) for _ in range(5)]
    async with asyncio.timeout(60):
        while len(sizes) < 3:
            await asyncio.sleep(0.01)
        assert (await verifier.check(found(), io.BytesIO(picture()))).width == 64
    assert sizes == [4 * 4200 * 4200] * 3, "three times 70 MB"
    go_on.set()
    await asyncio.gather(*large)


async def test_a_picture_that_gets_no_memory_comes_again_later(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier._memory._patience_s = 0.01
    reservation = await verifier._memory.take(256 * MB)
    assert reservation
    with pytest.raises(ServiceUnavailableError) as caught:
        await verifier.check(found(), io.BytesIO(LARGE))
    assert caught.value.kind == "busy"
    reservation.give_back()


async def test_a_decoder_that_takes_long_is_killed(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "DECODE_S", 0.05)
    error = await refusal(verifier, LARGE)
    assert (error.kind, "too much time" in error.message) == ("bomb", True)


async def test_a_decoder_dies_with_its_job(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[Any] = []
    run = asyncio.create_subprocess_exec

    async def watched(*asked: Any, **more: Any) -> Any:
        began.append(await run(*asked, **more))
        return began[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
    work = asyncio.ensure_future(verifier.check(found(), io.BytesIO(LARGE)))
    async with asyncio.timeout(60):
        while not began:
            await asyncio.sleep(0.01)
    work.cancel()
    began_at = time.monotonic()
    await asyncio.gather(work, return_exceptions=True)
    assert work.cancelled() and began[0].returncode is not None and time.monotonic() - began_at < 20


async def test_a_decoder_that_takes_too_much_memory_ends_alone() -> None:
    too_little = 100 * MB - BASE_BYTES
    with pytest.raises(BrokenPieceError, match="too much memory") as caught:
        await decoding.decode_in_process(found(), io.BytesIO(BLACK), 120_000_000, False, too_little)
    assert caught.value.kind == "bomb"


@pytest.mark.parametrize(("code", "word"), [(-9, "memory"), (-24, "time")])
def test_a_killed_decoder_is_a_defect_of_the_file(code: int, word: str) -> None:
    with pytest.raises(BrokenPieceError, match=f"too much {word}"):
        decoding._read(found(), code, b"")


def test_a_decoder_that_somebody_ended_is_a_passing_error() -> None:
    with pytest.raises(ServiceUnavailableError):
        decoding._read(found(), -15, b"")
    with pytest.raises(BrokenPieceError, match="exit code 1"):
        decoding._read(found(), 1, b"")


async def test_weights_with_a_large_header_are_parsed_in_a_process(verifier: Verifier) -> None:
    header = b'{"a": ' + b"[" * (2 << 20)
    content = struct.pack("<Q", len(header)) + header
    assert "header that is not valid" in (await refusal(verifier, content, kind="weights")).message


async def test_a_decoder_that_cannot_be_started_is_a_passing_error(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none_left(*_: Any, **__: Any) -> Any:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", none_left)
    with pytest.raises(ServiceUnavailableError, match="no decoder"):
        await verifier.check(found(), io.BytesIO(LARGE))


async def test_a_full_temporary_folder_is_a_passing_error_here_too(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(ServiceUnavailableError) as caught:
        await verifier.check(found(), io.BytesIO(LARGE))
    assert caught.value.kind == "disk"
