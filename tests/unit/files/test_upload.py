"""`worker.client.upload`: a file of a backend becomes a key that a request can name."""

from pathlib import Path

import pytest

from tasks.video import ImageToVideo
from tests.unit.files.files import noise
from worker.client import upload
from worker.errors import InvalidRequestError, ServiceUnavailableError
from worker.jobs.file_refs import file_ref
from worker.jobs.request import read

PHOTO = noise("PNG", (700, 700))


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KILNHAND_STORE_URL", tmp_path.as_uri())
    monkeypatch.delenv("KILNHAND_SECRET", raising=False)
    return tmp_path


def test_a_photo_that_no_request_takes_gets_a_key(store: Path, tmp_path: Path) -> None:
    assert len(PHOTO) > 1_000_000
    (photo := tmp_path / "photo.bin").write_bytes(PHOTO)
    key = upload(PHOTO)
    assert file_ref(key) == key and upload(str(photo)) == upload(photo), (
        "the same content of the same name is stored once"
    )
    assert upload(photo).endswith("/photo-0.png") and upload(photo).rpartition("/")[0] == key.rpartition("/")[0]
    assert (store / key).read_bytes() == PHOTO and key.endswith("/input-0.png")
    request, _ = read("video.image_to_video", ImageToVideo, {"image": key, "prompt": "it burns"})
    assert request.image == key


def test_a_key_is_of_its_tenant() -> None:
    assert upload(PHOTO, tenant="acme").startswith("jobs/t-acme/")


def test_a_request_that_is_too_large_says_where_the_file_goes() -> None:
    with pytest.raises(InvalidRequestError, match=r"allowed: 262144 \(.* worker\.client\.upload"):
        read("video.image_to_video", ImageToVideo, {"image": "data:image/png;base64," + "A" * 300_000, "prompt": "x"})


async def test_it_may_be_called_inside_a_running_loop() -> None:
    assert upload(b"PK\x05\x06" + bytes(18)).endswith(".zip")


def test_what_cannot_be_stored_says_why(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequestError, match="the file is empty"):
        upload(b"")
    with pytest.raises(FileNotFoundError):
        upload("no such file")
    monkeypatch.setenv("KILNHAND_MAX_FILE_MB", "1")
    with pytest.raises(InvalidRequestError, match=r"image/png of 1\.\d MB; allowed: 1 MB"):
        upload(PHOTO)
    monkeypatch.setenv("KILNHAND_STORE_URL", (store / "elsewhere").as_uri())
    with pytest.raises(ServiceUnavailableError, match="KILNHAND_STORE_URL must name"):
        upload(b"x")


def test_only_a_tar_is_an_archive_of_what_is_gzipped(tmp_path: Path) -> None:
    keys = []
    for name in ("volume.nii.gz", "set.tar.gz", "set.tgz"):
        (path := tmp_path / name).write_bytes(b"\x1f\x8b" + bytes(20))
        keys.append(upload(path).rpartition("/")[2])
    assert keys == ["volume.nii-0.gz", "set.tar-0.tar.gz", "set-0.tar.gz"]
