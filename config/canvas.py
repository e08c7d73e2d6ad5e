"""How an endpoint is told where a picture stands on a larger canvas. Pure.

A canvas is `{"width", "height", "left", "top", "picture_width", "picture_height"}`, all in pixels, once the size of the
picture is known. Bria takes the canvas with size and place of the picture; FLUX outpainting takes pixels for each side.
"""

from collections.abc import Mapping
from typing import Any, Literal

CanvasStyle = Literal["canvas_size", "expand_sides"]
KEYS = ("width", "height", "left", "top", "picture_width", "picture_height")


def is_settled(canvas: Mapping[str, Any]) -> bool:
    """Whether the canvas has all its numbers."""
    return all(key in canvas for key in KEYS)


def canvas_arguments(style: CanvasStyle, canvas: Mapping[str, Any]) -> dict[str, Any]:
    """The endpoint's arguments for a canvas; empty before its numbers are known."""
    if not is_settled(canvas):
        return {}
    width, height, left, top, picture_width, picture_height = (int(canvas[key]) for key in KEYS)
    if style == "canvas_size":
        return {
            "canvas_size": [width, height],
            "original_image_size": [picture_width, picture_height],
            "original_image_location": [left, top],
        }
    return {
        "expand_left": left,
        "expand_right": width - left - picture_width,
        "expand_top": top,
        "expand_bottom": height - top - picture_height,
    }
