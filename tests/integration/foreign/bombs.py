"""Malicious files: small on the wire, large in memory or on a disk."""

import gzip
import io
import struct
import tarfile
import warnings
import zipfile
import zlib

from PIL import Image

from tests.unit.files.files import bomb as png_bomb
from tests.unit.files.files import picture

ZEROS = bytes(16 << 20)


def pictures() -> dict[str, bytes]:
    """Pictures with more pixels than are decoded, in each format; one declares them only in its middle."""
    gif = (
        b"GIF89a"
        + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0)
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0)
        + b"\x02\x01\x00;"
    )
    jpeg = bytearray(picture("JPEG"))
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg[start : start + 4] = struct.pack(">HH", 65000, 65000)
    webp = b"VP8X" + struct.pack("<I", 10) + bytes([0x10, 0, 0, 0]) + (16383).to_bytes(3, "little") * 2
    return {
        "wide.png": png_bomb(60_000, 60_000), "tall.png": png_bomb(1, 2_000_000_000), "huge.png": png_bomb(2**31 - 1, 2**31 - 1),
        "huge.gif": gif, "huge.jpg": bytes(jpeg),
        "huge.webp": b"RIFF" + struct.pack("<I", 4 + len(webp)) + b"WEBP" + webp,
        "real.png": _real(),
    }  # fmt: skip


def _real() -> bytes:
    """A valid picture of 25 megapixels in 25 kB."""
    file = io.BytesIO()
    Image.new("1", (5000, 5000)).save(file, "PNG")
    return file.getvalue()


def archives() -> dict[str, bytes]:
    """Archives that hold too much, declare a wrong size, or have paths outside of the archive."""
    zeros = gzip.compress(ZEROS, 9)
    return {
        "bomb.zip": _zip({"a.txt": ZEROS}),
        "many.zip": _zip({f"{n}": b"" for n in range(2000)}),
        "overlapping.zip": _overlapping(),
        "lying.zip": _lying(),
        "climbing.zip": _zip({"../../etc/passwd": b"x"}),
        "rooted.zip": _zip({"/etc/passwd": b"x"}),
        "encrypted.zip": _encrypted(),
        "bzip2.zip": _zip({"a": bytes(1 << 20)}, zipfile.ZIP_BZIP2),
        "cut.zip": _zip({"a": b"x" * 5000})[:-30],
        "directory.zip": _directory(),
        "bomb.tar.gz": _tar({"a.txt": ZEROS}),
        "many.tar.gz": _tar({f"{n}": b"" for n in range(2000)}),
        "climbing.tar.gz": _tar({"../a": b"x"}),
        "link.tar.gz": _tar_of(tarfile.SYMTYPE),
        "device.tar.gz": _tar_of(tarfile.CHRTYPE),
        "declared.tar.gz": _declared(),
        "plain.gz": zeros,
        "twice.gz": gzip.compress(zeros),
        "tail.tar.gz": _tar({"a": b"x"}) + zeros,
        "cut.tar.gz": _tar({"a": b"x" * 5000})[:-20],
    }  # fmt: skip


def _zip(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def _overlapping() -> bytes:
    """Five hundred entries that share the same compressed data."""
    whole = _zip({"a": ZEROS[: 8 << 20]})
    at = whole.index(b"PK\x01\x02")
    entry, end = whole[at : whole.index(b"PK\x05\x06")], bytearray(whole[whole.index(b"PK\x05\x06") :])
    struct.pack_into("<HHI", end, 8, 500, 500, 500 * len(entry))
    return whole[:at] + entry * 500 + bytes(end)


def _lying() -> bytes:
    """Declares ten bytes, but unpacks to eight megabytes."""
    whole = bytearray(_zip({"a": ZEROS[: 8 << 20]}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", whole, whole.index(signature) + offset, 10)
    return bytes(whole)


def _encrypted() -> bytes:
    whole = bytearray(_zip({"a": b"x"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        whole[whole.index(signature) + offset] |= 1
    return bytes(whole)


def _directory() -> bytes:
    """A directory with a comment that is too large to be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for n in range(12):
                info = zipfile.ZipInfo(f"{n}")
                info.comment = b"c" * 60_000
                archive.writestr(info, b"")
    return file.getvalue()


def _tar(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def _tar_of(kind: bytes) -> bytes:
    info = tarfile.TarInfo("a")
    info.type, info.linkname = kind, "/etc/passwd"
    return gzip.compress(info.tobuf() + bytes(1024))


def _declared() -> bytes:
    """A header that declares a terabyte."""
    info = tarfile.TarInfo("a")
    info.size = 1 << 40
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT))


def text_chunk() -> bytes:
    """A small PNG with a compressed text of 48 MB."""
    whole = picture()
    data = b"Comment\0\0" + zlib.compress(3 * ZEROS, 9)
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + struct.pack(">I", zlib.crc32(b"zTXt" + data))
    return whole[:33] + chunk + whole[33:]
