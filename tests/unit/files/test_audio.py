"""A sound is whole when every frame of it decodes."""

import io
import wave

import pytest

from worker.errors import BrokenPieceError
from worker.files.formats import sniff
from worker.files.pieces import FoundFile
from worker.files.verify import verify
from worker.jobs.job import Piece

FOUND = FoundFile(Piece("sound", "audio", "sound"), 0, "")


def wav(seconds: float = 0.5) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(b"\x01\x02" * int(16_000 * seconds))
    return buffer.getvalue()


def test_a_whole_sound_has_a_duration() -> None:
    seen = verify(FOUND, io.BytesIO(wav()), 1)

    assert (seen.form.content_type, seen.duration_s) == ("audio/wav", pytest.approx(0.5))


@pytest.mark.parametrize(
    "data", [b"<html>", b"\x89PNG\r\n\x1a\n", wav()[:40], b"fLaC" + b"\0" * 99, b"OggS" + b"\0" * 99]
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(BrokenPieceError, match=r"^sound: "):
        verify(FOUND, io.BytesIO(data), 1)


def test_a_sound_is_known_by_its_first_bytes() -> None:
    starts = {b"ID3\x04": "mp3", b"\xff\xfb\x90": "mp3", b"fLaC": "flac", b"OggS": "ogg", b"\0\0\0\x18ftypM4A ": "m4a"}

    assert {start: sniff(start).ending for start in starts} == starts
