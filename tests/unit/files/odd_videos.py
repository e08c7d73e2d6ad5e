"""Videos with sound, and videos that were written to a pipe, so that nothing in them says their duration."""

import struct
import tempfile
from pathlib import Path
from typing import Any

import av
from PIL import Image

RATE, STEP = 48000, 960  # of the sound: samples a second, and in one frame


class _Pipe:
    """A file that cannot go back to write the duration."""

    def __init__(self, path: str) -> None:
        self._file, self.name = Path(path).open("wb"), path  # noqa: SIM115

    def write(self, data: bytes) -> int:
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()


def clip(form: str = "mp4", seconds: float = 1, sound_s: float = 0, *, streamed: bool = False) -> bytes:
    size = (64, 48)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/clip"
        pipe = _Pipe(path) if streamed else None
        with av.open(pipe or path, "w", format=form) as container:
            stream: Any = container.add_stream("libvpx" if form == "webm" else "mpeg4", rate=24)
            stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, "yuv420p", 12
            sound: Any = None
            if sound_s:
                sound = container.add_stream("libopus" if form == "webm" else "aac", rate=RATE, layout="mono")
            for n in range(int(seconds * 24)):
                frame = av.VideoFrame.from_image(Image.effect_noise(size, 40 + n).convert("RGB"))
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if sound:
                _add_sound(container, sound, int(sound_s * RATE), "s16" if form == "webm" else "fltp")
        if pipe:
            pipe.close()
        return Path(path).read_bytes()


def two_halves() -> bytes:
    """An MP4 of 64 x 48 pixels: red on its left, blue on its right."""
    picture = Image.new("RGB", (64, 48), (220, 0, 0))
    picture.paste((0, 0, 220), (32, 0, 64, 48))
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/clip.mp4"
        with av.open(path, "w") as container:
            stream: Any = container.add_stream("mpeg4", rate=24)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for _ in range(24):
                container.mux(stream.encode(av.VideoFrame.from_image(picture)))
            container.mux(stream.encode())
        return Path(path).read_bytes()


def _add_sound(container: Any, stream: Any, samples: int, form: str) -> None:
    for at in range(0, samples, STEP):
        frame = av.AudioFrame(format=form, layout="mono", samples=STEP)
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.sample_rate, frame.pts = RATE, at
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def turned(file: bytes, matrix: tuple[int, int, int, int], offset: tuple[int, int]) -> bytes:
    """An MP4 with another display matrix (a, b, c, d) in its track header, as phones write it."""
    at = file.index(b"tkhd") + 4 + 4 + 5 * 4 + 8 + 8  # version and flags, times and ids, reserved, layer to volume
    (a, b, c, d), (x, y), one = matrix, offset, 1 << 16
    values = (a * one, b * one, 0, c * one, d * one, 0, x * one, y * one, 1 << 30)
    return file[:at] + struct.pack(">9i", *values) + file[at + 36 :]
