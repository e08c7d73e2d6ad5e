"""The size of a picture from its first bytes. Pure Python: `delay()` uses it, and producers load no picture library."""

import struct

_NO_SIZE = {0xC4, 0xC8, 0xCC}  # JPEG: tables and extensions within the range of frame headers


def picture_size(head: bytes) -> tuple[int, int] | None:
    """Width and height in pixels of a PNG, GIF, WebP or JPEG; None for all else, or if the bytes do not reach so far.

    The formats: PNG's IHDR, GIF's screen descriptor, WebP's VP8, VP8L and VP8X (RFC 9649), JPEG's SOF (ITU T.81).
    """
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack(">II", head[16:24])
        if head.startswith((b"GIF87a", b"GIF89a")):
            return struct.unpack("<HH", head[6:10])
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _webp(head[12:16], head[20:30])
        return _jpeg(head) if head.startswith(b"\xff\xd8") else None
    except (struct.error, IndexError):
        return None


def _webp(chunk: bytes, data: bytes) -> tuple[int, int] | None:
    if chunk == b"VP8X" and len(data) == 10:
        return 1 + int.from_bytes(data[4:7], "little"), 1 + int.from_bytes(data[7:10], "little")
    if chunk == b"VP8L":
        bits = struct.unpack("<I", data[1:5])[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", data[6:10])
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    """From the first frame header. The segments before it (EXIF, ICC) are passed over by their lengths."""
    at = 2
    while head[at] == 0xFF:
        kind = head[at + 1]
        if kind == 0xFF:  # fill byte
            at += 1
            continue
        if 0xC0 <= kind <= 0xCF and kind not in _NO_SIZE:
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 2 + struct.unpack(">H", head[at + 2 : at + 4])[0]
    return None
