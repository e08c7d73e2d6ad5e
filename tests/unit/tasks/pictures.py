"""Small pictures for tests of tasks."""

import base64
import io

from PIL import Image

from worker.files.media import Media


def media(image: Image.Image, form: str = "PNG", **more: object) -> Media:
    file = io.BytesIO()
    image.save(file, form, **more)
    return Media(file.getvalue(), f"image/{form.lower()}")


def photo(width: int = 64, height: int = 48, orientation: int | None = None) -> Media:
    image = Image.new("RGB", (width, height), (200, 120, 40))
    if orientation is None:
        return media(image)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return media(image, "JPEG", exif=exif.tobytes())


def data_uri(image: Image.Image) -> str:
    found = media(image)
    return f"data:{found.content_type};base64,{base64.b64encode(found.data).decode()}"
