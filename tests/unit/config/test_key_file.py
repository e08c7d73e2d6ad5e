"""fal-config.ini: what is read of it, and what is said of one that cannot be read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.keys.comfy import find_comfy_access, stream_disabled_why
from config.keys.fal import fal_disabled_why, find_fal_key
from config.settings import FalSettings

KEY = "0f1e2d3c-key:s3cret"
BROKEN = [
    f"api_key = {KEY}\n",
    f"[fal]\napi_key = {KEY}\napi_key = {KEY}\n",
    f"[fal]\n[fal]\napi_key = {KEY}\n",
    f"[fal]\n{KEY.partition(':')[0]}\n",
]


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    (folder / "fal-config.ini").write_text(text, encoding=encoding)
    return folder


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_with_or_without_a_byte_order_mark_is_read(tmp_path: Path, encoding: str) -> None:
    folder = write(tmp_path, f"[fal]\napi_key = {KEY}\napplication_name = me/comfy/stream\n", encoding)

    key = find_fal_key(folder, {"HOME": str(folder)})

    assert key is not None and key.value is not None and key.value.get_secret_value() == KEY
    assert find_comfy_access(folder, {}).endpoint == "me/comfy/stream"


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_file_disables_what_needs_it_and_none_of_its_lines_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(write(tmp_path, text))
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_API_KEY"):
        monkeypatch.delenv(name, raising=False)

    told = [str(fal_disabled_why(FalSettings())), str(stream_disabled_why(FalSettings()))]

    assert all(each.startswith("fal-config.ini cannot be read") for each in told)
    assert not any(part in " ".join(told) for part in KEY.split(":"))
    monkeypatch.setenv("FAL_KEY", "id:other")
    assert fal_disabled_why(FalSettings()) is None, "the key is found before the file is read"


@pytest.mark.parametrize("command", [["models", "check"], ["doctor"]])
def test_a_command_says_that_the_file_is_broken(tmp_path: Path, command: list[str]) -> None:
    write(tmp_path, BROKEN[0])
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("FAL_", "KILNHAND_"))}
    asked = [sys.executable, "-P", "-m", "worker.cli", *command]

    done = subprocess.run(asked, cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=300, check=False)

    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode and "fal-config.ini cannot be read" in said
    assert "Traceback" not in said and "s3cret" not in said
