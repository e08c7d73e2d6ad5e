"""The memory that is reserved for a call to Google: by kind, size and number of results, and by files."""

import pytest

from worker.files.memory_budget import MB
from worker.providers.google.memory import call_bytes, picture_bytes

PRO, TRY_ON, VEO, FLASH = "gemini-3-pro-image", "virtual-try-on-001", "veo-3.1-lite-generate-001", "gemini-3.8-flash"


@pytest.mark.parametrize(
    ("endpoint", "arguments", "file_mb", "mb"),
    [
        (PRO, {}, 0, 16),
        (PRO, {"resolution": "4K"}, 0, 100),
        (PRO, {"resolution": "8K"}, 0, 100),
        (PRO, {"num_images": 3, "resolution": "2K"}, 0, 144),
        (PRO, {"num_images": 2}, 2, 2 * (16 + 6) + 2),
        (PRO, {"num_images": "many", "resolution": 7}, 0, 100),
        (PRO, {"num_images": -3}, 0, 16),
        (TRY_ON, {"num_images": 2}, 3, 16 + 96 + 12),
        (VEO, {}, 5, 21),
        (FLASH, {}, 0, 1),
        (FLASH, {}, 10, 41),
    ],
)
def test_memory_grows_with_size_number_and_files(
    endpoint: str, arguments: dict[str, object], file_mb: int, mb: int
) -> None:
    assert call_bytes(endpoint, arguments, file_mb * MB) == mb * MB


def test_the_default_size_of_a_picture_is_1k() -> None:
    sizes = [picture_bytes(resolution, 0) for resolution in ("512", None, "1K", "2K", "4K")]
    assert sizes[1] == sizes[2] and sizes == sorted(sizes) and len(set(sizes)) == 4
