"""What every store promises, on a folder, in memory, and on the S3 wire."""

import asyncio
import errno
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from obstore.store import MemoryStore

from config.settings import GatewaySettings, StoreSettings
from tests.contract.store.s3_wire import S3Wire
from worker.errors import ServiceUnavailableError
from worker.files.base import Store
from worker.files.signing import SecretMissingError, verify
from worker.files.store import GatewayUrls, ObjectStore, open_store
from worker.jobs.file_keys import BadKeyError

KEY = "jobs/j1/images-0.png"
SECRET = "a secret of the tests"
GATEWAY = GatewaySettings(_env_file=None, secret=SECRET, public_url="http://gateway")
LARGE = bytes(range(256)) * (80 << 10)  # 20 MB: three parts of a multipart upload


def in_folder(folder: Path) -> Store:
    return open_store(StoreSettings(_env_file=None, store_url=(folder / "files").as_uri()), GATEWAY, lambda: 1000)


def in_memory() -> Store:
    return ObjectStore(MemoryStore(), GatewayUrls(SECRET, "http://gateway", lambda: 1000))


@pytest.fixture(scope="module")
def wire() -> Iterator[S3Wire]:
    with S3Wire() as wire:
        yield wire


@pytest.fixture
def s3_wire(wire: S3Wire, monkeypatch: pytest.MonkeyPatch) -> S3Wire:
    wire.forget()
    monkeypatch.setenv("AWS_ENDPOINT_URL", wire.url)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    return wire


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, s3_wire: S3Wire) -> Store:
    made: dict[str, Callable[[], Store]] = {
        "folder": lambda: in_folder(tmp_path),
        "memory": in_memory,
        "s3": lambda: open_store(StoreSettings(_env_file=None, store_url="s3://bucket/some/prefix"), GATEWAY),
    }
    return made[request.param]()


async def read(store: Store, key: str = KEY) -> bytes:
    return b"".join([chunk async for chunk in store.read(key)])


class Breaking(io.BytesIO):
    """A file that breaks off while it is read."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 9 << 20:
            raise OSError(errno.EIO, "the disk failed")
        return super().read(size)


async def test_what_was_put_is_read(store: Store) -> None:
    await store.put(KEY, io.BytesIO(b"whole"), "image/png")
    assert await read(store) == b"whole"


async def test_a_large_file_is_read_as_it_was_put(store: Store) -> None:
    await store.put(KEY, io.BytesIO(LARGE), "video/mp4")
    assert await read(store) == LARGE


async def test_a_file_is_put_from_its_beginning_and_stays_open(store: Store) -> None:
    file = io.BytesIO(b"whole")
    file.read()
    await store.put(KEY, file, "image/png")
    assert (await read(store), file.closed) == (b"whole", False)


async def test_a_second_put_replaces_the_first(store: Store) -> None:
    await store.put(KEY, io.BytesIO(LARGE), "image/png")
    await store.put(KEY, io.BytesIO(b"second"), "image/png")
    assert await read(store) == b"second"


async def test_nothing_is_left_of_a_put_that_breaks_off(store: Store) -> None:
    with pytest.raises(ServiceUnavailableError, match="the disk failed"):
        await store.put(KEY, Breaking(LARGE), "image/png")
    with pytest.raises(KeyError):
        await read(store)


async def test_a_put_that_breaks_off_leaves_what_was_there(store: Store) -> None:
    await store.put(KEY, io.BytesIO(b"first"), "image/png")
    with pytest.raises(ServiceUnavailableError):
        await store.put(KEY, Breaking(LARGE), "image/png")
    assert await read(store) == b"first"


async def test_nobody_reads_half_of_a_file_that_is_being_replaced(store: Store) -> None:
    await store.put(KEY, io.BytesIO(b"a" * 3_000_000), "image/png")
    writing = asyncio.gather(*(store.put(KEY, io.BytesIO(mark * 3_000_000), "image/png") for mark in (b"b", b"c")))
    while not writing.done():
        content = await read(store)
        assert content in {b"a" * 3_000_000, b"b" * 3_000_000, b"c" * 3_000_000}
    await writing


async def test_reading_nothing_is_a_key_error(store: Store) -> None:
    with pytest.raises(KeyError):
        await read(store)


async def test_a_deleted_file_is_gone_and_deleting_it_again_does_nothing(store: Store) -> None:
    await store.put(KEY, io.BytesIO(b"whole"), "image/png")
    await store.delete(KEY)
    await store.delete(KEY)
    with pytest.raises(KeyError):
        await read(store)


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "jobs/../../x", "jobs/%2e%2e/x", ""])
async def test_no_verb_takes_a_key_outside_the_store(store: Store, key: str) -> None:
    with pytest.raises(BadKeyError):
        await store.put(key, io.BytesIO(b"x"), "image/png")
    with pytest.raises(BadKeyError):
        await read(store, key)
    with pytest.raises(BadKeyError):
        await store.delete(key)
    with pytest.raises(BadKeyError):
        await store.url(key, 60)


async def test_a_store_within_reach_is_ready(store: Store) -> None:
    await store.ready()


async def test_a_folder_leaves_nothing_but_the_file(tmp_path: Path) -> None:
    store = in_folder(tmp_path)
    await store.put(KEY, io.BytesIO(LARGE), "image/png")
    with pytest.raises(ServiceUnavailableError):
        await store.put("jobs/j1/images-1.png", Breaking(LARGE), "image/png")
    assert [path.name for path in (tmp_path / "files").rglob("*") if path.is_file()] == ["images-0.png"]


async def test_a_folder_hands_out_urls_of_the_gateway(tmp_path: Path) -> None:
    url = urlsplit(await in_folder(tmp_path).url(KEY, 60))
    query = parse_qs(url.query)
    assert (url.netloc, url.path, query["expires"]) == ("gateway", f"/files/{KEY}", ["1060"])
    verify(SECRET, KEY, query["expires"][0], query["signature"][0], now=1059)


async def test_a_folder_that_vanished_is_not_ready(tmp_path: Path) -> None:
    store = in_folder(tmp_path)
    (tmp_path / "files").rmdir()
    with pytest.raises(ServiceUnavailableError, match="not a folder that can be written"):
        await store.ready()


def test_a_folder_needs_a_secret(tmp_path: Path) -> None:
    with pytest.raises(SecretMissingError, match="KILNHAND_SECRET"):
        open_store(
            StoreSettings(_env_file=None, store_url=tmp_path.as_uri()), GatewaySettings(_env_file=None, secret=None)
        )


async def test_s3_keeps_the_content_type_under_the_prefix(s3_wire: S3Wire) -> None:
    store = open_store(StoreSettings(_env_file=None, store_url="s3://bucket/some/prefix"), GATEWAY)
    await store.put(KEY, io.BytesIO(b"whole"), "image/png")
    await store.put("jobs/j1/video-0.mp4", io.BytesIO(LARGE), "video/mp4")
    assert s3_wire.types == {
        f"/bucket/some/prefix/{KEY}": "image/png",
        "/bucket/some/prefix/jobs/j1/video-0.mp4": "video/mp4",
    }


async def test_s3_hands_out_urls_that_it_serves_itself_for_a_week_at_most(s3_wire: S3Wire) -> None:
    store = open_store(StoreSettings(_env_file=None, store_url="s3://bucket/some/prefix"), GATEWAY)
    url = urlsplit(await store.url(KEY, 365 * 86400))
    assert f"http://{url.netloc}{url.path}" == f"{s3_wire.url}/bucket/some/prefix/{KEY}"
    assert parse_qs(url.query)["X-Amz-Expires"] == ["604800"]
    assert "hush" not in url.query


async def test_s3_that_refuses_our_key_says_so_in_one_line(s3_wire: S3Wire) -> None:
    store = open_store(StoreSettings(_env_file=None, store_url="s3://bucket"), GATEWAY)
    s3_wire.refusing = True
    for verb in (store.ready(), store.put(KEY, io.BytesIO(b"whole"), "image/png")):
        with pytest.raises(ServiceUnavailableError, match=r"the store failed: .*403") as caught:
            await verb
        assert "\n" not in caught.value.message
