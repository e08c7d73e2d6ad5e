"""Files of this machine on the command line."""

import base64
import hashlib
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator

from tasks.generation import TextToImage
from tasks.video import ImageToVideo
from tests.unit.artefacts.files import picture
from worker.cli.complaint import Complaint
from worker.cli.local import MOST_BYTES, with_files
from worker.request import MAX_BYTES, BaseRequest, file_url, read


class Several(BaseRequest):
    images: list[Annotated[str, AfterValidator(file_url)]]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(picture("JPEG"))
    return path


def test_a_file_becomes_a_data_uri_of_what_its_bytes_say(photo: Path) -> None:
    given = with_files(ImageToVideo, {"image": f"@{photo}", "prompt": "@home, a fox"})

    head, _, data = given["image"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(data) == photo.read_bytes()
    assert given["prompt"] == "@home, a fox"
    assert read("video.image_to_video", ImageToVideo, given)


def test_lists_and_optional_fields_take_files_too(photo: Path) -> None:
    several = with_files(Several, {"images": [f"@{photo}", "https://cdn.example/a.png"]})
    assert [each[:10] for each in several["images"]] == ["data:image", "https://cd"]

    weights = photo.with_name("a.safetensors")
    weights.write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    given = with_files(TextToImage, {"prompt": "a fox", "lora_url": f"@{weights}"})
    assert given["lora_url"].startswith("data:application/vnd.safetensors;base64,")


def test_what_is_no_file_stays_as_it_is() -> None:
    given = {"image": "https://a.example/@b", "unknown": "@a", "prompt": 5}
    assert with_files(ImageToVideo, given) == given


def test_a_file_that_is_too_large_or_missing_is_refused_in_words(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(b"x" * (MOST_BYTES + 1))
    with pytest.raises(Complaint, match=r"image: .*large\.png has 19\d kB; allowed: 19\d kB, or a URL of it"):
        with_files(ImageToVideo, {"image": f"@{large}"})
    with pytest.raises(Complaint, match=r"image: .*cannot be read"):
        with_files(ImageToVideo, {"image": f"@{tmp_path}/none.png"})


def test_a_large_picture_goes_into_the_store_and_is_named_by_its_key(tmp_path: Path) -> None:
    photo, kept = tmp_path / "photo.jpg", dict[str, tuple[bytes, str]]()
    photo.write_bytes(picture("JPEG") + b"\0" * MOST_BYTES)

    def keep(key: str, path: Path, content_type: str) -> None:
        kept[key] = (path.read_bytes(), content_type)

    given = with_files(ImageToVideo, {"image": f"@{photo}", "prompt": "a fox"}, keep)
    assert kept == {given["image"]: (photo.read_bytes(), "image/jpeg")}
    assert given["image"] == f"jobs/{hashlib.sha256(photo.read_bytes()).hexdigest()}/input-0.jpg"
    assert read("video.image_to_video", ImageToVideo, given)
    with pytest.raises(Complaint, match=r"lora_url: .* allowed: 19"):  # weights are fetched by fal itself
        with_files(TextToImage, {"prompt": "a fox", "lora_url": f"@{photo}"}, keep)


def test_the_largest_file_fits_a_request(tmp_path: Path) -> None:
    largest = tmp_path / "largest.bin"
    largest.write_bytes(b"x" * MOST_BYTES)
    given = with_files(ImageToVideo, {"image": f"@{largest}", "prompt": "a fox"})

    assert len(given["image"]) > MAX_BYTES * 0.9
    assert read("video.image_to_video", ImageToVideo, given)
