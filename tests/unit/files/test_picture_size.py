import io
from typing import Any

import pytest
from PIL import Image

from worker.files.picture_size import picture_size

EXIF = b"Exif\0\0" + b"x" * 60_000


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(1, 1), (63, 900), (5000, 3)])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}), ("GIF", {}), ("JPEG", {}), ("JPEG", {"progressive": True, "exif": EXIF}),
        ("WEBP", {}), ("WEBP", {"lossless": True}), ("WEBP", {"exif": EXIF}),
    ],
)  # fmt: skip
def test_the_size_is_pillows(form: str, options: dict[str, Any], size: tuple[int, int], mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, size).save(file, form, **options)
    data = file.getvalue()
    assert picture_size(data) == size
    for end in range(40):
        assert picture_size(data[:end]) in {None, size}, "a part gives no wrong size"


def test_what_is_no_picture_has_no_size() -> None:
    assert [picture_size(data) for data in (b"", b"\xff\xd8\xff\xe0", b"%PDF-1.7", b"BM" + b"\0" * 60)] == [None] * 4
