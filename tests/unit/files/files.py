"""Real files for the tests of this folder, and the pieces that promise them."""

import io
import json
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import av
from PIL import Image

from worker.files.pieces import FoundFile
from worker.jobs.job import Kind, Piece


def found(kind: Kind = "image", **promise: Any) -> FoundFile:
    at = {"image": "images.*", "video": "video"}.get(kind, "file")
    return FoundFile(
        Piece({"image": "images"}.get(kind, kind), kind, at, **promise), 0, "https://cdn.example/a/b.bin?token=t"
    )


def picture(
    form: str = "PNG", size: tuple[int, int] = (64, 48), mode: str = "RGB", colour: Any = (200, 30, 90)
) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, form)
    return file.getvalue()


def noise(form: str, size: tuple[int, int], mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(file, form)
    return file.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that declares far more pixels than it brings."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def video(form: str = "mp4", seconds: float = 2, size: tuple[int, int] = (64, 48), **options: str) -> bytes:
    with (
        tempfile.TemporaryDirectory() as folder,
        av.open(path := f"{folder}/video", "w", format=form, options=options) as container,
    ):
        stream = container.add_stream("libvpx" if form == "webm" else "mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, "yuv420p", 12
        for n in range(int(seconds * 24)):
            frame = av.VideoFrame.from_image(Image.effect_noise(size, 40 + n % 50).convert("RGB"))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        container.close()
        return Path(path).read_bytes()


def weights(tensors: dict[str, tuple[int, int]] | None = None, data: bytes = b"\0" * 24) -> bytes:
    spans = {"a": (0, 16), "b": (16, 24)} if tensors is None else tensors
    fields = {name: {"dtype": "F32", "shape": [1], "data_offsets": span} for name, span in spans.items()}
    header = json.dumps({"__metadata__": {"format": "pt"}, **fields}).encode()
    return struct.pack("<Q", len(header)) + header + data
