"""Masks: of the picture's size, painting a part of it, the right way round; and what leaves is white where it paints."""

import io

import pytest
from PIL import Image, ImageDraw

from tests.unit.tasks.pictures import media, photo
from worker.errors import RequestRefusedError
from worker.files.masks import prepared_mask
from worker.files.media import Media

PHOTO = photo(64, 48)
HOLE = (16, 12, 31, 23)


def drawn(mode: str, ground: object, hole: object | None = None, size: tuple[int, int] = (64, 48)) -> Media:
    image = Image.new(mode, size, ground)  # type: ignore[arg-type]
    if hole is not None:
        ImageDraw.Draw(image).rectangle(HOLE, fill=hole)  # type: ignore[arg-type]
    return media(image)


def is_white_in_the_hole(mask: Media) -> bool:
    image = Image.open(io.BytesIO(mask.data))
    assert image.mode == "L"
    return image.getpixel((20, 15)) == 255 and image.getpixel((2, 2)) == 0


WHITE_HOLE = drawn("L", 0, 255)


def test_a_greyscale_mask_is_sent_as_it_is() -> None:
    assert prepared_mask(WHITE_HOLE, PHOTO, None) is WHITE_HOLE


@pytest.mark.parametrize(
    ("mask", "paints"),
    [
        (drawn("RGB", "black", "white"), None),
        (drawn("1", 0, 1), None),
        (drawn("L", 255, 0), "black"),
        (drawn("RGBA", (10, 20, 30, 255), (10, 20, 30, 0)), "transparent"),
        (drawn("RGBA", (0, 0, 0, 0), (90, 90, 90, 255)), "opaque"),
    ],
)
def test_any_other_mask_becomes_greyscale_that_is_white_where_it_paints(mask: Media, paints: str | None) -> None:
    assert is_white_in_the_hole(prepared_mask(mask, PHOTO, paints))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mask", "paints", "words"),
    [
        (drawn("L", 0, 255, (32, 24)), None, r"mask: is 32x24 pixels; allowed: the size of the image, 64x48"),
        (drawn("L", 0), None, "mask: paints nothing: it has no white part; if its black part .* paints to 'black'"),
        (drawn("L", 255), "black", "mask: paints nothing: it has no black part$"),
        (drawn("L", 255), "white", "mask: paints the whole image; allowed: a part of it"),
        (drawn("L", 255, 0), None, "mask: is white in 94% of the image and along its border: .* wrong way round"),
        (drawn("L", 128, 255), None, "mask: is no mask: many of its pixels are neither black nor white"),
        (drawn("RGBA", (0, 0, 0, 0), "white"), None, "mask: has transparent parts; say in paints .*: white, black, tr"),
        (drawn("RGB", "black", "white"), "transparent", "mask: has no transparent part, but paints is 'transparent'"),
    ],
)
def test_what_is_no_mask_for_this_picture_is_refused(mask: Media, paints: str | None, words: str) -> None:
    with pytest.raises(RequestRefusedError, match=words):
        prepared_mask(mask, PHOTO, paints)  # type: ignore[arg-type]


def test_a_mask_that_paints_most_is_taken_if_the_caller_says_so() -> None:
    mask = drawn("L", 255, 0)

    assert prepared_mask(mask, PHOTO, "white") is mask


def test_the_size_of_the_upright_picture_counts() -> None:
    mask = drawn("L", 0, 255, (48, 64))

    assert prepared_mask(mask, photo(64, 48, orientation=6), None) is mask
