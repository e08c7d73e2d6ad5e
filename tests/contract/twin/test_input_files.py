"""Files that an input names are read where possible: loopback, data URIs, the twin's own files."""

import base64
import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from twin.safetensors import write_lora

EDIT = "fal-ai/flux/dev/image-to-image"
TRAINING = "fal-ai/flux-lora-fast-training"
LORA = "fal-ai/flux-lora"


def png(width: int = 64, height: int = 48) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (10, 120, 200)).save(buffer, "png")
    return buffer.getvalue()


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, png())
    return buffer.getvalue()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A folder served on loopback by a server that is not the twin."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", tmp_path
    server.shutdown()
    thread.join()
    server.server_close()


def only_type(entries: list[dict[str, Any]]) -> tuple[list[Any], str]:
    (entry,) = entries
    return entry["loc"], entry["type"]


def test_a_picture_on_loopback_gives_the_output_its_size(twin: Any, folder: tuple[str, Path]) -> None:
    url, path = folder
    (path / "a.png").write_bytes(png(300, 200))
    image = twin.make(EDIT, {"image_url": f"{url}/a.png", "prompt": "bluer"})["images"][0]
    assert (image["width"], image["height"]) == (300, 200)


def test_a_picture_that_is_not_there_is_refused(twin: Any, folder: tuple[str, Path]) -> None:
    url, _ = folder
    for missing in (
        f"{url}/none.png",
        "http://127.0.0.1:9/none.png",
        f"{twin.url}/cdn/files/b/none/none.png",
        "http://[bad",
    ):
        entries = twin.refused(EDIT, {"image_url": missing, "prompt": "bluer"})
        assert only_type(entries) == (["body", "image_url"], "file_download_error")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a.png", "data:image/png;base64,%%%"])
def test_a_url_that_nobody_could_fetch_is_refused(twin: Any, url: str) -> None:
    entries = twin.refused(EDIT, {"image_url": url, "prompt": "bluer"})
    assert only_type(entries) == (["body", "image_url"], "file_download_error")


def test_a_picture_that_does_not_decode_is_refused(twin: Any) -> None:
    url = twin.upload(b"this is no picture")
    entries = twin.refused(EDIT, {"image_url": url, "prompt": "bluer"})
    assert only_type(entries) == (["body", "image_url"], "image_load_error")


def test_a_data_uri_is_decoded(twin: Any) -> None:
    uri = "data:image/png;base64," + base64.b64encode(png(40, 30)).decode()
    image = twin.make(EDIT, {"image_url": uri, "prompt": "bluer"})["images"][0]
    assert (image["width"], image["height"]) == (40, 30)


def test_pictures_in_a_list_are_named_by_their_place(twin: Any) -> None:
    urls = ["https://example.com/a.png", twin.upload(png()), twin.upload(b"no")]
    entries = twin.refused("fal-ai/nano-banana-2/edit", {"image_urls": urls, "prompt": "bluer"})
    assert only_type(entries) == (["body", "image_urls", 2], "image_load_error")


def test_other_hosts_are_taken_as_good(twin: Any) -> None:
    assert twin.make(EDIT, {"image_url": "https://example.com/a.png", "prompt": "bluer"})["images"]
    assert twin.make(LORA, {"prompt": "a", "loras": [{"path": "owner/name"}]})["images"]


def test_a_lora_must_be_safetensors(twin: Any) -> None:
    good = write_lora({"trigger_word": "TOK"}, 1)
    for bad in (b"", b"PK\x03\x04 a zip", good[:-1], b"\xff" * 64, good[:8] + b"[" + good[9:]):
        path = twin.upload(bad, "application/octet-stream", "a.safetensors")
        entries = twin.refused(LORA, {"prompt": "a", "loras": [{"path": path}]})
        assert only_type(entries)[0] == ["body", "loras", 0, "path"]
    path = twin.upload(good, "application/octet-stream", "a.safetensors")
    assert twin.make(LORA, {"prompt": "a", "loras": [{"path": path}]})["images"]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"no zip", "invalid_archive"),
        (archive(), "archive_file_count_below_minimum"),
        (archive("a.txt"), "archive_file_count_below_minimum"),
    ],
)
def test_a_training_archive_must_hold_pictures(twin: Any, data: bytes, kind: str) -> None:
    entries = twin.refused(TRAINING, {"images_data_url": twin.upload(data, "application/zip", "a.zip")})
    assert only_type(entries) == (["body", "images_data_url"], kind)
    assert "supported_extensions" in entries[0]["ctx"]


def test_a_good_training_archive_is_taken(twin: Any) -> None:
    url = twin.upload(archive("a.png", "a.txt", "sub/b.JPG"), "application/zip", "a.zip")
    assert twin.make(TRAINING, {"images_data_url": url})["diffusers_lora_file"]


def test_a_file_above_the_cap_is_refused(twin: Any, folder: tuple[str, Path]) -> None:
    url, path = folder
    with (path / "big.zip").open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    entries = twin.refused(TRAINING, {"images_data_url": f"{url}/big.zip"})
    assert only_type(entries) == (["body", "images_data_url"], "file_too_large")
    assert entries[0]["ctx"] == {"max_size": 64 * 1024 * 1024}
