"""Files that go with a call, over a transport that answers as told and a store in memory."""

import asyncio
import base64

import httpx
import pytest

from tests.integration.foreign.bombs import _zip
from tests.unit.files.conftest import JPEG, NOW, PNG, ROOT, Make
from tests.unit.files.files import bomb, noise, picture, video
from worker.errors import RequestRefusedError, ServiceUnavailableError
from worker.files.fit import ImageLimits
from worker.files.input_refs import may_be_handed_on
from worker.files.media import Media
from worker.files.verify import VerifyLimits
from worker.net.public import AddressPolicy


async def test_files_come_in_the_order_of_their_references_by_what_their_bytes_say(bench: Make) -> None:
    one = bench()
    url = await one.keep("jobs/j1/images-0.jpg", JPEG)
    inline = f"DATA:image/gif;base64,{base64.b64encode(JPEG).decode()}"

    media = await one.bring("https://cdn.example/a", "jobs/j1/images-0.jpg", url, inline)

    assert [each.content_type for each in media] == ["image/png", *["image/jpeg"] * 3]
    assert [each.data for each in media] == [PNG, JPEG, JPEG, JPEG]
    assert one.asked == {"https://cdn.example/a": 1}, "our own file is read from the store"


async def test_a_file_named_twice_is_fetched_once(bench: Make) -> None:
    one = bench()
    media = await one.bring("https://a.example/", "https://b.example/", "https://a.example/")

    assert [each.data for each in media] == [PNG] * 3
    assert one.asked == {"https://a.example/": 1, "https://b.example/": 1}


async def test_nothing_asked_for_is_nothing_brought(bench: Make) -> None:
    assert await bench().bring() == ()


async def test_a_refusal_names_the_first_place_of_its_reference_and_what_is_allowed(bench: Make) -> None:
    one = bench()
    error = await one.refusal(
        "https://a.example/", "c:/photo.png", "c:/photo.png", labels=["image_urls.0", "image_urls.1", "image_urls.2"]
    )

    assert error.message.startswith("image_urls.1: names no file; allowed: an http:// or https:// URL, a data: URI")
    assert error.kind == "address"


async def test_our_own_url_opens_its_file_only_while_it_is_signed(bench: Make) -> None:
    one = bench()
    url = await one.keep("jobs/j1/images-0.png", PNG)
    assert (await one.bring(url.replace("http://gateway", "HTTP://GATEWAY")))[0].data == PNG

    for wrong, kind in (
        (url.replace("images-0", "images-1"), "signature"),
        (url + "0", "signature"),
        (url.partition("?")[0], "signature"),
        (f"{ROOT}/files/../secret?{url.partition('?')[2]}", "address"),
    ):
        assert (await one.refusal(wrong)).kind == kind
    one.inputs._own._clock = lambda: NOW + 61
    assert "expired" in (await one.refusal(url)).message
    assert one.asked == {}


@pytest.mark.parametrize("root", ["https://gateway.example:8080", "http://gateway.example", "http://cdn.example:8080"])
async def test_a_url_like_ours_somewhere_else_is_fetched_from_there(bench: Make, root: str) -> None:
    one = bench()
    url = await one.keep("jobs/j1/images-0.jpg", JPEG)

    assert (await one.bring(url.replace(ROOT, root)))[0].data == PNG
    assert len(one.asked) == 1


async def test_a_file_that_the_store_has_lost_is_missing(bench: Make) -> None:
    error = await bench().refusal("jobs/j1/images-0.png")
    assert (error.kind, error.message) == ("missing", "files.0: our store has no file jobs/j1/images-0.png")


@pytest.mark.parametrize(("status", "kind"), [(403, "status"), (404, "status"), (410, "status")])
async def test_a_server_that_refuses_ends_it(bench: Make, status: int, kind: str) -> None:
    error = await bench(lambda _: httpx.Response(status, content=b"secret words")).refusal("https://a.example/?t=x")
    assert (error.kind, error.status) == (kind, status)
    assert error.message == f"files.0: https://a.example/ answered HTTP {status}"


async def test_a_server_that_is_away_does_not(bench: Make) -> None:
    with pytest.raises(ServiceUnavailableError, match=r"files\.0: https://a\.example/ answered HTTP 503"):
        await bench(lambda _: httpx.Response(503)).bring("https://a.example/")


async def test_files_are_refused_when_they_are_too_large_together(bench: Make) -> None:
    data = noise("PNG", (200, 200))
    one = bench(data)
    assert await one.bring("https://a.example/", most_bytes=len(data))
    error = await one.refusal("https://a.example/", "https://b.example/", most_bytes=len(data) * 2 - 1)
    assert error.kind == "too_large"
    assert error.message.endswith("MB together; send fewer, or smaller ones")
    assert (await one.refusal("https://a.example/", most_bytes=len(data) - 1)).kind == "too_large"


async def test_a_black_picture_is_a_fine_input_and_one_of_too_many_pixels_is_not(bench: Make) -> None:
    black = picture("PNG", colour=(0, 0, 0))
    assert (await bench(black).bring("https://a.example/"))[0].data == black
    error = await bench(picture("PNG", (1001, 1000))).refusal("https://a.example/")
    assert error.kind == "too_many_pixels"
    assert "1 megapixels" in error.message


async def test_pictures_are_made_to_fit_and_other_kinds_are_not(bench: Make) -> None:
    (media,) = await bench(picture("PNG", (400, 300))).bring("https://a.example/", fit=ImageLimits(most_pixels=5000))
    assert media.content_type == "image/jpeg"

    movie = video()
    (media,) = await bench(movie).bring("https://a.example/", kind="video")
    assert media == Media(movie, "video/mp4")
    error = await bench(movie).refusal("https://a.example/", kind="video", fit=ImageLimits(most_bytes=100))
    assert (error.kind, error.message) == ("too_large", "files.0: larger than the 0.0001 MB that the provider takes")


async def test_archives_are_looked_into(bench: Make) -> None:
    whole = _zip({"a.png": PNG})
    assert await bench(whole).bring("https://a.example/", kind="file") == (Media(whole, "application/zip"),)
    assert (await bench(_zip({"a": bytes(4 << 20)})).refusal("https://a.example/", kind="file")).kind == "bomb"


async def test_the_first_refusal_ends_the_other_fetches(bench: Make) -> None:
    ended = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "bad.example":
            return httpx.Response(403)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.set()
            raise
        raise AssertionError

    one = bench()
    one.inputs._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    await one.refusal("https://slow.example/", "https://bad.example/")
    assert ended.is_set()
    await one.inputs._client.aclose()


async def test_what_a_provider_cannot_fetch_is_uploaded_once(bench: Make) -> None:
    one = bench()
    url = await one.keep("jobs/j1/images-0.png", PNG)
    uploaded: list[Media] = []

    async def upload(media: Media) -> str:
        uploaded.append(media)
        return f"https://cdn.provider/{len(uploaded)}"

    inline = f"data:;base64,{base64.b64encode(JPEG).decode()}"
    refs = ["https://a.example/x", "jobs/j1/images-0.png", inline, "jobs/j1/images-0.png", url]
    urls = await one.inputs.as_urls(refs, upload, most_bytes=1 << 20)

    assert urls == (
        "https://a.example/x",
        "https://cdn.provider/1",
        "https://cdn.provider/2",
        "https://cdn.provider/1",
        url,
    )
    assert [each.content_type for each in uploaded] == ["image/png", "image/jpeg"]
    assert one.asked == {}


async def test_a_refusal_before_an_upload_names_the_place_in_the_field(bench: Make) -> None:
    async def upload(media: Media) -> str:
        raise AssertionError

    with pytest.raises(RequestRefusedError, match=r"^images\.1: "):
        await bench().inputs.as_urls(
            ["https://a.example/x", "nothing"], upload, most_bytes=9, labels=["images.0", "images.1"]
        )


@pytest.mark.parametrize(
    ("ref", "may"),
    [
        ("https://cdn.example/a.png?token=x", True), ("http://8.8.8.8/a", True), ("http://127.0.0.1:8080/files/a", False),
        ("http://localhost/a", False), ("http://10.0.0.1/", False), ("http://minio:9000/", False), ("https://u:p@cdn.example/", False),
        ("data:image/png;base64,AAAA", False), ("jobs/a/images-0.png", False), ("http://[::1", False), ("", False),
    ],
)  # fmt: skip
def test_only_a_plain_public_url_is_handed_on(ref: str, may: bool) -> None:
    assert may_be_handed_on(ref, AddressPolicy()) is may


async def test_a_file_of_another_tenant_is_not_read_by_key_or_by_url(bench: Make) -> None:
    one = bench()
    key = "jobs/t-acme/5b0f/images-0.png"
    url = await one.keep(key, PNG)

    for ref in (key, url):
        assert (await one.bring(ref, tenant="acme"))[0].data == PNG
        for tenant in ("other", None):
            assert (await one.refusal(ref, tenant=tenant)).kind == "tenant"


async def test_a_picture_with_too_many_pixels_for_a_call_is_refused_before_it_is_decoded(bench: Make) -> None:
    one = bench(bomb(9000, 9000))
    one.verifier._limits = VerifyLimits(120_000_000)
    error = await one.refusal("https://x/bomb.png")
    assert (error.kind, "64 megapixels" in error.message) == ("too_many_pixels", True)
