"""Reads a data: URI (RFC 2397), also as real programs write it. Pure.

Base64 may be percent-encoded, URL-safe, unpadded or broken into lines, and `;BASE64` may have any case.
"""

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_ALPHABET = bytes.maketrans(b"-_", b"+/")
_PLAIN_HEADER = re.compile(r"data:[a-z0-9.+-]+/[a-z0-9.+-]+;base64")


def inline_bytes(uri: str) -> bytes:
    """The file inside. Raises `ValueError` that says what is wrong with it."""
    header, comma, data = uri.partition(",")
    if not comma:
        raise ValueError("a data URI without data")
    content = unquote_to_bytes(data)
    if not _is_base64(header):
        return content
    plain = content.translate(_ALPHABET, b" \t\r\n").rstrip(b"=")
    if _NOT_BASE64.search(plain) or len(plain) % 4 == 1:
        raise ValueError("a data URI that does not decode (its base64 is damaged or cut short)")
    try:
        return base64.b64decode(plain + b"=" * (-len(plain) % 4))
    except binascii.Error as error:
        raise ValueError(f"a data URI that does not decode ({error})") from error


def least_bytes(uri: str) -> int:
    """The fewest bytes that it can hold: known before it is decoded."""
    header, _, data = uri.partition(",")
    escapes = 2 * data.count("%")
    return max(0, (len(data) - escapes) * 3 // 4 - 2) if _is_base64(header) and not escapes else 0


def is_plain(uri: str) -> bool:
    """Whether every reader understands how it is written."""
    header, _, data = uri.partition(",")
    return bool(_PLAIN_HEADER.fullmatch(header)) and len(data) % 4 == 0 and not re.search(r"[^A-Za-z0-9+/=]", data)


def _is_base64(header: str) -> bool:
    return header.rstrip().lower().endswith(";base64")
