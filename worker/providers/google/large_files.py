"""Keeps large files out of the SDK, which encodes and decodes JSON on the event loop and would block it.

The SDK gets a short placeholder for a file. The guard replaces placeholders by the files in a request, and files by
placeholders in an answer. Both run in a thread and in small steps, because each step holds the GIL. Measured: an answer
of 20 MB blocks the loop for 70 to 90 ms with the SDK alone, and for 18 to 30 ms with placeholders.
"""

import binascii
import secrets
from collections.abc import Iterator
from io import BytesIO

LARGE_BYTES = 1 << 18  # bytes; the SDK reads a smaller file in less than a millisecond
_STEP = 3 << 16  # bytes; four thirds of it in base64
_PLAIN = bytes.maketrans(b"-_", b"+/")


class LargeFiles:
    """The large files of one call, by their placeholders."""

    def __init__(self) -> None:
        self._files: dict[bytes, bytes] = {}

    def placeholder_for(self, data: bytes) -> bytes:
        """The bytes to give to the SDK: a placeholder for a large file, or the file itself."""
        if len(data) < LARGE_BYTES:
            return data
        placeholder = f"kilnhand{secrets.token_hex(20)}".encode()  # the same in both base64 alphabets
        self._files[placeholder] = data
        return placeholder

    def original(self, data: bytes) -> bytes:
        """The file behind a placeholder; any other bytes are returned unchanged."""
        return self._files.get(data, data)

    def insert_into(self, body: bytes) -> bytes:
        """The request body with the files in place of their placeholders. Blocking: call it in a thread."""
        names = {binascii.b2a_base64(name, newline=False): name for name in self._files}
        whole, at = BytesIO(), 0
        for place, written in sorted((body.index(written), written) for written in names):
            whole.write(body[at:place])
            _write_base64(self._files[names[written]], whole)
            at = place + len(written)
        whole.write(body[at:])
        return whole.getvalue()

    def extract_from(self, body: bytes, field: bytes) -> bytes:
        """The answer body with placeholders in place of large files. Blocking: call it in a thread.

        `field` is the JSON key of files. Values that are not plain base64 are left to the SDK. The search for the key
        includes its quotes, which would be escaped within a JSON string.
        """
        parts, at = list[bytes](), 0
        for start, end in _find_values(body, b'"%b"' % field):
            if end - start < LARGE_BYTES or (data := _decode(body, start, end)) is None:
                continue
            parts += [body[at:start], binascii.b2a_base64(self.placeholder_for(data), newline=False)]
            at = end
        return b"".join([*parts, body[at:]])

    @property
    def is_empty(self) -> bool:
        """Whether no placeholder was made."""
        return not self._files


def _find_values(body: bytes, name: bytes) -> Iterator[tuple[int, int]]:
    """The start and end of each JSON string that is the value of this key."""
    at = body.find(name)
    while at >= 0:
        at += len(name)
        head = body[at : at + 16]
        rest = head.lstrip()
        if rest.startswith(b":") and (rest := rest[1:].lstrip()).startswith(b'"'):
            start = at + len(head) - len(rest) + 1
            at = body.find(b'"', start)
            if at < 0:
                return
            yield start, at
        at = body.find(name, at)


def _write_base64(data: bytes, whole: BytesIO) -> None:
    for at in range(0, len(data), _STEP):
        whole.write(binascii.b2a_base64(data[at : at + _STEP], newline=False))


def _decode(body: bytes, start: int, end: int) -> bytes | None:
    """Decode base64 of either alphabet, padded or not; None for anything else."""
    step, whole = _STEP // 3 * 4, BytesIO()  # `getvalue` makes no copy
    for at in range(start, end, step):
        text = body[at : min(at + step, end)].translate(_PLAIN)
        if b"=" in text and at + step < end:
            return None
        try:
            whole.write(binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True))
        except binascii.Error:
            return None
    return whole.getvalue()
