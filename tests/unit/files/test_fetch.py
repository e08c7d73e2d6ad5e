"""From a provider's answer to files in the store, over a transport that answers as told."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from obstore.store import MemoryStore

from tests.unit.files.files import noise, picture, video, weights
from worker.errors import (
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    RateLimitError,
    ServiceUnavailableError,
)
from worker.files.fetch import Fetcher
from worker.files.limits import FetchLimits
from worker.files.store import GatewayUrls, ObjectStore
from worker.files.verify import Verifier, VerifyLimits
from worker.jobs.job import Artefact, Piece
from worker.net.pace import PACE, Pace

IMAGE = Piece("images", "image", "images.*")
Answering = Callable[[httpx.Request], httpx.Response]


class Bench:
    """A fetcher over a scripted transport, its store, and what was asked for and waited."""

    def __init__(
        self,
        answering: Answering,
        most_bytes: int = 4 << 20,
        concurrent: int = 16,
        total_s: float = 30,
        folder: Path | None = None,
        pace: Pace = PACE,
    ) -> None:
        self.asked: list[str] = []
        self.waits: list[float] = []
        self.objects = MemoryStore()
        self.store = ObjectStore(self.objects, GatewayUrls("a secret of the tests", "http://gateway", lambda: 0))
        self.verifier = Verifier(VerifyLimits(120_000_000))
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._note(answering)))
        limits = FetchLimits(most_bytes, concurrent, total_s, folder, pace)
        self.fetcher = Fetcher(self.client, self.store, self.verifier, limits, self._wait)

    def _note(self, answering: Answering) -> Answering:
        def answer(request: httpx.Request) -> httpx.Response:
            self.asked.append(str(request.url))
            return answering(request)

        return answer

    async def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def fetch(
        self, url: str = "https://cdn/0.png", piece: Piece = IMAGE, job_id: str = "j1", **more: Any
    ) -> Artefact:
        answer = {"images": [{"url": url}], **more}
        (artefact,) = await self.fetcher.fetch_all(job_id, answer, [piece])
        return artefact

    async def read(self, key: str) -> bytes:
        return b"".join([chunk async for chunk in self.store.read(key)])

    def keys(self) -> list[str]:
        return [meta["path"] for page in self.objects.list() for meta in page]

    async def refusal(self, url: str = "https://cdn/0.png", **more: Any) -> ExternalServiceError:
        with pytest.raises(ExternalServiceError) as caught:
            await self.fetch(url, **more)
        assert self.keys() == [], "nothing may be in the store after a failure"
        return caught.value


@pytest.fixture
async def bench() -> AsyncIterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(answering: Answering | bytes, **limits: Any) -> Bench:
        given = answering if callable(answering) else lambda _: httpx.Response(200, content=answering)
        made.append(Bench(given, **limits))
        return made[-1]

    yield make
    for one in made:
        one.verifier.close()
        await one.client.aclose()


Make = Callable[..., Bench]


async def test_a_picture_is_stored_measured_and_named(bench: Make) -> None:
    content = picture("JPEG")
    one = bench(content)
    artefact = await one.fetch()
    assert artefact == Artefact(
        name="images",
        key="jobs/j1/images-0.jpg",
        kind="image",
        content_type="image/jpeg",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        width=64,
        height=48,
    )
    assert await one.read(artefact.key) == content


async def test_a_large_file_passes_over_the_disk_whole(bench: Make) -> None:
    content = noise("PNG", (1200, 1200))
    assert len(content) > 3 << 20
    one = bench(content, most_bytes=8 << 20)
    artefact = await one.fetch()
    assert (
        artefact.sha256
        == hashlib.sha256(await one.read(artefact.key)).hexdigest()
        == hashlib.sha256(content).hexdigest()
    )


async def test_a_second_fetch_replaces_the_first(bench: Make) -> None:
    one = bench(picture())
    assert await one.fetch() == await one.fetch()
    assert one.keys() == ["jobs/j1/images-0.png"]


@pytest.mark.parametrize(
    ("piece", "content", "ending"),
    [
        (Piece("video", "video", "images.*"), video(), "mp4"),
        (Piece("weights", "weights", "images.*"), weights(), "safetensors"),
        (Piece("config", "json", "images.*"), b"{}", "json"),
        (Piece("archive", "file", "images.*"), b"PK", "png"),
    ],
)
async def test_other_kinds_are_stored_too(bench: Make, piece: Piece, content: bytes, ending: str) -> None:
    artefact = await bench(content).fetch(piece=piece)
    assert (artefact.kind, artefact.key) == (piece.kind, f"jobs/j1/{piece.name}-0.{ending}")
    assert (artefact.duration_s is not None) == (piece.kind == "video")


async def test_a_file_past_the_limit_is_refused_by_its_announced_size(bench: Make) -> None:
    error = await bench(b"\x89PNG" + b"x" * 3000, most_bytes=2000).refusal()
    assert isinstance(error, BrokenPieceError)
    assert "KILNHAND_MAX_FILE_MB" in error.message


async def test_a_file_that_grows_past_the_limit_is_cut_off(bench: Make) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1000
            yield b"x" * 1000

    error = await bench(lambda _: httpx.Response(200, content=endless()), most_bytes=1 << 20).refusal()
    assert isinstance(error, BrokenPieceError)
    assert sent < 2 << 20


async def test_a_body_shorter_than_announced_is_tried_again(bench: Make) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield picture()[:50]

    one = bench(lambda _: httpx.Response(200, headers={"content-length": "5000"}, content=half()))
    error = await one.refusal()
    assert isinstance(error, ServiceUnavailableError)
    assert "cut short, 50 of 5000 bytes" in error.message
    assert (len(one.asked), one.waits) == (3, [1, 2])


@pytest.mark.parametrize("status", [404, 408, 500, 502, 503, 504])
async def test_a_passing_refusal_is_tried_again_until_it_passes(bench: Make, status: int) -> None:
    answers = iter([httpx.Response(status), httpx.Response(status), httpx.Response(200, content=picture())])
    one = bench(lambda _: next(answers))
    assert (await one.fetch()).width == 64
    assert one.waits == [1, 2]


@pytest.mark.parametrize("status", [204, 304, 400, 401, 403, 410, 451])
async def test_a_lasting_refusal_is_not_tried_again(bench: Make, status: int) -> None:
    one = bench(lambda _: httpx.Response(status))
    error = await one.refusal()
    assert (type(error), error.status, len(one.asked)) == (BrokenPieceError, status, 1)


async def test_a_pause_asked_for_is_handed_on(bench: Make) -> None:
    error = await bench(lambda _: httpx.Response(429, headers={"retry-after": "7"})).refusal()
    assert isinstance(error, RateLimitError)
    assert error.retry_after_s == 7


@pytest.mark.parametrize("cause", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError, httpx.ReadError])
async def test_a_broken_wire_is_tried_again(bench: Make, cause: type[httpx.TransportError]) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise cause("")

    one = bench(broken)
    error = await one.refusal()
    assert isinstance(error, ServiceUnavailableError)
    assert cause.__name__ in error.message
    assert len(one.asked) == 3


async def test_a_file_that_drips_for_too_long_is_given_up(bench: Make) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    one = bench(lambda _: httpx.Response(200, content=silent()), total_s=0.01)
    assert "took more than 0.01 s" in (await one.refusal()).message


async def test_a_page_in_place_of_a_picture_is_not_tried_again(bench: Make) -> None:
    one = bench(lambda _: httpx.Response(200, html="<html>login</html>"))
    error = await one.refusal()
    assert (type(error), error.message) == (BrokenPieceError, "images.0: promised an image, got text/html")
    assert len(one.asked) == 1


async def test_a_flagged_picture_is_refused_without_fetching_it(bench: Make) -> None:
    one = bench(picture())
    assert isinstance(await one.refusal(has_nsfw_concepts=[True]), ContentRefusedError)
    assert one.asked == []


async def test_an_upload_is_known_while_it_lasts(bench: Make) -> None:
    one = bench(picture())
    put, seen = one.store.put, []

    async def slow(key: str, *file: Any) -> None:
        seen.append((one.fetcher.is_uploading("j1"), one.fetcher.is_uploading("j2")))
        if len(seen) == 2:
            raise OSError("the disk is full")
        await put(key, *file)

    one.store.put = slow  # type: ignore[method-assign]
    await one.fetch()
    with pytest.raises(OSError, match="full"):
        await one.fetch()
    assert seen == [(True, False)] * 2
    assert not one.fetcher.is_uploading("j1")
    assert not one.fetcher._uploads, "nothing is remembered"


async def test_one_broken_picture_ends_them_all(bench: Make) -> None:
    one = bench(lambda r: httpx.Response(403) if r.url.path == "/1" else httpx.Response(200, content=picture()))
    answer = {"images": [{"url": f"https://cdn/{n}"} for n in range(4)]}
    with pytest.raises(BrokenPieceError, match=r"images\.1: .* answered HTTP 403"):
        await one.fetcher.fetch_all("j1", answer, [Piece("images", "image", "images.*", count=4)])


async def test_one_bad_picture_loses_no_other(bench: Make) -> None:
    def answering(request: httpx.Request) -> httpx.Response:
        black = picture(colour=(0, 0, 0))
        return {"/1": httpx.Response(403), "/2": httpx.Response(200, content=black)}.get(
            request.url.path, httpx.Response(200, content=picture())
        )

    one, piece = bench(answering), Piece("images", "image", "images.*", count=4)
    answer = {"images": [{"url": f"https://cdn/{n}"} for n in range(4)], "has_nsfw_concepts": True}
    rest = await one.fetcher.fetch_rest("j1", answer, [piece])
    assert [artefact.key for artefact in rest.artefacts] == ["jobs/j1/images-0.png", "jobs/j1/images-3.png"]
    assert [type(error) for error in rest.missing] == [BrokenPieceError, ContentRefusedError]
    assert rest.missing[0].message.startswith("images.1: https://cdn/1 answered HTTP 403")
    assert rest.missing[1].message.startswith("images.2: entirely black")


async def test_nothing_is_left_of_a_list_that_is_bad_and_of_a_single_file(bench: Make) -> None:
    one = bench(lambda r: httpx.Response(200, content=picture()) if r.url.path == "/good" else httpx.Response(403))
    bad = {"images": [{"url": "https://cdn/1"}, {"url": "https://cdn/2"}]}
    with pytest.raises(BrokenPieceError, match=r"images\.0: .* answered HTTP 403"):
        await one.fetcher.fetch_rest("j1", bad, [IMAGE])
    with pytest.raises(BrokenPieceError, match="no other file"):
        await one.fetcher.fetch_rest("j1", {"images": [{"url": "https://cdn/1"}]}, [IMAGE])
    both = {"images": [{"url": "https://cdn/good"}], "video": {"url": "https://cdn/v"}}
    with pytest.raises(BrokenPieceError, match=r"video: .* answered HTTP 403"):
        await one.fetcher.fetch_rest("j1", both, [IMAGE, Piece("video", "video", "video")])


async def test_one_bad_picture_inside_an_answer_loses_no_other(bench: Make) -> None:
    rest = await bench(b"").fetcher.keep_rest("j1", [picture(), b"<html>", picture()], [SOME])
    assert [artefact.key for artefact in rest.artefacts] == ["jobs/j1/images-0.png", "jobs/j1/images-2.png"]
    assert [error.message for error in rest.missing] == ["images.1: promised an image, got text/html"]


async def test_redirects_are_followed_a_few_times(bench: Make) -> None:
    def hop(request: httpx.Request) -> httpx.Response:
        left = int(request.url.path[1:])
        return (
            httpx.Response(302, headers={"location": f"/{left - 1}"})
            if left
            else httpx.Response(200, content=picture())
        )

    assert (await bench(hop).fetch("https://cdn/5")).width == 64
    error = await bench(hop).refusal("https://cdn/6")
    assert (type(error), "redirects more than 5 times" in error.message) == (BrokenPieceError, True)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://cdn/x", "https://me:word@cdn/x", "gopher://cdn", "//"])
async def test_an_address_of_another_kind_is_refused_at_once_and_after_a_redirect(bench: Make, target: str) -> None:
    direct, behind = bench(picture()), bench(lambda _: httpx.Response(302, headers={"location": target}))
    errors = [await direct.refusal(target)] if target != "//" else []
    for error in (*errors, await behind.refusal()):
        assert isinstance(error, BrokenPieceError)
        assert "word" not in error.message
    assert direct.asked == []


async def test_a_message_shows_no_query(bench: Make) -> None:
    error = await bench(lambda _: httpx.Response(403)).refusal("https://cdn/0.png?token=hush#hush")
    assert error.message == "images.0: https://cdn/0.png answered HTTP 403"


@pytest.mark.parametrize("head", ["data:image/png;base64,", "data:;base64,", "data:image/jpeg;base64,"])
async def test_a_picture_inside_the_answer_is_stored_by_what_it_is(bench: Make, head: str) -> None:
    one = bench(b"")
    artefact = await one.fetch(head + base64.b64encode(picture()).decode())
    assert (artefact.content_type, one.asked) == ("image/png", [])


@pytest.mark.parametrize(
    "url", ["data:image/png;base64,====A", "data:image/png;base64", "data:,", "data:text/html,<p>x"]
)
async def test_a_data_uri_without_a_picture_is_broken(bench: Make, url: str) -> None:
    assert isinstance(await bench(b"").refusal(url), BrokenPieceError)


async def test_a_data_uri_past_the_limit_is_refused(bench: Make) -> None:
    url = "data:image/png;base64," + base64.b64encode(b"x" * 5000).decode()
    assert "KILNHAND_MAX_FILE_MB" in (await bench(b"", most_bytes=2000).refusal(url)).message


async def test_an_encoding_that_nobody_asked_for_is_refused(bench: Make) -> None:
    one = bench(lambda _: httpx.Response(200, headers={"content-encoding": "gzip"}, content=iter_once(b"\x1f\x8b")))
    assert isinstance(await one.refusal(), BrokenPieceError)


async def iter_once(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def test_two_hundred_pictures_come_in_with_few_at_a_time(bench: Make) -> None:
    under_way = most = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        yield content
        under_way -= 1

    content = picture("JPEG")
    one = bench(lambda _: httpx.Response(200, content=body()), concurrent=8)
    artefacts = await asyncio.gather(*(one.fetch(f"https://cdn{n % 10}/{n}.jpg", job_id=f"j{n}") for n in range(200)))
    assert len({artefact.key for artefact in artefacts}) == len(one.keys()) == 200
    assert 1 < most <= 8


async def test_a_store_that_fails_is_tried_again_later(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench(picture())

    async def full(*_: object) -> None:
        raise ServiceUnavailableError("the store failed: no space left")

    one.store.put = full  # type: ignore[method-assign]
    assert "no space left" in (await one.refusal()).message
    assert len(one.asked) == 3


SOME = Piece("images", "image", "images.*", count=3)


async def test_files_inside_an_answer_are_stored_whole_and_in_order(bench: Make) -> None:
    one, files = bench(b""), [picture("JPEG"), picture("PNG"), picture("JPEG", (32, 16))]
    artefacts = await one.fetcher.keep_all("j1", files, [SOME])
    assert [artefact.key for artefact in artefacts] == [
        "jobs/j1/images-0.jpg",
        "jobs/j1/images-1.png",
        "jobs/j1/images-2.jpg",
    ]
    assert [await one.read(artefact.key) for artefact in artefacts] == files
    assert [artefact.sha256 for artefact in artefacts] == [hashlib.sha256(file).hexdigest() for file in files]
    assert (artefacts[2].width, artefacts[2].height, one.asked) == (32, 16, [])


async def test_fewer_files_than_promised_are_kept_and_no_more_than_that(bench: Make) -> None:
    one = bench(b"")
    assert len(await one.fetcher.keep_all("j1", [picture()] * 2, [SOME])) == 2
    assert len(await one.fetcher.keep_all("j2", [picture()] * 5, [SOME])) == 3


async def test_files_go_to_the_pieces_in_the_order_of_promise(bench: Make) -> None:
    pieces = [Piece("image", "image", "image"), Piece("video", "video", "video")]
    artefacts = await bench(b"").fetcher.keep_all("j1", [picture(), video()], pieces)
    assert [(artefact.name, artefact.kind) for artefact in artefacts] == [("image", "image"), ("video", "video")]


@pytest.mark.parametrize("content", [b"", b"<html>", picture()[:60], video()])
async def test_a_file_inside_an_answer_that_is_not_the_piece_is_never_stored(bench: Make, content: bytes) -> None:
    one = bench(b"")
    with pytest.raises(BrokenPieceError):
        await one.fetcher.keep_all("j1", [content], [IMAGE])
    assert one.keys() == []


async def test_a_file_inside_an_answer_past_the_limit_is_refused(bench: Make) -> None:
    one = bench(b"", most_bytes=2000)
    with pytest.raises(BrokenPieceError, match="KILNHAND_MAX_FILE_MB"):
        await one.fetcher.keep_all("j1", [b"x" * 5000], [IMAGE])


async def test_a_file_inside_an_answer_is_an_upload_while_it_is_stored(bench: Make) -> None:
    one = bench(b"")
    put, seen = one.store.put, []

    async def watched(*file: Any) -> None:
        seen.append(one.fetcher.is_uploading("j1"))
        await put(*file)

    one.store.put = watched  # type: ignore[method-assign]
    await one.fetcher.keep_all("j1", [picture()], [IMAGE])
    assert (seen, one.fetcher.is_uploading("j1")) == ([True], False)


async def test_a_store_that_fails_is_no_fault_of_the_file(bench: Make) -> None:
    one = bench(b"")

    async def away(*_: object) -> None:
        raise ServiceUnavailableError("the store failed: away")

    one.store.put = away  # type: ignore[method-assign]
    with pytest.raises(ServiceUnavailableError):
        await one.fetcher.keep_all("j1", [picture()], [IMAGE])
    assert one.waits == [], "whoever holds the answer decides how long it is tried"


async def _drip() -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(0.01)


async def test_files_that_drip_do_not_hold_the_slots_of_others(bench: Make) -> None:
    content = picture()

    def answering(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=_drip() if request.url.host == "slow" else content)

    one = bench(answering, total_s=600, pace=Pace(window_s=600))
    four = Piece("images", "image", "images.*", count=4)
    slow = [
        asyncio.ensure_future(
            one.fetcher.fetch_all(f"s{n}", {"images": [{"url": f"https://slow/{n}/{i}"} for i in range(4)]}, [four])
        )
        for n in range(4)
    ]
    while len(one.asked) < 8:  # two for each job
        await asyncio.sleep(0.001)
    async with asyncio.timeout(60):
        await asyncio.gather(*(one.fetch(f"https://cdn/{n}.png", job_id=f"g{n}") for n in range(5)))
    assert not any(work.done() for work in slow)
    for work in slow:
        work.cancel()
    await asyncio.gather(*slow, return_exceptions=True)


async def test_a_file_that_drips_is_given_up_and_not_tried_again_at_once(bench: Make) -> None:
    one = bench(lambda _: httpx.Response(200, content=_drip()), total_s=60, pace=Pace(window_s=0.05))
    assert ((await one.refusal()).kind, len(one.asked)) == ("too_slow", 1)


async def test_a_picture_has_a_limit_of_its_own(bench: Make) -> None:
    one = bench(lambda _: httpx.Response(200, headers={"content-length": str(200 << 20)}), most_bytes=2_000_000_000)
    error = await one.refusal()
    assert (error.kind, "100 MB" in error.message) == ("too_large", True)


async def test_a_full_temporary_folder_is_a_passing_error(bench: Make, tmp_path: Path) -> None:
    content = noise("PNG", (1200, 1200))
    one = bench(content, most_bytes=8 << 20, folder=tmp_path / "gone")
    with pytest.raises(ServiceUnavailableError) as caught:
        await one.fetch()
    assert (caught.value.kind, len(one.asked)) == ("disk", 1)
    (tmp_path / "gone").mkdir()
    assert (await one.fetch()).bytes == len(content)


async def test_a_store_that_takes_no_bytes_is_given_up(bench: Make) -> None:
    one = bench(picture(), pace=Pace(start_s=0.01))

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    one.store.put = hang  # type: ignore[method-assign]
    assert (await one.refusal()).kind == "store"


async def test_a_job_with_many_files_and_a_tenant_gets_all_of_them(bench: Make) -> None:
    async def slowly(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.002)
        return httpx.Response(200, content=picture())

    one = bench(slowly)
    answer = {"images": [{"url": f"https://cdn/{n}"} for n in range(60)]}
    many = await one.fetcher.fetch_all("j1", answer, [Piece("images", "image", "images.*", count=60)], tenant="acme")
    assert len(many) == 60
