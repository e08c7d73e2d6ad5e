"""Files that are verified by what their bytes are, because nobody knows what an endpoint makes."""

import io

import pytest

from tests.unit.tasks.pictures import photo
from twin.mesh import write_mesh
from twin.safetensors import write_lora
from twin.sound import Sound
from worker.errors import BrokenPieceError
from worker.files.pieces import FoundFile
from worker.files.verify import Verifier, VerifyLimits
from worker.jobs.job import Piece

FILES = Piece("files", "file", "files.*", count=64, fewest=0, as_found=True)
CUT = photo().data[:-40]


@pytest.mark.parametrize(
    ("data", "name", "announced", "kind", "ending"),
    [
        (photo().data, "", "", "image", "png"),
        (photo().data, "x.glb", "model/gltf-binary", "image", "png"),
        (Sound("a").render(), "", "audio/wav", "audio", "wav"),
        (write_lora({}, 1), "", "", "weights", "safetensors"),
        (write_mesh("m"), "m.glb", "", "file", "glb"),
        (b"PK\3\4", "", "application/zip", "file", "zip"),
        (b"<svg/>", "drawing.svg", "image/svg+xml", "file", "svg"),
        (b"ID3 is what this text is about", "words.txt", "text/plain", "file", "txt"),
        (CUT, "x.dat", "", "file", "dat"),
    ],
)
async def test_a_file_is_what_its_bytes_are(data: bytes, name: str, announced: str, kind: str, ending: str) -> None:
    verifier = Verifier(VerifyLimits(most_pixels=10_000_000))
    try:
        seen = await verifier.check(FoundFile(FILES, 0, "", announced, name), io.BytesIO(data))
    finally:
        verifier.close()

    assert (seen.form.kind, seen.form.ending) == (kind, ending)


@pytest.mark.parametrize(
    ("data", "name", "announced"),
    [
        (CUT, "x.png", ""),
        (CUT, "", "image/png"),
        (b"<!DOCTYPE html><html>gone</html>", "x.png", ""),
        (b"<?xml version='1.0'?><Error/>", "", "image/jpeg"),
        (b'{"status": "IN_QUEUE"}', "x.jpg", "image/jpeg"),
        (b"", "x.bin", ""),
    ],
)
async def test_a_file_that_is_not_what_its_answer_says_is_broken(data: bytes, name: str, announced: str) -> None:
    verifier = Verifier(VerifyLimits(most_pixels=10_000_000))
    try:
        with pytest.raises(BrokenPieceError):
            await verifier.check(FoundFile(FILES, 0, "", announced, name), io.BytesIO(data))
    finally:
        verifier.close()
