"""Local work keeps to its memory: what it reserves for pictures of usual sizes, and one large picture at a time."""

import asyncio
import io
import subprocess
import sys
import time

import pytest
from PIL import Image

from worker.errors import RequestRefusedError
from worker.files.media import Media
from worker.files.memory_budget import MB
from worker.providers.base import Call, Reply
from worker.providers.local import dataset, pictures, provider
from worker.providers.local.provider import AT_ONCE, LARGE_PIXELS, Local

PEAK_OF = """
import io, pathlib, re, sys
from PIL import Image
from worker.files.media import Media
from worker.providers.local import dataset, pictures

Image.MAX_IMAGE_PIXELS = None
file = io.BytesIO(sys.stdin.buffer.read())
media = Media(file.getvalue(), "image/png")
pathlib.Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
rss = lambda name: 1024 * int(re.search(name + r":\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
before = rss("VmRSS")
if sys.argv[1] == "prepare-pictures":
    dataset.prepare([media])
else:
    pictures.blend(media, media, None, None, 8)
print(rss("VmHWM") - before)
"""


def plain_png(side: int, mode: str = "RGBA") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (side, side), 99).save(file, "PNG", compress_level=1)
    return file.getvalue()


@pytest.mark.parametrize("endpoint", ["prepare-pictures", "blend"])
@pytest.mark.parametrize("side", [2000, 6000])
def test_the_peak_is_what_is_reserved_or_what_the_documents_say_of_large_pictures(endpoint: str, side: int) -> None:
    data = plain_png(side)
    child = [sys.executable, "-c", PEAK_OF, endpoint]
    peak = int(subprocess.run(child, input=data, capture_output=True, check=True).stdout)
    if side * side <= LARGE_PIXELS:
        assert peak < Local().call_bytes(endpoint, {}, 2 * len(data))
    else:
        assert 100 * MB < peak < 800 * MB


async def test_work_on_a_large_picture_has_no_other_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = list[bool](), dict[bool, int]({True: 0, False: 0})

    def work(call: Call) -> Reply:
        is_large = len(call.files[0].data) > 20_000
        running.append(is_large)
        most[is_large] = max(most[is_large], len(running))
        time.sleep(0.02)
        assert not is_large or running == [True]
        running.remove(is_large)
        return Reply({})

    monkeypatch.setitem(provider._WORK, "cut", work)
    local = Local()
    small, large = (Media(plain_png(side), "image/png") for side in (64, 2400))
    calls = [Call(str(n), "cut", {}, files=(media,)) for n, media in enumerate([small, large, small, small, large] * 3)]
    await asyncio.gather(*map(local.submit, calls))
    assert most == {True: 1, False: AT_ONCE}


def test_a_picture_with_more_pixels_is_refused_before_it_is_decoded() -> None:
    media = Media(plain_png(6001, "1")[:200], "image/png")  # the header, and little else
    with pytest.raises(RequestRefusedError, match=r"images\.0: is 6001x6001 pixels; allowed: 36 megapixels"):
        dataset.prepare([media])
    with pytest.raises(RequestRefusedError, match="a picture is 6001x6001 pixels; allowed: 36 megapixels"):
        pictures.grow_mask(media, 1, 0)
