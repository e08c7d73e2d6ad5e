"""Makes real, short videos: H.264 in MP4, encoded by the libraries that come with PyAV.

A disc moves over a drawn picture, which has the prompt written on it.
"""

import array
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

from twin.picture import Picture, draw, random_source

if TYPE_CHECKING:
    import av

FPS = 8
MAX_SECONDS = 15
LONG_SIDE = 640
RATE = 44_100
SAMPLES = 1024
TONE = 220
CODECS = ("libx264", "mpeg4")


@dataclass(frozen=True, slots=True)
class Video:
    """A video: its background picture, its duration, and whether it has a sound track."""

    scene: Picture
    seconds: float
    has_sound: bool = False

    @property
    def content_type(self) -> str:
        """The media type of the bytes that `render` returns."""
        return "video/mp4"

    @property
    def frames(self) -> int:
        """How many frames `render` writes."""
        return max(2, round(min(self.seconds, MAX_SECONDS) * FPS))

    def render(self) -> bytes:
        """Draw every frame and encode."""
        import av

        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as container:
            stream = container.add_stream(_codec(), rate=Fraction(FPS))
            if not isinstance(stream, av.VideoStream):
                raise TypeError(f"{stream.codec.name} makes no video")
            stream.width, stream.height = self.scene.width, self.scene.height
            stream.pix_fmt = "yuv420p"
            stream.thread_count = 1
            if stream.codec.name == "libx264":
                stream.options = {"preset": "ultrafast", "crf": "28"}
            sound = container.add_stream("aac", rate=RATE, layout="mono") if self.has_sound else None
            for image in self._images():
                frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
            if sound is not None:
                for frame in _hum(self.frames / FPS):
                    container.mux(sound.encode(frame))
                container.mux(sound.encode(None))
        return buffer.getvalue()

    def _images(self) -> list[Image.Image]:
        scene = draw(self.scene).convert("RGB")
        rng = random_source(self.scene)
        colour = (255, rng.randint(120, 230), rng.randint(40, 160))
        radius = min(scene.size) * 0.07
        images = []
        for number in range(self.frames):
            share = number / (self.frames - 1)
            x = scene.width * (0.08 + 0.84 * share)
            y = scene.height * (0.42 - 0.24 * math.sin(math.pi * share))
            image = scene.copy()
            ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
            images.append(image)
        return images


def video_size(ratio: float) -> tuple[int, int]:
    """Return a small frame size with even sides and about this aspect ratio (width / height)."""
    width, height = (LONG_SIDE, LONG_SIDE / ratio) if ratio >= 1 else (LONG_SIDE * ratio, LONG_SIDE)
    return max(16, round(width / 2) * 2), max(16, round(height / 2) * 2)


def _codec() -> str:
    import av

    return next(name for name in CODECS if name in av.codecs_available)


def _hum(seconds: float) -> Iterator["av.AudioFrame"]:
    """A quiet tone, in the frames that AAC takes."""
    import av

    wave = array.array("f", (0.1 * math.sin(2 * math.pi * TONE * n / RATE) for n in range(SAMPLES))).tobytes()
    for number in range(max(1, int(seconds * RATE) // SAMPLES)):
        frame = av.AudioFrame(format="fltp", layout="mono", samples=SAMPLES)
        frame.planes[0].update(wave)
        frame.sample_rate, frame.pts, frame.time_base = RATE, number * SAMPLES, Fraction(1, RATE)
        yield frame
