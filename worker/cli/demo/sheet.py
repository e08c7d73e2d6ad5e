"""A contact sheet of results: every picture, and the poster frame of every video, with the name of its task."""

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from PIL import Image, ImageDraw, ImageFont

from worker.cli.screen.results import files_in

COLUMNS, SIDE, LABEL, GAP = 6, 220, 34, 10  # pixels
BACKGROUND, CHECK, INK = (250, 250, 248), (226, 226, 222), (40, 40, 44)


def write_sheet(path: Path, results: Iterable[tuple[str, Mapping[str, Any]]]) -> int:
    """Write a PNG with every picture of these results, in their order. Returns how many there are."""
    with httpx.Client(trust_env=False, timeout=30) as http:
        found = [(label, _fetched(http, url)) for name, result in results for label, url in _pictures(name, result)]
    sheet = _laid_out(found)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return len(found)


def _pictures(name: str, result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for file_name, file in files_in(result):
        if str(file["content_type"]).startswith("image/"):
            yield f"{name}\n{file_name}", file["url"]
        elif file.get("poster_url"):
            yield f"{name}\n{file_name}, {file.get('duration_s') or 0:g} s", file["poster_url"]


def _fetched(http: httpx.Client, url: str) -> Image.Image:
    with Image.open(io.BytesIO(http.get(url).raise_for_status().content)) as image:
        return image.convert("RGBA")


def _laid_out(pictures: list[tuple[str, Image.Image]]) -> Image.Image:
    rows = -(-len(pictures) // COLUMNS) or 1
    sheet = Image.new("RGB", (COLUMNS * (SIDE + GAP) + GAP, rows * (SIDE + LABEL + GAP) + GAP), BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, (label, image) in enumerate(pictures):
        x = GAP + number % COLUMNS * (SIDE + GAP)
        y = GAP + number // COLUMNS * (SIDE + LABEL + GAP)
        image.thumbnail((SIDE, SIDE))
        plate = Image.new("RGB", image.size, CHECK)  # shows through where a picture is transparent
        plate.paste(image, mask=image)
        sheet.paste(plate, (x + (SIDE - image.width) // 2, y + (SIDE - image.height) // 2))
        draw.multiline_text((x, y + SIDE + 2), label, fill=INK, font=font, spacing=2)
    return sheet
