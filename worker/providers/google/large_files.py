"""Large files go around the SDK: it reads and writes JSON in one breath, and would stall the loop with all of them.

To the SDK a file is a short stand-in. The guard puts the file in its place on the way out, and takes files out of
an answer on the way in; both are done in a thread and in small steps, since one step holds the interpreter's lock.
Measured: an answer of 20 MB stalls the loop for 70 to 90 ms by the SDK alone, and for 18 to 30 ms this way.
"""

import binascii
import secrets
from collections.abc import Iterator
from io import BytesIO

LARGE_BYTES = 1 << 18  # smaller ones the SDK reads in under a millisecond
_STEP = 3 << 16  # bytes; four thirds of it in base64
_PLAIN = bytes.maketrans(b"-_", b"+/")


class LargeFiles:
    """The large files of one call, by their stand-ins."""

    def __init__(self) -> None:
        self._files: dict[bytes, bytes] = {}

    def placeholder_for(self, data: bytes) -> bytes:
        """What the SDK is to be given for these bytes."""
        if len(data) < LARGE_BYTES:
            return data
        placeholder = f"kilnhand{secrets.token_hex(20)}".encode()  # 48 letters and digits: the same in either base64
        self._files[placeholder] = data
        return placeholder

    def original(self, data: bytes) -> bytes:
        """The bytes that the SDK was given this for."""
        return self._files.get(data, data)

    def insert_into(self, body: bytes) -> bytes:
        """A request with the files in the place of their stand-ins. Blocks: for a thread."""
        names = {binascii.b2a_base64(name, newline=False): name for name in self._files}
        whole, at = BytesIO(), 0
        for place, written in sorted((body.index(written), written) for written in names):
            whole.write(body[at:place])
            _write_base64(self._files[names[written]], whole)
            at = place + len(written)
        whole.write(body[at:])
        return whole.getvalue()

    def extract_from(self, body: bytes, field: bytes) -> bytes:
        """An answer with stand-ins in the place of large files; `field` holds them. Blocks: for a thread.

        What is not plain base64 is left to the SDK. An unescaped name in quotes is never a part of a text in JSON.
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
        """Whether nothing is stowed."""
        return not self._files


def _find_values(body: bytes, name: bytes) -> Iterator[tuple[int, int]]:
    """Where the texts that follow this name begin and end."""
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
    """The bytes behind base64 of either alphabet, padded or not; None when it is something else."""
    step, whole = _STEP // 3 * 4, BytesIO()  # it hands over what it holds without a copy
    for at in range(start, end, step):
        text = body[at : min(at + step, end)].translate(_PLAIN)
        if b"=" in text and at + step < end:
            return None
        try:
            whole.write(binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True))
        except binascii.Error:
            return None
    return whole.getvalue()
