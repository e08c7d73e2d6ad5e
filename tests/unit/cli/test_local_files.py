"""Local files on the command line."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import AfterValidator

from tasks.generation import Run, TextToImage
from tasks.language.requests import StyleRequest
from tasks.training import TrainLora
from tasks.training.captions import given_captions, name_of
from tasks.video import ImageToVideo
from tests.unit.files.files import picture
from worker.cli.errors import CliError
from worker.cli.field_values import FieldTypes
from worker.cli.local_files import MAX_INLINE_BYTES, MAX_STORED_IMAGE_BYTES, attach_files
from worker.jobs.request import MAX_BYTES, BaseRequest, file_url, read


class Several(BaseRequest):
    images: list[Annotated[str, AfterValidator(file_url)]]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(picture("JPEG"))
    return path


def test_a_file_becomes_a_data_uri_with_the_type_of_its_bytes(photo: Path) -> None:
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


def test_values_that_are_no_files_are_unchanged() -> None:
    given = {"image": "https://a.example/@b", "unknown": "@a", "prompt": 5}
    assert attach_files(ImageToVideo, given) == given


def test_a_file_that_is_too_large_or_missing_is_refused_with_a_reason(tmp_path: Path) -> None:
    large = tmp_path / "large.png"
    large.write_bytes(b"\0" * (MAX_INLINE_BYTES + 1))
    with pytest.raises(CliError, match=r"image: .*large\.png has 19\d kB; allowed: 19\d kB, or a URL of it"):
        attach_files(ImageToVideo, {"image": f"@{large}"})
    with pytest.raises(CliError, match=r"image: .*cannot be read"):
        attach_files(ImageToVideo, {"image": f"@{tmp_path}/none.png"})


def test_a_large_picture_is_put_into_the_store_and_the_request_gets_its_key(tmp_path: Path) -> None:
    photo, stored = tmp_path / "photo.jpg", dict[str, tuple[bytes, str]]()
    photo.write_bytes(picture("JPEG") + b"\0" * MAX_INLINE_BYTES)

    def store_file(key: str, path: Path, content_type: str) -> None:
        stored[key] = (path.read_bytes(), content_type)

    given = attach_files(ImageToVideo, {"image": f"@{photo}", "prompt": "a fox"}, store_file)
    assert stored == {given["image"]: (photo.read_bytes(), "image/jpeg")}
    assert given["image"] == f"jobs/{hashlib.sha256(photo.read_bytes()).hexdigest()}/photo-0.jpg"
    assert read("video.image_to_video", ImageToVideo, given)
    assert attach_files(Several, {"images": []}, store_file) == {"images": []}
    with pytest.raises(CliError, match=r"images\.0: .* allowed: 19"):  # this field takes no store key
        attach_files(Several, {"images": [f"@{photo}"]}, store_file)


def test_a_nested_field_takes_a_file(photo: Path) -> None:
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
    ("request_type", "field", "name", "ending"),
    [(TrainLora, "images_data_url", "mugs.zip", "zip"), (TextToImage, "lora_url", "a.safetensors", "safetensors")],
)
def test_weights_and_archives_may_be_larger_than_pictures(
    tmp_path: Path, request_type: type[BaseRequest], field: str, name: str, ending: str
) -> None:
    file, stored = tmp_path / name, list[str]()
    file.write_bytes(b"PK\x03\x04" if ending == "zip" else b"\x08\0\0\0\0\0\0\0{}")
    with file.open("r+b") as whole:
        whole.truncate(MAX_STORED_IMAGE_BYTES + 1)  # a sparse file

    given = attach_files(
        request_type, {"prompt": "a fox", field: f"@{file}"}, lambda key, *_: stored.append(key), 101_000_000
    )
    assert stored == [given[field]] and given[field].endswith(f"/{Path(name).stem}-0.{ending}")
    with pytest.raises(CliError, match=rf"{field}: .*{name} has 100 MB; allowed: 50 MB, or a URL of it"):
        attach_files(request_type, {field: f"@{file}"}, lambda *_: None, 50_000_000)
    with pytest.raises(CliError, match=r"image: .* has 100 MB; allowed: 100 MB"):
        attach_files(ImageToVideo, {"image": f"@{file}"}, lambda *_: None, 101_000_000)


def test_files_that_do_not_fit_together_are_put_into_the_store(tmp_path: Path) -> None:
    half, stored = tmp_path / "half.bin", list[str]()
    half.write_bytes(b"\0" * (MAX_INLINE_BYTES // 2 + 1))
    wardrobe = [{"name": f"{n}", "image": f"@{half}"} for n in range(3)]

    given = attach_files(StyleRequest, {"wardrobe": wardrobe}, lambda key, *_: stored.append(key))
    assert [garment["image"][:5] for garment in given["wardrobe"]] == ["data:", "jobs/", "jobs/"]
    assert read("language.style", StyleRequest, given)
    with pytest.raises(CliError, match=r"wardrobe\.1\.image: .* allowed: 19\d kB with the files before it, or a URL"):
        attach_files(StyleRequest, {"wardrobe": wardrobe})


def test_the_largest_file_fits_a_request(tmp_path: Path) -> None:
    largest = tmp_path / "largest.bin"
    largest.write_bytes(b"\0" * MAX_INLINE_BYTES)
    given = attach_files(ImageToVideo, {"image": f"@{largest}", "prompt": "a fox"})

    assert len(given["image"]) > MAX_BYTES * 0.9
    assert read("video.image_to_video", ImageToVideo, given)


def test_files_are_attached_at_any_depth_of_an_endpoints_arguments(photo: Path) -> None:
    text = json.dumps({"a": {"urls": [f"@{photo}"]}, "scale": 1.5, "prompt": "@anna waves", "n": None})
    arguments = FieldTypes(Run).value("arguments", text)

    found = attach_files(Run, {"model": "acme/odd", "arguments": arguments})["arguments"]

    assert found["a"]["urls"][0].startswith("data:image/jpeg;base64,")
    assert (found["scale"], found["prompt"], found["n"]) == (1.5, "@anna waves", None)
    with pytest.raises(CliError, match=r"arguments\.image: .*cannot be read"):
        attach_files(Run, {"arguments": {"image": "@missing.png"}})


def test_a_path_without_an_at_sign_is_refused_with_the_right_form(photo: Path) -> None:
    with pytest.raises(CliError) as bare:
        attach_files(ImageToVideo, {"image": str(photo), "prompt": str(photo)})
    assert bare.value.status == 2 and f"write image=@{photo}" in bare.value.message
    with pytest.raises(CliError, match=f'write "@{photo}"'):
        attach_files(Several, {"images": [str(photo)]})
    assert attach_files(ImageToVideo, {"image": "data:image/png;base64," + "a" * 5000})


def test_captions_by_name_find_uploaded_files_of_any_size(tmp_path: Path) -> None:
    names = ["cat1.jpg", "My cat.JPEG", "1.jpg", "2.jpg"]
    for name in names:
        (tmp_path / name).write_bytes(picture("JPEG") + name.encode())
    stored = dict[str, Path]()
    images = [f"@{tmp_path / name}" for name in names]
    captions = {"cat1.jpg": "a cat", "My cat.JPEG": "my cat", "1": "a dog", "2.jpg": "another"}
    given = attach_files(
        TrainLora, {"images": images, "captions": captions}, lambda key, path, _: stored.update({key: path})
    )

    assert [stored[key].name for key in given["images"]] == names
    found = [name_of(key, n) for n, key in enumerate(given["images"])]
    assert found == ["cat1.jpg", "My_cat.jpg", "1.jpg", "2.jpg"]
    by_name = {name: text for name, text in captions.items() if name != "1"}
    assert given_captions(by_name, found) == ["a cat", "my cat", None, "another"]
    small = attach_files(TrainLora, {"images": images, "captions": "auto"}, lambda *_: None)
    assert all(ref.startswith("data:") for ref in small["images"]), "nobody needs their names"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"dear diary\n" * 50, "is a text, not a picture"),
        ("кот".encode() * 40, "is a text"),
        (b"<svg/>", "is a text"),
    ],
)
def test_what_cannot_be_a_picture_is_refused_with_its_field_and_its_name(
    tmp_path: Path, content: bytes, says: str
) -> None:
    (path := tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(CliError, match=rf"images\.1: .*a\.jpg {says}"):
        attach_files(TrainLora, {"images": ["https://example.com/0.jpg", f"@{path}"]})
    with pytest.raises(CliError, match=rf"image: .*a\.jpg {says}"):
        attach_files(ImageToVideo, {"image": f"@{path}", "prompt": "x"})
