"""Pictures, sounds and archives as data URIs, each with the mark of its job in its bytes: so a submission shows whose file it brings."""

import base64
import io
import struct
import wave
import zipfile
from functools import cache

import av
from PIL import Image, PngImagePlugin

SIZE = (256, 192)
RATE = 8_000  # samples in a second


def picture(mark: str, shade: int = 90) -> str:
    """Return a picture of one colour."""
    return _png(Image.new("RGB", SIZE, (200, shade, 50)), mark)


def mask(mark: str) -> str:
    """Return a mask of the same size: white in the middle."""
    image = Image.new("L", SIZE)
    image.paste(255, (96, 64, 160, 128))
    return _png(image, mark)


def archive(mark: str) -> str:
    """Return a zip with four pictures for a training, always with the same times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as found:
        for n in range(4):
            found.writestr(zipfile.ZipInfo(f"{n}.png"), _png_bytes(Image.new("RGB", SIZE, (200, n, 50)), mark))
    return "data:application/zip;base64," + base64.b64encode(buffer.getvalue()).decode()


def sound(mark: str) -> str:
    """Return one second of noise."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(b"\1\2" * RATE)
    text = mark.encode() + b";" + b"\0" * (1 + len(mark) % 2)
    comment = b"INFOICMT" + struct.pack("<I", len(text)) + text
    raw = buffer.getvalue() + b"LIST" + struct.pack("<I", len(comment)) + comment
    raw = raw[:4] + struct.pack("<I", len(raw) - 8) + raw[8:]
    return "data:audio/wav;base64," + base64.b64encode(raw).decode()


@cache
def clip() -> str:
    """Return one second of video; it has no mark."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(24):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 48), (200, 9 * n, 50)))))
        container.mux(stream.encode())
    return "data:video/mp4;base64," + base64.b64encode(buffer.getvalue()).decode()


def _png(image: Image.Image, mark: str) -> str:
    return "data:image/png;base64," + base64.b64encode(_png_bytes(image, mark)).decode()


def _png_bytes(image: Image.Image, mark: str) -> bytes:
    info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("Comment", f"{mark};")  # the checksum follows, whose first byte may be a digit
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
