"""Pictures made to fit what a provider takes."""

import io

import pytest
from PIL import Image

from tests.unit.files.files import noise, picture
from worker.files.file_info import DefectError, FileInfo
from worker.files.fit import ImageLimits, check_file, fit_image
from worker.files.formats import sniff
from worker.files.media import Media
from worker.files.picture import see_picture

PNG = frozenset({"image/png"})


def seen(data: bytes) -> FileInfo:
    return see_picture(io.BytesIO(data), sniff(data[:64]), 1 << 30, may_be_black=True)


@pytest.mark.parametrize("fit", [ImageLimits(), ImageLimits(64 * 48, 1 << 20, PNG)])
def test_what_fits_is_not_touched(fit: ImageLimits) -> None:
    data = picture("PNG", (64, 48))
    assert fit_image(data, seen(data), fit) == Media(data, "image/png")


@pytest.mark.parametrize(
    ("data", "fit"),
    [
        (picture("PNG", (300, 200)), ImageLimits(most_pixels=10_000)),
        (noise("PNG", (400, 400)), ImageLimits(most_bytes=50_000)),
        (noise("PNG", (400, 400)), ImageLimits(most_bytes=5_000)),
        (picture("GIF"), ImageLimits(content_types=PNG)),
        (picture("AVIF"), ImageLimits(content_types=frozenset({"image/jpeg"}))),
    ],
)
def test_what_does_not_becomes_a_jpeg_that_does(data: bytes, fit: ImageLimits) -> None:
    media = fit_image(data, seen(data), fit)
    size = seen(media.data)

    assert media.content_type == size.form.content_type == "image/jpeg"
    assert len(media.data) <= (fit.most_bytes or len(media.data))
    before = seen(data)
    assert before.width and before.height and size.width and size.height
    assert size.width * size.height <= (fit.most_pixels or before.width * before.height)
    assert abs(size.width / size.height - before.width / before.height) < 0.05


def test_transparency_becomes_white_and_a_turned_picture_upright() -> None:
    clear = picture("PNG", (8, 8), "RGBA", (0, 0, 0, 0))
    white = Image.open(io.BytesIO(fit_image(clear, seen(clear), ImageLimits(content_types=())).data))
    assert white.convert("L").getextrema() == (255, 255)

    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.new("RGB", (40, 20)).save(file, "JPEG", exif=exif)
    turned = seen(fit_image(file.getvalue(), seen(file.getvalue()), ImageLimits(content_types=())).data)
    assert (turned.width, turned.height) == (20, 40)


def test_what_cannot_be_made_so_small_is_refused() -> None:
    data = noise("PNG", (64, 64))
    with pytest.raises(DefectError, match=r"smaller than 0\.0001 MB"):
        fit_image(data, seen(data), ImageLimits(most_bytes=100))


def test_what_is_no_picture_stays_as_it_is_or_is_refused() -> None:
    media = Media(b"x" * 10, "video/mp4")
    assert (
        check_file(media, None) is check_file(media, ImageLimits(most_bytes=10, content_types={"video/mp4"})) is media
    )
    with pytest.raises(DefectError, match="provider takes"):
        check_file(media, ImageLimits(most_bytes=9))
    with pytest.raises(DefectError, match="allowed: video/webm"):
        check_file(media, ImageLimits(content_types={"video/webm"}))
