"""Uploads to fal's store: small files in one request, large files from the disk in parts."""

from collections import Counter
from pathlib import Path
from typing import Any

import fal_client.client as sdk
import httpx
import pytest

from tests.contract.providers.conftest import Twin, opened
from worker.errors import AuthenticationError, ExternalServiceError, RequestRefusedError, ServiceUnavailableError
from worker.files.media import Media
from worker.providers.fal import provider
from worker.providers.fal import upload as fal_upload
from worker.providers.fal.provider import Fal


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of three parts, the last of one byte."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"a" * sdk.MULTIPART_CHUNK_SIZE + b"b" * sdk.MULTIPART_CHUNK_SIZE + b"c")
    assert path.stat().st_size > fal_upload.WHOLE_MOST_BYTES
    return path


async def test_a_file_is_uploaded_with_its_name_and_type(fal: Fal, tmp_path: Path) -> None:
    archive = tmp_path / "file.zip"
    archive.write_bytes(b"PK\x03\x04")
    answer = httpx.get(url := await fal.upload(archive))
    assert (answer.content, answer.headers["content-type"]) == (b"PK\x03\x04", "application/zip")
    assert url.endswith("_file.zip")
    assert httpx.get(await fal.upload(Media(b"x", "image/png"))).headers["content-type"] == "image/png"


async def test_a_large_file_is_uploaded_in_parts_two_at_a_time(
    fal: Fal, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way, seen = 0, Counter[int]()
    part = fal_upload._send_part

    async def watched(*given: Any) -> None:
        nonlocal under_way
        under_way += 1
        seen[under_way] += 1
        await part(*given)
        under_way -= 1

    monkeypatch.setattr(fal_upload, "_send_part", watched)
    url = await fal.upload(large)
    assert httpx.get(url).content == large.read_bytes()
    assert seen.total() == 3 and max(seen) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"what": "drop", "skip": 1, "times": -1}, ServiceUnavailableError),
        ({"what": "http", "status": 401, "times": -1}, AuthenticationError),
        ({"what": "http", "status": 413, "times": -1, "skip": 1}, RequestRefusedError),
        ({"what": "garbage", "times": -1}, ServiceUnavailableError),
    ],
    ids=["a dropped part", "a bad key", "too large", "garbage"],
)
async def test_a_failed_upload_raises_our_error(
    fal: Fal, twin: Twin, large: Path, fault: Any, error: type[ExternalServiceError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fal_upload, "three_attempts", lambda _: lambda send, *args: send(*args))
    twin.script(call="upload", **fault)
    with pytest.raises(error) as caught:
        await fal.upload(large)
    assert caught.value.provider == "fal"


async def test_a_part_that_is_dropped_is_sent_again(fal: Fal, twin: Twin, large: Path) -> None:
    twin.script(call="upload", what="drop", skip=2)
    assert httpx.get(await fal.upload(large)).content == large.read_bytes()


async def test_a_part_that_hangs_times_out(fal: Fal, twin: Twin, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fal_upload, "PART_S", 0.2)
    twin.script(call="upload", what="hang", seconds=1, skip=1)
    with pytest.raises(ServiceUnavailableError, match="TimeoutError"):
        await fal.upload(large)


async def test_a_lost_answer_to_an_upload_is_not_a_lost_submission(fal: Fal, twin: Twin, tmp_path: Path) -> None:
    """The SDK's fallback uploads through the guard, which takes every lost POST for a submission."""
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04")
    twin.script(call="upload", what="http", status=400)
    twin.script(call="upload", what="drop")
    with pytest.raises(ServiceUnavailableError, match="could not be uploaded"):
        await fal.upload(tmp_path / "a.zip")


async def test_an_upload_with_a_bad_key_is_an_authentication_error(twin: Twin, large: Path) -> None:
    fal = await opened(twin, key="bad")
    with pytest.raises(AuthenticationError):
        await fal.upload(large)
    await fal.aclose()


async def test_an_answer_to_an_upload_is_read_no_further_than_its_cap(
    fal: Fal, twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider, "UPLOAD_S", 2.0)  # the SDK tries again for as long as it may
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04")
    twin.script(call="upload", what="http", status=200, body={"access_url": "x" * 5_000_000}, times=-1)
    with pytest.raises(ServiceUnavailableError, match="could not be uploaded"):
        await fal.upload(tmp_path / "a.zip")


async def test_uploads_and_their_token_use_the_providers_transport(
    fal: Fal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("httpx's own transport, which follows the environment's proxies")

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", never)
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04")
    assert await fal.upload(tmp_path / "a.zip")


async def test_uploads_expire_at_fal(fal: Fal, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []
    send = fal_upload.UploadTransport.handle_async_request

    async def watched(self: Any, request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, request.headers.get("x-fal-object-lifecycle-preference")))
        return await send(self, request)

    monkeypatch.setattr(fal_upload.UploadTransport, "handle_async_request", watched)
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04")
    await fal.upload(tmp_path / "a.zip")
    await fal.upload(Media(b"x", "image/png"))
    await fal.upload(large)
    begun = [lifecycle for path, lifecycle in asked if path.endswith(("/files/upload", "/files/upload/multipart"))]
    assert begun == ['{"expiration_duration_seconds": 259200}'] * 3
