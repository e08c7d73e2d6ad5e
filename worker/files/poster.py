"""The poster of a video: one of its frames, as a small JPEG. Blocking: for a thread."""

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av import VideoFrame
    from PIL import Image

LONG_SIDE = 1280
QUALITY = 85
DARK = 16  # the brightest of a frame that shows nothing; black is 16 in most videos and decodes to about 0


def poster_of(*frames: "VideoFrame | None") -> str:
    """The first frame that shows something, or else the first: a JPEG in base64, at most 1,280 px wide and high."""
    pictures = [_small(frame) for frame in frames if frame is not None]
    shown = next((picture for picture in pictures if not _is_dark(picture)), pictures[0])
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=QUALITY)
    return base64.b64encode(file.getvalue()).decode()


def _small(frame: "VideoFrame") -> "Image.Image":
    """The upright frame, scaled down before it becomes a picture: an 8K frame would take 100 MB."""
    scale = min(1.0, LONG_SIDE / max(frame.width, frame.height))
    width, height = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    picture: Image.Image = frame.to_image(width=width, height=height)  # type: ignore[no-untyped-call]
    return picture.rotate(frame.rotation, expand=True) if frame.rotation else picture


def _is_dark(picture: "Image.Image") -> bool:
    brightest = picture.convert("L").getextrema()[1]
    return isinstance(brightest, int | float) and brightest <= DARK
