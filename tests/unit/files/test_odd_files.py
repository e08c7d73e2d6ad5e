"""What becomes of each file of `odd_files` at every door: a URL, a key, a data: URI, a chain, a provider's answer."""

import base64
import io
import random
import re
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from PIL import Image
from pydantic import TypeAdapter

from tests.unit.files.conftest import Make
from tests.unit.files.odd_files import FILES, JPEG, PNG, SIZE, Odd, drawn, heic, saved, turned
from worker.errors import BrokenPieceError, RequestRefusedError
from worker.files import verify as verifying
from worker.files.convert import PLAIN_TYPES, convert
from worker.files.fetch import Fetcher
from worker.files.file_info import DefectError
from worker.files.fit import ImageLimits
from worker.files.heif import add_decoder
from worker.files.limits import FetchLimits
from worker.files.odd_refs import has_odd_ending, is_odd_inline
from worker.files.pieces import FoundFile
from worker.files.verify import verify
from worker.jobs.file_refs import Image as ImageRef
from worker.jobs.job import Piece

URL, KEY = "https://cdn.example/a/b", "jobs/a1/images-0.bin"
DOORS = ["url", "key", "data", "chain"]
PIXELS = 1_000_000
IMAGES = [odd for odd in FILES if odd.kind == "image" and not odd.given.startswith("!")]


@cache
def made(odd: Odd) -> bytes:
    return odd.make()


@pytest.fixture(autouse=True)
def in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child process takes half a second, and these are hundreds of files; other tests have real ones."""
    if "real_process" in request.fixturenames:
        return
    add_decoder()

    async def decode(found: FoundFile, file: Any, most_pixels: int, may_be_black: bool, _: int) -> Any:
        return verify(found, file, most_pixels, may_be_black)

    async def converted(found: FoundFile, file: Any, taken: Any, most_pixels: int, _: int) -> Any:
        try:
            return convert(file, verify(found, file, most_pixels, True).form, taken)
        except DefectError as error:
            raise BrokenPieceError(f"{found.label}: {error}", kind=error.kind) from error

    monkeypatch.setattr(verifying, "decode_in_process", decode)
    monkeypatch.setattr(verifying, "convert_in_process", converted)


@pytest.fixture
def real_process() -> None:
    """Asks for a real child."""


def test_the_folder_has_sixty_files_and_more() -> None:
    assert len({odd.name for odd in FILES}) == len(FILES) >= 60


async def ref_at(door: str, one: Any, data: bytes) -> str:
    match door:
        case "url":
            return URL
        case "data":
            return f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"
        case "chain":
            url = await one.keep(KEY, data)
            return TypeAdapter(ImageRef).validate_python({"url": url, "key": KEY, "bytes": len(data)})
    await one.keep(KEY, data)
    return KEY


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("odd", FILES, ids=lambda odd: odd.name)
async def test_what_an_endpoint_is_given(bench: Make, odd: Odd, door: str) -> None:
    data = made(odd)
    one = bench(data)
    if odd.kind == "file" and door == "chain":
        door = "key"
    ref = await ref_at(door, one, data)
    if odd.given.startswith("!"):
        with pytest.raises(RequestRefusedError) as caught:
            await one.bring(ref, kind=odd.kind, most_bytes=40 << 20)
        assert re.search(odd.given[1:], caught.value.message)
        return
    (media,) = await one.bring(ref, kind=odd.kind, most_bytes=40 << 20)
    assert odd.given in {"*", media.content_type}
    if odd.kind == "image":
        seen = verify(FoundFile(Piece("x", "image", "x"), 0, ""), io.BytesIO(media.data), PIXELS, may_be_black=True)
        assert (seen.width, seen.height) == odd.size, "nobody turns a picture on the way"
        assert seen.oddity == "" and media.content_type in PLAIN_TYPES


@pytest.mark.parametrize("odd", FILES, ids=lambda odd: odd.name)
async def test_what_is_kept_of_a_providers_answer(bench: Make, odd: Odd) -> None:
    one = bench(made(odd))

    async def no_pause(_: float) -> None:
        return None

    fetcher = Fetcher(one.client, one.store, one.verifier, FetchLimits(40 << 20), no_pause)
    answer, piece = {"out": {"url": URL}}, Piece("out", odd.kind, "out")
    if odd.kept.startswith("!"):
        with pytest.raises(BrokenPieceError, match=odd.kept[1:]):
            await fetcher.fetch_all("j1", answer, [piece])
        return
    (artefact,) = await fetcher.fetch_all("j1", answer, [piece])
    assert odd.kept in {"*", artefact.content_type}
    assert artefact.bytes == len(made(odd)), "a paid piece is kept as it came"
    assert odd.size in {None, (artefact.width, artefact.height)}, "sizes are those of the upright picture"


@pytest.mark.parametrize("odd", [odd for odd in IMAGES if odd.size == SIZE], ids=lambda odd: odd.name)
def test_a_converted_picture_shows_what_the_file_shows(odd: Odd) -> None:
    if "turned" in odd.name or odd.name in {"png with transparency"}:
        return
    seen = verify(FoundFile(Piece("x", "image", "x"), 0, ""), io.BytesIO(made(odd)), PIXELS, may_be_black=True)
    media = convert(io.BytesIO(made(odd)), seen.form, PLAIN_TYPES)
    with Image.open(io.BytesIO(media.data)) as picture:
        left, right = (picture.convert("L").getpixel((x, 16)) for x in (2, 45))
    assert abs(float(left) - float(right)) > 150, "neither white nor black all over"  # type: ignore[arg-type]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_conversion_turns_the_picture_upright(orientation: int) -> None:
    upright = Image.open(io.BytesIO(saved("PNG", drawn())))
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = upright if back is None else upright.transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = verify(
        FoundFile(Piece("x", "image", "x"), 0, ""), io.BytesIO(data := saved("PNG", stored, exif=exif)), PIXELS
    )
    with Image.open(io.BytesIO(convert(io.BytesIO(data), seen.form, {PNG}).data)) as found:
        assert found.tobytes() == upright.convert("RGB").tobytes() and (seen.width, seen.height) == SIZE


async def test_what_an_endpoint_takes_is_not_converted(bench: Make) -> None:
    gif = saved("GIF")
    (media,) = await bench(gif).bring(URL, fit=ImageLimits(content_types={"image/gif", PNG}))
    assert media.data == gif
    jpeg = turned("JPEG", 6)
    (media,) = await bench(jpeg).bring(URL)
    assert media.data == jpeg


async def test_a_child_process_converts(bench: Make, real_process: None) -> None:
    (media,) = await bench(saved("BMP")).bring(URL)
    assert (media.content_type, Image.open(io.BytesIO(media.data)).size) == (PNG, SIZE)


async def test_heic_is_opened_in_a_child_process_only(
    bench: Make, real_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    (media,) = await bench(heic("turned-6")).bring(URL)
    assert (media.content_type, Image.open(io.BytesIO(media.data)).size) == (JPEG, SIZE[::-1])
    refused = await bench(heic("plain")[:440]).refusal(URL)
    assert refused.message.startswith("files.0: does not decode as image/heic")
    small = ImageLimits(most_pixels=600, content_types=PLAIN_TYPES)
    (media,) = await bench(heic("plain")).bring(URL, fit=small)
    assert Image.open(io.BytesIO(media.data)).size == (30, 20)


def test_a_damaged_heic_is_refused_or_read() -> None:
    chance, whole = random.Random(14), heic("transparent")
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(16, len(damaged))] = chance.randrange(256)
        try:
            seen = verify(FoundFile(Piece("x", "image", "x"), 0, ""), io.BytesIO(damaged), PIXELS, may_be_black=True)
            assert convert(io.BytesIO(damaged), seen.form, PLAIN_TYPES).content_type in PLAIN_TYPES
        except (BrokenPieceError, DefectError) as error:
            assert str(error)


def test_only_what_a_provider_cannot_take_is_not_handed_on() -> None:
    def uri(data: bytes, head: str = "image/png;base64") -> str:
        return f"data:{head},{base64.b64encode(data).decode()}"

    assert not is_odd_inline(uri(saved("PNG"))) and not is_odd_inline(uri(b"what is it?!"))
    for odd in (saved("BMP"), saved("PNG", drawn("I;16")), saved("JPEG", drawn("CMYK")), saved("AVIF")):
        assert is_odd_inline(uri(odd))
    assert is_odd_inline(uri(saved("PNG"), "image/png;BASE64"))
    assert has_odd_ending("https://x/a.HEIC?b=c.png") and not has_odd_ending("https://x/a.jpeg?b=c.heic")


@pytest.mark.parametrize("spell", ["quoted", "urlsafe", "unpadded", "BASE64", "lines", "charset"])
async def test_a_data_uri_is_read_however_it_is_written(bench: Make, spell: str) -> None:
    data = saved("PNG") + b"\xfb\xff\xfe"
    plain = base64.b64encode(data).decode()
    head, text = {
        "quoted": ("image/png;base64", quote(plain, safe="")),
        "urlsafe": ("image/png;base64", base64.urlsafe_b64encode(data).decode()),
        "unpadded": ("image/png;base64", plain.rstrip("=")),
        "BASE64": ("image/PNG;BASE64", plain),
        "lines": ("image/png;base64", "\n".join(plain[n : n + 76] for n in range(0, len(plain), 76))),
        "charset": ("image/png;charset=utf-8;base64", plain),
    }[spell]
    (media,) = await bench(b"").bring(f"data:{head},{text}")
    assert media.data == data


@pytest.mark.parametrize("value", ["", "aws-chunked", "utf-8", "Identity", "identity, aws-chunked", " UTF-8 "])
async def test_a_content_encoding_that_encodes_nothing_is_none(bench: Make, value: str) -> None:
    one = bench(lambda _: httpx.Response(200, content=saved("PNG"), headers={"content-encoding": value}))
    (media,) = await one.bring(URL)
    assert media.data == saved("PNG")
