"""Masks, cuts and blends: pixel for pixel, and the measured difference outside a mask."""

import io

import pytest
from PIL import Image, ImageColor, ImageDraw

from worker.errors import RequestRefusedError
from worker.files.media import Media
from worker.jobs.status import VALUES
from worker.providers.base import Call, Reply
from worker.providers.local.pictures import TINTS, Box, blend, contact_sheet, cut, grow_mask, overlay
from worker.providers.local.provider import Local


def media(picture: Image.Image, **options: object) -> Media:
    file = io.BytesIO()
    picture.save(file, "PNG", **options)
    return Media(file.getvalue(), "image/png")


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def plain(colour: str, size: tuple[int, int] = (64, 48)) -> Media:
    return media(Image.new("RGB", size, colour))


def square_mask(size: tuple[int, int] = (64, 48), box: tuple[int, int, int, int] = (20, 20, 29, 29)) -> Media:
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).rectangle(box, fill=255)
    return media(mask)


@pytest.mark.parametrize("by", [0, 1, 2, 3, 7, 19])
def test_a_mask_grows_by_exactly_so_many_pixels(by: int) -> None:
    grown = opened(grow_mask(square_mask(), by, 0))
    left, upper, right, lower = 20 - by, 20 - by, 30 + by, 30 + by
    assert grown.getbbox() == (left, upper, right, min(48, lower))
    assert set(grown.tobytes()) == {0, 255}


def test_a_feathered_edge_lies_outside_the_grown_mask() -> None:
    grown = opened(grow_mask(square_mask(), 2, 6))
    assert grown.getpixel((18, 25)) == grown.getpixel((25, 25)) == 255
    fading = [grown.getpixel((x, 25)) for x in range(17, 10, -1)]
    assert fading == sorted(fading, reverse=True) and 0 < fading[2] < 255
    assert grown.getpixel((5, 25)) == 0


def test_a_cut_is_the_upright_part() -> None:
    picture = Image.new("RGB", (64, 48), "red")
    picture.paste("blue", (0, 0, 10, 10))
    exif = Image.Exif()
    exif[0x0112] = 6  # seen upright, the blue corner is at the upper right
    assert opened(cut(media(picture, exif=exif), Box(38, 0, 48, 10))).getcolors() == [(100, (0, 0, 255))]


def test_each_mask_is_tinted_in_a_colour_of_its_own_and_the_rest_stays() -> None:
    masks = [square_mask(), square_mask(box=(40, 5, 55, 15))]
    drawn = opened(overlay(plain("white"), masks))
    assert drawn.getpixel((0, 0)) == drawn.getpixel((30, 25)) == (255, 255, 255)
    edges = [drawn.getpixel(place) for place in ((20, 25), (40, 10))]
    assert edges == [ImageColor.getrgb(colour) for colour in TINTS[:2]]
    inside = [drawn.getpixel(place) for place in ((25, 25), (47, 10))]
    assert len({*edges, *inside}) == 4 and all(each != (255, 255, 255) for each in inside)
    assert opened(overlay(plain("red"), [])).getcolors() == [(64 * 48, (255, 0, 0))]


@pytest.mark.parametrize("box", [Box(60, 0, 65, 5), Box(0, 44, 5, 49), Box(-1, 0, 4, 5), Box(0, 0, 0, 5)])
def test_a_box_outside_the_picture_is_refused(box: Box) -> None:
    with pytest.raises(RequestRefusedError, match="is not inside 64x48"):
        cut(plain("red"), box)


def test_outside_the_mask_a_blend_changes_nothing_and_says_what_the_edit_changed() -> None:
    base = plain("red")
    done = blend(base, plain("blue", (128, 96)), square_mask(), None)
    result = opened(done.data)
    assert result.size == (64, 48)
    assert result.getpixel((25, 25)) == (0, 0, 255) and result.getpixel((0, 0)) == (255, 0, 0)
    assert (done.difference, done.most) == (0.0, 0.0)
    assert done.model_difference == pytest.approx(2 / 3, abs=0.01) and done.model_most == 1.0


def test_a_blend_into_a_box() -> None:
    done = opened(blend(plain("red"), plain("blue"), None, Box(10, 10, 30, 30)).data)
    assert done.getpixel((10, 10)) == done.getpixel((29, 29)) == (0, 0, 255)
    assert done.getpixel((9, 10)) == done.getpixel((30, 29)) == (255, 0, 0)


def test_the_edge_of_a_box_fades_inwards() -> None:
    done = opened(blend(plain("black"), plain("white"), None, Box(10, 10, 50, 40), 8).data)
    row = [done.getpixel((x, 25))[0] for x in range(8, 24)]
    assert row == sorted(row) and row[:3] == [0, 0, 0] and row[-1] == 255 and any(0 < value < 255 for value in row)


def test_a_blend_keeps_transparency() -> None:
    base = media(Image.new("RGBA", (64, 48), (255, 0, 0, 100)))
    done = opened(blend(base, plain("blue"), square_mask(), None).data)
    assert done.getpixel((0, 0)) == (255, 0, 0, 100) and done.getpixel((25, 25)) == (0, 0, 255, 255)


def test_a_contact_sheet_has_a_tile_for_each() -> None:
    sheet = opened(contact_sheet([plain(colour) for colour in ("red", "green", "blue")], 2))
    assert sheet.size == (1024, 1024)
    assert sheet.getpixel((256, 256)) == (255, 0, 0) and sheet.getpixel((768, 768)) == (255, 255, 255)


async def test_the_provider_returns_file_and_values() -> None:
    files = (plain("red"), plain("blue"), square_mask())
    reply = await Local().submit(Call("j", "blend", {}, files=files))
    assert isinstance(reply, Reply) and len(reply.files) == 1
    assert reply.output[VALUES]["outside_mask"]["of_result"] == {"mean": 0.0, "most": 0.0}


@pytest.mark.parametrize(
    ("endpoint", "arguments", "words"),
    [
        ("cut", {}, "box: is required"),
        ("cut", {"box": {"x_min": 0}}, "box.y_min: Field required"),
        ("grow-mask", {"by": -1}, "by: Input should be greater"),
        ("contact-sheet", {"columns": 0}, "columns: "),
        ("paint", {}, "paint is not known; known: grow-mask"),
    ],
)
async def test_what_does_not_fit_is_refused_by_field(endpoint: str, arguments: dict[str, object], words: str) -> None:
    with pytest.raises(RequestRefusedError, match=words):
        await Local().submit(Call("j", endpoint, arguments, files=(plain("red"),)))


async def test_a_broken_picture_is_refused() -> None:
    with pytest.raises(RequestRefusedError, match="cannot be read"):
        await Local().submit(Call("j", "grow-mask", {"by": 1}, files=(Media(b"no picture", "image/png"),)))
