"""Weights and archives on their way to a provider: by the disk, checked there, uploaded from there."""

import asyncio
import base64
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.foreign.bombs import _zip, archives
from tests.unit.files.conftest import PNG, ROOT, Bench, Make
from tests.unit.files.files import weights
from worker.errors import RequestRefusedError, ServiceUnavailableError
from worker.files.inputs import InputLimits

WEIGHTS = weights()
KEY = "jobs/j1/weights-0.safetensors"


class Provider:
    """Takes uploads, and looks at the file while it is there."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.paths: list[Path] = []

    async def upload(self, path: Path) -> str:
        self.paths.append(path)
        self.taken.append((path.name, await asyncio.to_thread(path.read_bytes)))
        return f"https://theirs/{len(self.taken)}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


async def refused(one: Bench, ref: str, kind: Any = "weights", name: str = "loras.0.url") -> RequestRefusedError:
    provider = Provider()
    with pytest.raises(RequestRefusedError) as caught:
        await one.inputs.hand_over(ref, provider.upload, kind=kind, name=name)
    assert provider.taken == []
    assert caught.value.message.startswith(f"{name}: ")
    return caught.value


async def test_a_file_of_ours_is_uploaded_from_the_disk_under_a_name_that_says_what_it_is(
    bench: Make, folder: Path
) -> None:
    one, provider = bench(), Provider()
    url = await one.keep(KEY, WEIGHTS)
    inline = f"data:;base64,{base64.b64encode(WEIGHTS).decode()}"
    for ref in (KEY, url, inline):
        assert await one.inputs.hand_over(ref, provider.upload, kind="weights", name="lora_url")
    assert provider.taken == [("weights.safetensors", WEIGHTS)] * 3
    assert all(path.is_relative_to(folder) for path in provider.paths)
    assert list(folder.iterdir()) == [], "nothing is left behind"
    assert one.asked == {}


async def test_an_archive_is_looked_into(bench: Make) -> None:
    one, provider = bench(), Provider()
    await one.keep("jobs/a/input-0.zip", _zip({"a.png": PNG}))
    await one.inputs.hand_over("jobs/a/input-0.zip", provider.upload, kind="file", name="images_data_url")
    assert provider.taken[0][0] == "file.zip"
    await one.keep("jobs/a/bomb.zip", archives()["bomb.zip"])
    assert (await refused(one, "jobs/a/bomb.zip", "file", "images_data_url")).kind == "bomb"


@pytest.mark.parametrize(
    ("data", "kind", "why", "words"),
    [
        (PNG, "weights", "wrong_type", "promised weights (safetensors), got image/png"),
        (WEIGHTS[:-8], "weights", "broken", "its header describes"),
        (b"", "weights", "wrong_type", "an empty file"),
        (PNG, "file", "wrong_type", "promised an archive (zip, tar.gz), got image/png"),
        (WEIGHTS, "file", "wrong_type", "promised an archive (zip, tar.gz), got unknown bytes"),
        (b"PK\x03\x04 and no more", "file", "broken", "is not a whole zip or tar.gz"),
    ],
)
async def test_what_is_of_another_kind_or_not_whole_is_refused(
    bench: Make,
    folder: Path,
    data: bytes,
    kind: str,
    why: str,
    words: str,
) -> None:
    one = bench()
    await one.keep(KEY, data)
    error = await refused(one, KEY, kind)
    assert error.kind == why and words in error.message
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("ref", "kind"),
    [
        ("jobs/none/weights-0.safetensors", "missing"), ("jobs/../../etc/passwd", "address"), ("jobs/a/../../x", "address"),
        ("jobs//etc/passwd", "address"), ("jobs/.env", "address"), ("file:///etc/passwd", "address"), ("/etc/passwd", "address"),
        (f"{ROOT}/files/{KEY}", "signature"), (f"{ROOT}/files/../secret?expires=9&signature=x", "address"),
        ("data:;base64,A", "address"),
    ],
)  # fmt: skip
async def test_what_names_no_file_of_ours_is_refused(bench: Make, ref: str, kind: str) -> None:
    one = bench()
    await one.keep(KEY, WEIGHTS)
    assert (await refused(one, ref)).kind == kind
    assert one.asked == {}


async def test_a_file_that_is_too_large_is_refused_while_it_comes(bench: Make, folder: Path) -> None:
    one = bench(lambda _: httpx.Response(200, content=WEIGHTS))
    await one.keep(KEY, WEIGHTS)
    one.inputs._limits = InputLimits(large_bytes=len(WEIGHTS) - 1)
    for ref in (KEY, "https://a.example/lora"):
        error = await refused(one, ref)
        assert error.kind == "too_large" and "KILNHAND_MAX_FILE_MB" in error.message
    one.inputs._limits = InputLimits(large_bytes=len(WEIGHTS))
    provider = Provider()
    assert await one.inputs.hand_over(KEY, provider.upload, kind="weights", name="x")
    assert list(folder.iterdir()) == []


async def test_an_upload_that_fails_leaves_nothing_behind(bench: Make, folder: Path) -> None:
    one = bench()
    await one.keep(KEY, WEIGHTS)

    async def upload(path: Path) -> str:
        assert path.exists()
        raise ServiceUnavailableError("fal: away", provider="fal")

    with pytest.raises(ServiceUnavailableError):
        await one.inputs.hand_over(KEY, upload, kind="weights", name="lora_url")
    assert list(folder.iterdir()) == []


async def test_only_so_many_large_files_are_on_their_way_at_once(bench: Make) -> None:
    one, at_once, most = bench(), 0, 0
    await one.keep(KEY, WEIGHTS)

    async def upload(path: Path) -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.01)
        at_once -= 1
        return "https://theirs/1"

    await asyncio.gather(*(one.inputs.hand_over(KEY, upload, kind="weights", name="x") for _ in range(6)))
    assert most == InputLimits().large_concurrent
