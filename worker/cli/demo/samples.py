"""The sample files of the demo, drawn here: a photo of a person, a mask, a garment, and the pictures of a training."""

import io
import zipfile

from PIL import Image, ImageDraw

from worker.cli.demo.calls import DATASET, GARMENT, MASK, PHOTO

SIZE = (768, 1024)


def draw_samples() -> dict[str, bytes]:
    """The content of every drawn sample, by its name in the calls."""
    return {PHOTO: _png(_person()), MASK: _png(_mask()), GARMENT: _png(_coat()), DATASET: photographs()}


def photographs() -> bytes:
    """A zip of six small pictures: the data set of a training."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as pictures:
        for number in range(6):
            image = Image.new("RGB", (512, 512), (214 - 12 * number, 198, 180))
            ImageDraw.Draw(image).ellipse((120, 90 + 12 * number, 392, 420), fill=(122, 62 + 18 * number, 44))
            with pictures.open(f"mug-{number}.jpg", "w") as file:
                image.save(file, "JPEG", quality=85)
    return archive.getvalue()


def _person() -> Image.Image:
    image = Image.new("RGB", SIZE, (196, 208, 214))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((204, 420, 564, 1024), 90, fill=(54, 84, 120))
    draw.ellipse((274, 120, 494, 400), fill=(226, 188, 160))
    draw.chord((264, 96, 504, 330), 180, 360, fill=(70, 48, 36))
    for x in (338, 416):
        draw.ellipse((x, 246, x + 20, 262), fill=(40, 40, 48))
    draw.arc((340, 290, 430, 350), 20, 160, fill=(150, 70, 70), width=6)
    return image


def _mask() -> Image.Image:
    """White where the person's chest is, and black elsewhere."""
    image = Image.new("L", SIZE)
    ImageDraw.Draw(image).rectangle((284, 520, 484, 720), fill=255)
    return image


def _coat() -> Image.Image:
    image = Image.new("RGB", SIZE, (244, 242, 238))
    draw = ImageDraw.Draw(image)
    draw.polygon(
        [(264, 180), (504, 180), (640, 460), (560, 500), (560, 900), (208, 900), (208, 500), (128, 460)],
        fill=(164, 40, 48),
    )
    for y in range(260, 820, 110):
        draw.ellipse((372, y, 396, y + 24), fill=(40, 30, 30))
    return image


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
