"""Draws real pictures from a seed: a landscape of dunes and a sun, with the prompt written on it.

The same `Picture` always gives the same bytes. Drawing takes a few milliseconds of CPU time, so callers draw in a
thread.
"""

import colorsys
import hashlib
import io
import math
import random
import textwrap
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
MASK_SHRINK = 3
"""Masks are drawn this many times smaller and then enlarged, which makes their edges soft."""
ENCODING = {
    "jpeg": {"quality": 85},
    "png": {"compress_level": 1},
    "webp": {"quality": 80, "method": 0},
    "gif": {},
}


class Style(StrEnum):
    """The kind of picture."""

    SCENE = "scene"
    CUTOUT = "cutout"
    MASK = "mask"
    BLACK = "black"


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA as it is written on the picture."""

    name: str
    scale: float
    trigger: str | None = None

    def __str__(self) -> str:
        trigger = f" “{self.trigger}”" if self.trigger else ""
        return f"{self.name} @ {self.scale:g}{trigger}"


@dataclass(frozen=True, slots=True)
class Picture:
    """All values that decide how a picture looks."""

    width: int
    height: int
    format: str
    model: str
    prompt: str
    seed: int
    index: int = 0
    fingerprint: str = ""
    """A digest of the input without its seed, so that different inputs give different pictures."""
    loras: tuple[Lora, ...] = ()
    style: Style = Style.SCENE
    notes: tuple[str, ...] = ()
    """More lines that are written on it."""
    backdrop: bytes | None = None
    """An input picture, small, that is the background."""

    @property
    def content_type(self) -> str:
        """The media type of the bytes that `render` returns."""
        return f"image/{self.format}"

    def render(self) -> bytes:
        """Draw and encode."""
        image = draw(self)
        if image.mode == "RGBA" and self.format == "jpeg":
            image = image.convert("RGB")
        buffer = io.BytesIO()
        image.save(buffer, self.format, **ENCODING[self.format])
        return buffer.getvalue()


def draw(picture: Picture) -> Image.Image:
    """Draw without encoding."""
    size = (picture.width, picture.height)
    if picture.style is Style.BLACK:
        return Image.new("RGB", size)
    if picture.style is Style.MASK:
        return _oval(size)
    image = _scene(picture)
    _write(image, picture)
    if picture.style is Style.CUTOUT:
        image.putalpha(_oval(size))
    return image


def random_source(picture: Picture) -> random.Random:
    """Return the generator of all random values of a picture."""
    text = f"{picture.model}|{picture.fingerprint}|{picture.seed}|{picture.index}"
    return random.Random(hashlib.sha256(text.encode()).digest())


def _scene(picture: Picture) -> Image.Image:
    rng = random_source(picture)
    size, hue = (picture.width, picture.height), rng.random()
    if picture.backdrop:
        with Image.open(io.BytesIO(picture.backdrop)) as source:
            small = source.convert("RGB")
        tinted = Image.blend(small, Image.new("RGB", small.size, _colour(hue, 0.5, 0.5)), 0.25)
        return tinted.resize(size, Image.Resampling.BILINEAR)
    image = _sky(hue, size)
    _sun(image, rng, hue)
    for layer in range(4):
        _dune(image, rng, hue, layer / 3)
    return image


def _colour(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _sky(hue: float, size: tuple[int, int]) -> Image.Image:
    column = Image.new("RGB", (1, 4))
    tones = [(0.62, 0.42), (0.5, 0.72), (0.35, 0.95), (0.22, 1.0)]
    for y, (saturation, value) in enumerate(tones):
        column.putpixel((0, y), _colour(hue + 0.03 * y, saturation, value))
    return column.resize((1, size[1]), Image.Resampling.BICUBIC).resize(size, Image.Resampling.NEAREST)


def _sun(image: Image.Image, rng: random.Random, hue: float) -> None:
    width, height = image.size
    radius = min(width, height) * rng.uniform(0.09, 0.16)
    x, y = width * rng.uniform(0.15, 0.85), height * rng.uniform(0.18, 0.45)
    pen = ImageDraw.Draw(image, "RGBA")
    for ring, alpha in ((1.9, 40), (1.4, 70), (1.0, 255)):
        pen.ellipse(_box(x, y, radius * ring), fill=(*_colour(hue + 0.1, 0.15, 1.0), alpha))


def _dune(image: Image.Image, rng: random.Random, hue: float, depth: float) -> None:
    width, height = image.size
    base = height * (0.52 + 0.3 * depth)
    waves = [(rng.uniform(0.6, 2.4), rng.uniform(0, math.tau), rng.uniform(0.2, 1.0)) for _ in range(3)]
    swing, step = height * 0.06, max(2, width // 160)
    line = [
        (x, base + swing * sum(a * math.sin(f * math.tau * x / width + p) for f, p, a in waves))
        for x in range(-step, width + 2 * step, step)
    ]
    colour = _colour(hue + 0.45 + 0.06 * depth, 0.35 + 0.35 * depth, 0.82 - 0.56 * depth)
    ImageDraw.Draw(image).polygon([(-step, height + 1), *line, (width + 2 * step, height + 1)], fill=colour)


def _box(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius


def _oval(size: tuple[int, int]) -> Image.Image:
    small = Image.new("L", (max(4, size[0] // MASK_SHRINK), max(4, size[1] // MASK_SHRINK)))
    inset = (small.width * 0.12, small.height * 0.08, small.width * 0.88, small.height * 0.92)
    ImageDraw.Draw(small).ellipse(inset, fill=255)
    return small.resize(size, Image.Resampling.BILINEAR)


@lru_cache(maxsize=64)
def load_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the scalable font that comes with Pillow."""
    return ImageFont.load_default(size)


def _write(image: Image.Image, picture: Picture) -> None:
    width, height = image.size
    size = max(9, min(width, height) // 22)
    margin = size
    columns = max(8, int((width - 2 * margin) / (size * 0.52)))
    prompt = textwrap.wrap(picture.prompt, columns, max_lines=4, placeholder=" …") or ["(no prompt)"]
    notes = [f"{picture.model} · seed {picture.seed}" + (f" · #{picture.index + 1}" if picture.index else "")]
    notes += [f"LoRA {lora}" for lora in picture.loras]
    notes += picture.notes
    small = max(8, size * 2 // 3)
    top = height - margin - len(prompt) * round(size * 1.25) - len(notes) * round(small * 1.35)
    if picture.backdrop:
        _shade(image, top - margin // 2)
    pen = ImageDraw.Draw(image)
    for line in prompt:
        _line(pen, (margin, top), line, size, (255, 255, 255))
        top += round(size * 1.25)
    for line in notes:
        _line(pen, (margin, top), line, small, (255, 244, 214))
        top += round(small * 1.35)


def _shade(image: Image.Image, top: int) -> None:
    """Darken the lower part of an edited picture, which may have text there already."""
    box = (0, max(0, top), image.width, image.height)
    foot = image.crop(box)
    image.paste(Image.blend(foot, Image.new("RGB", foot.size, (12, 14, 24)), 0.88), box)


def _line(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, colour: Colour) -> None:
    offset = max(1, size // 16)
    pen.text((at[0] + offset, at[1] + offset), text, font=load_font(size), fill=(12, 14, 24))
    pen.text(at, text, font=load_font(size), fill=colour)
