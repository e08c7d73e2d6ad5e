"""Files of this machine on the command line."""

import base64
import hashlib
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator

from tasks.generation import TextToImage
from tasks.language.requests import StyleRequest
from tasks.training import TrainLora
from tasks.video import ImageToVideo
from tests.unit.files.files import picture
from worker.cli.errors import CliError
from worker.cli.local_files import MAX_INLINE_BYTES, MAX_STORED_IMAGE_BYTES, attach_files
from worker.jobs.request import MAX_BYTES, BaseRequest, file_url, read


class Several(BaseRequest):
    images: list[Annotated[str, AfterValidator(file_url)]]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(picture("JPEG"))
    return path


def test_a_file_becomes_a_data_uri_of_what_its_bytes_say(photo: Path) -> None:
    given = attach_files(ImageToVideo, {"image": f"@{photo}", "prompt": "@home, a fox"})

    head, _, data = given["image"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(data) == photo.read_bytes()
    assert given["prompt"] == "@home, a fox"
    assert read("video.image_to_video", ImageToVideo, given)


def test_lists_and_optional_fields_take_files_too(photo: Path) -> None:
    several = attach_files(Several, {"images": [f"@{photo}", "https://cdn.example/a.png"]})
    assert [each[:10] for each in several["images"]] == ["data:image", "https://cd"]

    weights = photo.with_name("a.safetensors")
    weights.write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    given = attach_files(TextToImage, {"prompt": "a fox", "lora_url": f"@{weights}"})
    assert given["lora_url"].startswith("data:application/vnd.safetensors;base64,")


def test_what_is_no_file_stays_as_it_is() -> None:
    given = {"image": "https://a.example/@b", "unknown": "@a", "prompt": 5}
    assert attach_files(ImageToVideo, given) == given


def test_a_file_that_is_too_large_or_missing_is_refused_in_words(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(b"x" * (MAX_INLINE_BYTES + 1))
    with pytest.raises(CliError, match=r"image: .*large\.png has 19\d kB; allowed: 19\d kB, or a URL of it"):
        attach_files(ImageToVideo, {"image": f"@{large}"})
    with pytest.raises(CliError, match=r"image: .*cannot be read"):
        attach_files(ImageToVideo, {"image": f"@{tmp_path}/none.png"})


def test_a_large_picture_goes_into_the_store_and_is_named_by_its_key(tmp_path: Path) -> None:
    photo, kept = tmp_path / "photo.jpg", dict[str, tuple[bytes, str]]()
    photo.write_bytes(picture("JPEG") + b"\0" * MAX_INLINE_BYTES)

    def keep(key: str, path: Path, content_type: str) -> None:
        kept[key] = (path.read_bytes(), content_type)

    given = attach_files(ImageToVideo, {"image": f"@{photo}", "prompt": "a fox"}, keep)
    assert kept == {given["image"]: (photo.read_bytes(), "image/jpeg")}
    assert given["image"] == f"jobs/{hashlib.sha256(photo.read_bytes()).hexdigest()}/input-0.jpg"
    assert read("video.image_to_video", ImageToVideo, given)
    assert attach_files(Several, {"images": []}, keep) == {"images": []}
    with pytest.raises(CliError, match=r"images\.0: .* allowed: 19"):  # no reference to our store is taken there
        attach_files(Several, {"images": [f"@{photo}"]}, keep)


def test_a_field_inside_another_takes_a_file(photo: Path) -> None:
    weights = photo.with_name("a.safetensors")
    weights.write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    wardrobe = [{"name": "@coat", "image": f"@{photo}"}, {"name": "hat"}]
    styled = attach_files(StyleRequest, {"wardrobe": wardrobe})["wardrobe"]
    assert styled[0]["name"] == "@coat" and styled[0]["image"].startswith("data:image/jpeg;base64,")
    assert styled[1] == {"name": "hat"} and wardrobe[0]["image"] == f"@{photo}"
    assert read("language.style", StyleRequest, {"wardrobe": styled})

    given = {"prompt": "@x", "loras": [{"url": f"@{weights}"}], "image_size": {"width": 64, "height": 64}}
    made = attach_files(TextToImage, given)
    assert made["loras"][0]["url"].startswith("data:application/vnd.safetensors;base64,")
    assert (made["prompt"], made["image_size"]) == ("@x", given["image_size"])
    with pytest.raises(CliError, match=r"^wardrobe\.1\.image: .*none cannot be read"):
        attach_files(StyleRequest, {"wardrobe": [{"name": "hat"}, {"name": "hat", "image": f"@{photo}none"}]})


@pytest.mark.parametrize(
    ("asks", "field", "name", "ending"),
    [(TrainLora, "images_data_url", "mugs.zip", "zip"), (TextToImage, "lora_url", "a.safetensors", "safetensors")],
)
def test_weights_and_archives_may_be_larger_than_pictures(
    tmp_path: Path, asks: type[BaseRequest], field: str, name: str, ending: str
) -> None:
    file, kept = tmp_path / name, list[str]()
    file.write_bytes(b"PK\x03\x04" if ending == "zip" else b"\x08\0\0\0\0\0\0\0{}")
    with file.open("r+b") as whole:
        whole.truncate(MAX_STORED_IMAGE_BYTES + 1)  # a hole: it takes no room

    given = attach_files(asks, {"prompt": "a fox", field: f"@{file}"}, lambda key, *_: kept.append(key), 101_000_000)
    assert kept == [given[field]] and given[field].endswith(f"/input-0.{ending}")
    with pytest.raises(CliError, match=rf"{field}: .*{name} has 100 MB; allowed: 50 MB, or a URL of it"):
        attach_files(asks, {field: f"@{file}"}, lambda *_: None, 50_000_000)
    with pytest.raises(CliError, match=r"image: .* has 100 MB; allowed: 100 MB"):
        attach_files(ImageToVideo, {"image": f"@{file}"}, lambda *_: None, 101_000_000)


def test_files_that_are_too_large_together_go_into_the_store(tmp_path: Path) -> None:
    half, kept = tmp_path / "half.bin", list[str]()
    half.write_bytes(b"x" * (MAX_INLINE_BYTES // 2 + 1))
    wardrobe = [{"name": f"{n}", "image": f"@{half}"} for n in range(3)]

    given = attach_files(StyleRequest, {"wardrobe": wardrobe}, lambda key, *_: kept.append(key))
    assert [garment["image"][:5] for garment in given["wardrobe"]] == ["data:", "jobs/", "jobs/"]
    assert read("language.style", StyleRequest, given)
    with pytest.raises(CliError, match=r"wardrobe\.1\.image: .* allowed: 19\d kB with the files before it, or a URL"):
        attach_files(StyleRequest, {"wardrobe": wardrobe})


def test_the_largest_file_fits_a_request(tmp_path: Path) -> None:
    largest = tmp_path / "largest.bin"
    largest.write_bytes(b"x" * MAX_INLINE_BYTES)
    given = attach_files(ImageToVideo, {"image": f"@{largest}", "prompt": "a fox"})

    assert len(given["image"]) > MAX_BYTES * 0.9
    assert read("video.image_to_video", ImageToVideo, given)
