"""Local work reserves as much memory as its largest pictures take."""

import io
import subprocess
import sys

import pytest
from PIL import Image

from worker.errors import RequestRefusedError
from worker.files.media import Media
from worker.files.memory_budget import MB
from worker.providers.local import dataset, pictures
from worker.providers.local.provider import Local

PEAK_OF = """
import io, resource, sys
from PIL import Image
from worker.files.media import Media
from worker.providers.local import dataset, pictures

Image.MAX_IMAGE_PIXELS = None
file = io.BytesIO(sys.stdin.buffer.read())
media = Media(file.getvalue(), "image/png")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
if sys.argv[1] == "prepare-pictures":
    dataset.prepare([media])
else:
    pictures.blend(media, media, None, None, 8)
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def plain_png(side: int, mode: str = "RGBA") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side), 99).save(file, "PNG", compress_level=1)
    return file.getvalue()


@pytest.mark.parametrize("endpoint", ["prepare-pictures", "blend"])
def test_the_peak_of_the_largest_picture_is_within_the_reserved_memory(endpoint: str) -> None:
    data = plain_png(6000)
    child = [sys.executable, "-c", PEAK_OF, endpoint]
    peak = int(subprocess.run(child, input=data, capture_output=True, check=True).stdout)
    assert 100 * MB < peak < Local().call_bytes(endpoint, {}, len(data))


def test_a_picture_with_more_pixels_is_refused_before_it_is_decoded() -> None:
    media = Media(plain_png(6001, "1")[:200], "image/png")  # the header, and little else
    with pytest.raises(RequestRefusedError, match=r"images\.0: is 6001x6001 pixels; allowed: 36 megapixels"):
        dataset.prepare([media])
    with pytest.raises(RequestRefusedError, match="a picture is 6001x6001 pixels; allowed: 36 megapixels"):
        pictures.grow_mask(media, 1, 0)
