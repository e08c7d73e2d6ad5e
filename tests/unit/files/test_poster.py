"""A video has a poster: a frame that shows something."""

import base64
import io

import av
import pytest
from PIL import Image

from tests.unit.files.files import found, video
from tests.unit.files.odd_videos import turned, two_halves
from worker.files.poster import LONG_SIDE, poster_of
from worker.files.verify import verify

MOST_PIXELS = 120_000_000


def frame(colour: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> av.VideoFrame:
    made = av.VideoFrame.from_image(Image.new("RGB", size, colour))  # type: ignore[no-untyped-call]
    assert isinstance(made, av.VideoFrame)
    return made


def opened(poster: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(poster)))


def test_a_video_has_a_poster_and_says_whether_it_has_sound() -> None:
    seen = verify(found("video"), io.BytesIO(video()), MOST_PIXELS)

    assert (opened(seen.poster).format, opened(seen.poster).size) == ("JPEG", (64, 48))
    assert seen.has_sound is False


def test_a_video_that_begins_in_black_has_a_later_poster() -> None:
    red, green, _ = opened(poster_of(frame((0, 0, 0)), frame((0, 200, 0)))).getpixel((5, 5))  # type: ignore[misc]

    assert green > 150 > red


def test_a_large_frame_becomes_a_small_poster() -> None:
    assert opened(poster_of(frame((9, 99, 9), (3840, 2160)), None)).size == (LONG_SIDE, 720)


@pytest.mark.parametrize(
    ("matrix", "offset", "size", "red_at"),
    [
        ((1, 0, 0, 1), (0, 0), (64, 48), (5, 24)),
        ((0, 1, -1, 0), (48, 0), (48, 64), (24, 5)),  # an iPhone held upright: a quarter turn clockwise
        ((-1, 0, 0, -1), (64, 48), (64, 48), (58, 24)),
        ((0, -1, 1, 0), (0, 64), (48, 64), (24, 58)),
    ],
)
def test_a_video_that_a_phone_turned_has_the_size_and_the_poster_of_the_upright_one(
    matrix: tuple[int, int, int, int], offset: tuple[int, int], size: tuple[int, int], red_at: tuple[int, int]
) -> None:
    seen = verify(found("video"), io.BytesIO(turned(two_halves(), matrix, offset)), MOST_PIXELS)
    poster = opened(seen.poster)
    red, _, blue = poster.getpixel(red_at)  # type: ignore[misc]

    assert (seen.width, seen.height) == poster.size == size
    assert red > 150 > blue
