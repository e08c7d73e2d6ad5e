"""Draws pictures that are changes of an input picture: painted in a mask, set on a canvas, cut out, or enlarged.

Outside the mask, and inside the place of the input on a canvas, every pixel is that of the input.
"""

import io
from dataclasses import dataclass
from enum import StrEnum

from PIL import Image

from twin.picture import ENCODING, Picture, Style, draw


class Edit(StrEnum):
    """What happens to the input picture."""

    MASKED = "masked"  # the new scene where the mask is white
    EXPANDED = "expanded"  # the input on a canvas of the new scene
    CUTOUT = "cutout"  # transparent outside an oval
    ENLARGED = "enlarged"  # the input in another size


@dataclass(frozen=True, slots=True)
class EditedPicture:
    """A scene, the input picture, and how one comes into the other. `place`: left, top, width, height on a canvas."""

    scene: Picture
    edit: Edit
    source: bytes
    mask: bytes | None = None
    place: tuple[int, int, int, int] | None = None

    @property
    def content_type(self) -> str:
        """The media type of the bytes that `render` returns."""
        return self.scene.content_type

    def render(self) -> bytes:
        """Draw and encode."""
        image = self._draw()
        if self.scene.format == "jpeg":
            image = image.convert("RGB")
        buffer = io.BytesIO()
        image.save(buffer, self.scene.format, **ENCODING[self.scene.format])
        return buffer.getvalue()

    def _draw(self) -> Image.Image:
        size = (self.scene.width, self.scene.height)
        source = Image.open(io.BytesIO(self.source)).convert("RGB")
        if self.scene.style is Style.BLACK:
            return Image.new("RGB", size)
        match self.edit:
            case Edit.ENLARGED:
                return source.resize(size)
            case Edit.CUTOUT:
                whole = source.resize(size)
                whole.putalpha(draw(_as_mask(self.scene)))
                return whole
            case Edit.EXPANDED:
                left, top, width, height = self.place or (0, 0, *source.size)
                canvas = draw(self.scene)
                canvas.paste(source.resize((width, height)), (left, top))
                return canvas
            case Edit.MASKED:
                mask = Image.open(io.BytesIO(self.mask or self.source)).convert("L").resize(size)
                return Image.composite(draw(self.scene).convert("RGB"), source.resize(size), mask)


def _as_mask(scene: Picture) -> Picture:
    return Picture(scene.width, scene.height, scene.format, scene.model, "", scene.seed, style=Style.MASK)
