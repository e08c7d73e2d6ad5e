"""Archives: whole ones pass, and are measured; the others are refused before they cost anything."""

import io
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest

from tests.integration.foreign.bombs import _tar, _zip, archives
from worker.files.archive import ArchiveLimits, is_archive, see_archive
from worker.files.file_info import DefectError

LIMITS = ArchiveLimits(entries=1000, unpacked_bytes=4 << 20, ratio=100)
FILES = {"a.png": b"\x89PNG" + bytes(range(256)) * 40, "folder/a.txt": b"a caption", "empty": b""}
BOMBS = archives()


@pytest.mark.parametrize(("packed", "ending"), [(_zip, "zip"), (_tar, "tar.gz")])
def test_a_whole_archive_is_measured(packed: Callable[[dict[str, bytes]], bytes], ending: str) -> None:
    data = packed(FILES)
    seen = see_archive(io.BytesIO(data), LIMITS)

    assert is_archive(data[:64])
    assert (seen.form.ending, seen.entries) == (ending, 3)
    assert seen.unpacked_bytes >= sum(map(len, FILES.values()))


def test_stored_files_and_folders_are_fine() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.mkdir("folder")
        archive.writestr("folder/a", b"x" * 100_000)
    assert see_archive(file, LIMITS).unpacked_bytes == 100_000
    assert is_archive(_zip({})[:64])


@pytest.mark.parametrize("name", BOMBS)
def test_a_hostile_archive_is_refused_without_much_memory(name: str) -> None:
    """Threads that earlier tests left running allocate, too, so the least of three peaks counts."""
    peaks = []
    for _ in range(3):
        tracemalloc.start()
        with pytest.raises(DefectError):
            see_archive(io.BytesIO(BOMBS[name]), LIMITS)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    assert min(peaks) < 4 << 20


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("bomb.zip", "unpacks to more than 4"), ("many.zip", "more than 1000 files"), ("overlapping.zip", "unpacks to"),
        ("lying.zip", "BadZipFile"), ("climbing.zip", "leads out"), ("encrypted.zip", "encrypted"), ("bzip2.zip", "packed in a way"),
        ("directory.zip", "directory that is too large"), ("bomb.tar.gz", "unpacks to"), ("many.tar.gz", "more than 1000 files"),
        ("link.tar.gz", "a link or a device"), ("device.tar.gz", "a link or a device"), ("declared.tar.gz", "unpacks to"),
        ("tail.tar.gz", "unpacks to"), ("cut.tar.gz", "not a whole"),
    ],
)  # fmt: skip
def test_it_says_why(name: str, says: str) -> None:
    with pytest.raises(DefectError, match=says):
        see_archive(io.BytesIO(BOMBS[name]), LIMITS)


def test_a_name_that_would_fill_a_row_is_refused() -> None:
    assert see_archive(io.BytesIO(_zip({"n" * 255: b""})), LIMITS).entries == 1
    with pytest.raises(DefectError, match="name has more than 255 characters"):
        see_archive(io.BytesIO(_zip({"n" * 256: b""})), LIMITS)
