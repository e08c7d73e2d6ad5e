"""Small odd files as people have them, made here, and what must become of each at the doors where it may come in."""

import gzip
import io
import re
import struct
import tarfile
import wave
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageCms, PngImagePlugin

from tests.unit.files.files import bomb, noise, video, weights
from tests.unit.files.odd_videos import clip
from worker.jobs.job import Kind

SIZE = (48, 32)
JPEG, PNG, WEBP = "image/jpeg", "image/png", "image/webp"
ZIP, TAR = "application/zip", "application/gzip"


@dataclass(frozen=True)
class Odd:
    """A file. `given`: the content type that an endpoint gets, `kept`: that of the stored piece; or `!` and a refusal.

    `size` is that of the upright picture.
    """

    name: str
    kind: Kind
    make: Callable[[], bytes]
    given: str
    kept: str
    size: tuple[int, int] | None = None


def drawn(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    """Light on the left, dark on the right."""
    ramp = Image.linear_gradient("L").rotate(90).resize(size)
    if mode in {"I;16", "I", "F"}:
        wide = ramp.convert("I").point(lambda value: value * 257)
        return wide.convert(mode)
    if mode == "RGBA":
        return Image.merge("RGBA", (ramp, ramp, ramp, ramp))
    return ramp.convert("RGB").convert(mode)


def saved(form: str, picture: Image.Image | None = None, **options: Any) -> bytes:
    file = io.BytesIO()
    (picture or drawn()).save(file, form, **options)
    return file.getvalue()


def turned(form: str, orientation: int, mode: str = "RGB") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(form, drawn(mode), exif=exif)


def frames(form: str) -> bytes:
    more = [drawn().transpose(Image.Transpose.ROTATE_180), drawn().convert("L").convert("RGB")]
    return saved(form, save_all=True, append_images=more)


def with_texts(**texts: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text, zip=True)
    return saved("PNG", pnginfo=info)


def with_profile(size: int) -> bytes:
    return saved("PNG", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + bytes(size))


def png_16(colour_type: int, channels: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    width, height = SIZE
    row = b"\0" + b"".join(struct.pack(">H", x * 1300) * channels for x in range(width))
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * height)) + chunk(b"IEND", b"")
    )


def heic(name: str) -> bytes:
    """A file of tests/fixtures/heic: `drawn()` as pillow-heif 1.8.1 has saved it; nothing installed here writes HEIC."""
    return (Path(__file__).parents[2] / "fixtures" / "heic" / f"{name}.heic").read_bytes()


def heic_bomb(width: int, height: int) -> bytes:
    """A HEIC whose header declares this size."""
    return re.sub(rb"(?s)(ispe....).{8}", lambda found: found[1] + struct.pack(">II", width, height), heic("plain"))


def ftyp(brand: bytes, *others: bytes) -> bytes:
    body = b"ftyp" + brand + bytes(4) + b"".join(others)
    return struct.pack(">I", len(body) + 4) + body + bytes(200)


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"a picture")
    return file.getvalue()


def tarred(*names: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 9
            archive.addfile(info, io.BytesIO(b"a picture"))
    return file.getvalue()


def sound(seconds: float = 0.5) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as opened:
        opened.setnchannels(1)
        opened.setsampwidth(2)
        opened.setframerate(8000)
        opened.writeframes(bytes(int(seconds * 8000) * 2))
    return file.getvalue()


def _pictures() -> Iterator[Odd]:
    same = [("jpeg", "JPEG", JPEG), ("png", "PNG", PNG), ("webp", "WEBP", WEBP)]
    for name, form, kept in same:
        yield Odd(name, "image", lambda form=form: saved(form), kept, kept, SIZE)  # type: ignore[misc]
    other = [("gif", "GIF", "image/gif", PNG), ("bmp", "BMP", "image/bmp", PNG), ("tiff", "TIFF", "image/tiff", PNG)]
    for name, form, kept, given in [*other, ("avif", "AVIF", "image/avif", JPEG)]:
        yield Odd(name, "image", lambda form=form: saved(form), given, kept, SIZE)  # type: ignore[misc]
    for orientation in range(1, 9):
        size = SIZE if orientation < 5 else SIZE[::-1]
        for form, kept in (("JPEG", JPEG), ("WEBP", WEBP)):
            make = lambda form=form, orientation=orientation: turned(form, orientation)  # type: ignore[misc]  # noqa: E731
            yield Odd(f"{form.lower()} turned {orientation}", "image", make, kept, kept, size)
    for orientation in (3, 6, 8):
        size = SIZE if orientation < 5 else SIZE[::-1]
        for form, kept, given in (("PNG", PNG, PNG), ("TIFF", "image/tiff", PNG), ("AVIF", "image/avif", JPEG)):
            make = lambda form=form, orientation=orientation: turned(form, orientation)  # type: ignore[misc]  # noqa: E731
            yield Odd(f"{form.lower()} turned {orientation}", "image", make, given, kept, size)
    yield Odd("cmyk turned 6", "image", lambda: turned("JPEG", 6, "CMYK"), JPEG, JPEG, SIZE[::-1])


PLAIN = [
    Odd("cmyk jpeg", "image", lambda: saved("JPEG", drawn("CMYK")), JPEG, JPEG, SIZE),
    Odd("progressive jpeg", "image", lambda: saved("JPEG", progressive=True), JPEG, JPEG, SIZE),
    Odd("grey jpeg", "image", lambda: saved("JPEG", drawn("L")), JPEG, JPEG, SIZE),
    Odd("mpo", "image", lambda: saved("MPO", save_all=True, append_images=[drawn()]), JPEG, JPEG, SIZE),
    Odd("grey png of 16 bits", "image", lambda: saved("PNG", drawn("I;16")), PNG, PNG, SIZE),
    Odd("rgb png of 16 bits", "image", lambda: png_16(2, 3), PNG, PNG, SIZE),
    Odd("rgba png of 16 bits", "image", lambda: png_16(6, 4), PNG, PNG, SIZE),
    Odd("png of 1 bit", "image", lambda: saved("PNG", drawn("1")), PNG, PNG, SIZE),
    Odd("png with a palette", "image", lambda: saved("PNG", drawn("P")), PNG, PNG, SIZE),
    Odd("png with transparency", "image", lambda: saved("PNG", drawn("RGBA")), PNG, PNG, SIZE),
    Odd("png with 2 MB of workflow", "image", lambda: with_texts(workflow="x" * (2 << 20)), PNG, PNG, SIZE),
    Odd(
        "png with 30 MB of text",
        "image",
        lambda: with_texts(a="x" * (30 << 20)),
        "!does not decode",
        "!does not decode",
    ),
    Odd("png with a profile of 3 MB", "image", lambda: with_profile(3 << 20), PNG, PNG, SIZE),
    Odd("animated png", "image", lambda: frames("PNG"), PNG, PNG, SIZE),
    Odd("animated gif", "image", lambda: frames("GIF"), PNG, "image/gif", SIZE),
    Odd("animated webp", "image", lambda: frames("WEBP"), JPEG, WEBP, SIZE),
    Odd("animated avif", "image", lambda: frames("AVIF"), JPEG, "image/avif", SIZE),
    Odd("tiff of pages", "image", lambda: frames("TIFF"), PNG, "image/tiff", SIZE),
    Odd("tiff of 16 bits", "image", lambda: saved("TIFF", drawn("I;16")), PNG, "image/tiff", SIZE),
    Odd("tiff of floats", "image", lambda: saved("TIFF", drawn("F")), PNG, "image/tiff", SIZE),
    Odd("cmyk tiff", "image", lambda: saved("TIFF", drawn("CMYK")), PNG, "image/tiff", SIZE),
    Odd("transparent webp", "image", lambda: saved("WEBP", drawn("RGBA")), WEBP, WEBP, SIZE),
    Odd("transparent avif", "image", lambda: saved("AVIF", drawn("RGBA")), PNG, "image/avif", SIZE),
    Odd("gif with transparency", "image", lambda: saved("GIF", drawn("P"), transparency=3), PNG, "image/gif", SIZE),
    Odd("one pixel", "image", lambda: saved("PNG", Image.new("RGB", (1, 1), "red")), PNG, PNG, (1, 1)),
    Odd("an mp4", "image", lambda: ftyp(b"isom", b"mp41"), "!got video/mp4", "!got video/mp4"),
    Odd(
        "svg", "image", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "!promised an image", "!promised an image"
    ),
    Odd("a page", "image", lambda: b"<!doctype html><p>login", "!got text/html", "!got text/html"),
    Odd("half a jpeg", "image", lambda: noise("JPEG", (200, 200))[:3000], "!does not decode", "!does not decode"),
    Odd("a bomb", "image", lambda: bomb(60_000, 60_000), "!megapixels", "!megapixels"),
    Odd("nothing", "image", lambda: b"", "!an empty file", "!an empty file"),
]
_HEIC = [
    Odd("heic", "image", lambda: heic("plain"), JPEG, "image/heic", SIZE),
    Odd("heif", "image", lambda: heic("plain").replace(b"ftypheic", b"ftypmif1"), JPEG, "image/heic", SIZE),
    Odd("grey heic", "image", lambda: heic("grey"), PNG, "image/heic", SIZE),
    Odd("transparent heic", "image", lambda: heic("transparent"), PNG, "image/heic", SIZE),
    Odd("heic of ten bits", "image", lambda: heic("ten-bits"), JPEG, "image/heic", SIZE),
    Odd("heic of several pictures", "image", lambda: heic("several"), JPEG, "image/heic", SIZE),
    *[Odd(f"heic turned {n}", "image", lambda n=n: heic(f"turned-{n}"), JPEG, "image/heic", size)
      for n, size in {2: SIZE, 3: SIZE, 6: SIZE[::-1], 8: SIZE[::-1]}.items()],
    Odd("half a heic", "image", lambda: heic("plain")[:440], "!does not decode", "!does not decode"),
    Odd("heic of nothing", "image", lambda: ftyp(b"heic", b"mif1"), "!does not decode", "!does not decode"),
    Odd("a heic bomb", "image", lambda: heic_bomb(60_000, 60_000), "!megapixels", "!megapixels"),
]  # fmt: skip
OTHERS = [
    Odd("zip", "file", lambda: zipped("a/b.png"), ZIP, "*"),
    Odd("zip of powershell", "file", lambda: zipped("photos\\a.png", "photos\\b.png"), ZIP, "*"),
    Odd("zip that climbs", "file", lambda: zipped("..\\..\\a.png"), "!leads out", "*"),
    Odd("zip with a drive", "file", lambda: zipped("C:\\a.png"), "!leads out", "*"),
    Odd("zip of nothing", "file", zipped, ZIP, "*"),
    Odd("tar.gz", "file", lambda: tarred("./a.png"), TAR, "*"),
    Odd("tar.gz of windows", "file", lambda: tarred("photos\\a.png"), TAR, "*"),
    Odd("gzip that is no tar", "file", lambda: gzip.compress(b"x" * 100), "!not a whole", "*"),
    Odd("mp4", "video", lambda: video(seconds=1), "video/mp4", "video/mp4", (64, 48)),
    Odd("mp4 with longer sound", "video", lambda: clip(sound_s=3), "video/mp4", "video/mp4", (64, 48)),
    Odd("webm", "video", lambda: clip("webm"), "video/webm", "video/webm", (64, 48)),
    Odd("webm with longer sound", "video", lambda: clip("webm", sound_s=3), "video/webm", "video/webm", (64, 48)),
    Odd("webm without duration", "video", lambda: clip("webm", streamed=True), "video/webm", "video/webm", (64, 48)),
    Odd("mkv without duration", "video", lambda: clip("matroska", streamed=True), "*", "video/x-matroska", (64, 48)),
    Odd("half an mp4", "video", lambda: clip()[:4000], "!does not decode", "!does not decode"),
    Odd("wav", "audio", sound, "audio/wav", "audio/wav"),
    Odd("wav of nothing", "audio", lambda: sound(0), "!holds no sound", "!holds no sound"),
    Odd("weights", "weights", weights, "application/vnd.safetensors", "application/vnd.safetensors"),
    Odd("half of weights", "weights", lambda: weights()[:-8], "!bytes of tensors", "!bytes of tensors"),
]
FILES = [*_pictures(), *PLAIN, *_HEIC, *OTHERS]
