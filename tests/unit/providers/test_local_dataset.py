"""The data set of a training: what is refused by name, and what becomes of the rest."""

import io
import zipfile
from collections.abc import Mapping

import pytest
from PIL import Image

from tests.unit.files.odd_files import heic
from worker.errors import RequestRefusedError
from worker.files.media import Media
from worker.providers.local import dataset


def picture(shade: int = 0, size: tuple[int, int] = (300, 256), form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (shade % 256, shade // 256, 90)).save(file, form, **options)
    return file.getvalue()


def archive(files: Mapping[str, bytes]) -> Media:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as into:
        for name, data in files.items():
            into.writestr(name, data)
    return Media(file.getvalue(), "application/zip")


def test_folders_captions_and_litter() -> None:
    files = {
        "set/": b"",
        "set/b.jpg": picture(2, form="JPEG"),
        "set/b.txt": b"\xef\xbb\xbfa cup ",
        "a.webp": picture(1, form="WEBP"),
        "b.txt.png": picture(3),
        "phone.heic": heic("photo"),
        "__MACOSX/set/._b.jpg": b"fork",
        ".DS_Store": b"x",
        "set/Thumbs.db": b"x",
        "readme.md": b"x",
    }
    found = dataset.unpack(archive(files))
    kept = [(each.name, each.caption, each.media.content_type) for each in found.pictures]
    assert kept == [
        ("a.webp", None, "image/jpeg"),
        ("b.txt.png", None, "image/png"),
        ("phone.heic", None, "image/jpeg"),
        ("set/b.jpg", "a cup", "image/jpeg"),
    ]
    assert found.ignored == ("readme.md",)
    assert found.pictures[3].media.data == files["set/b.jpg"], "a good picture stays as it is"


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"a.png": picture()[:60]}, r"a\.png: does not decode"),
        ({"a.png": b""}, r"a\.png: is not a picture"),
        ({"a.heic": b"\0\0\0\x18ftypheic" + bytes(99)}, r"a\.heic: does not decode as image/heic"),
        ({"a.png": picture(size=(255, 400))}, r"a\.png: is 255x400 pixels; needed: 256"),
        ({"a.png": picture(), "b.txt": b"x"}, r"b\.txt: has no picture beside it"),
        ({"a.png": picture(), "set/a.txt": b"x"}, r"set/a\.txt: has no picture beside it"),
        ({"a.png": picture(), "README.txt": b"x", "b.txt": b"x"}, r"b\.txt: has no picture beside it"),
        (
            {f"{n}.{end}": picture(n) if end == "png" else b"x" * 20_000 for n in range(11) for end in ("png", "txt")},
            "200000",
        ),
        ({"a.png": picture(), "a.txt": b"\xff"}, r"a\.txt: a caption is a text in UTF-8"),
        ({"a.png": picture(), "a.txt": b" "}, r"a\.txt: a caption has 1 to"),
        ({"a.png": picture(), "a.txt": b"x" * 90_000}, r"a\.txt: a caption has at most"),
        ({"a.png": picture(), "a_mask.png": picture(1)}, r"a_mask\.png: masks are not kept"),
        ({"a.txt": b"x"}, "has 0 pictures; allowed: 1 to 60"),
        ({f"{n}.png": b"x" for n in range(61)}, "has 61 pictures; allowed: 1 to 60"),
        ({f"{n}.png": b"x" for n in range(10_000)}, "has 10000 pictures; allowed: 1 to 60"),
        ({"a.png": b"x", "b.png": b"y"}, r"a\.png: is not a picture; b\.png: is not a picture"),
    ],
)
def test_what_cannot_be_used_is_named(files: Mapping[str, bytes], text: str) -> None:
    with pytest.raises(RequestRefusedError, match=text):
        dataset.unpack(archive(files))


def test_another_archive_is_refused() -> None:
    with pytest.raises(RequestRefusedError, match="is not a zip"):
        dataset.unpack(Media(b"\x1f\x8b" + bytes(40), "application/gzip"))


def test_the_same_pixels_have_the_same_hash_in_every_format() -> None:
    same = [Media(picture(form=form), f"image/{form.lower()}") for form in ("PNG", "BMP")]
    other = Media(picture(1), "image/png")
    hashes = [dataset.prepared(media).sha256 for media in (*same, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_large_picture_is_scaled_and_a_turned_one_is_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    large, turned = dataset.prepare(
        [
            Media(picture(size=(3000, 2000), form="JPEG"), "image/jpeg"),
            Media(picture(size=(400, 300), form="JPEG", exif=exif), "image/jpeg"),
        ]
    )
    with Image.open(io.BytesIO(large.media.data)) as scaled, Image.open(io.BytesIO(turned.media.data)) as upright:
        assert scaled.width * scaled.height <= 2048 * 2048 and scaled.width / scaled.height == pytest.approx(
            1.5, abs=0.01
        )
        assert upright.size == (300, 400)


def test_all_small_pictures_are_named() -> None:
    small = Media(picture(size=(64, 64)), "image/png")
    with pytest.raises(RequestRefusedError, match=r"images\.0: is 64x64.*images\.2: is 64x64"):
        dataset.prepare([small, Media(picture(), "image/png"), small])


def test_an_archive_has_each_caption_beside_its_picture_and_is_the_same_each_time() -> None:
    pictures = [Media(picture(), "image/png"), Media(picture(form="JPEG"), "image/jpeg")]
    packed = dataset.pack(pictures, ["a cup", ""])
    with zipfile.ZipFile(io.BytesIO(packed)) as files:
        assert files.namelist() == ["000.png", "000.txt", "001.jpg"]
        assert files.read("000.txt") == b"a cup"
    assert packed == dataset.pack(pictures, ["a cup", ""])


@pytest.mark.parametrize("name", ["README.txt", "set/License.TXT", "metadata.txt"])
def test_a_text_about_the_data_set_is_no_caption(name: str) -> None:
    found = dataset.unpack(archive({"a.png": picture(), name: b"A hundred mugs."}))
    assert found.ignored == (name,)
    assert [each.caption for each in found.pictures] == [None]


def test_beside_captions_other_texts_are_ignored() -> None:
    found = dataset.unpack(archive({"a.png": picture(), "a.txt": b"a mug", "sources.txt": b"https://example.com"}))
    assert (found.ignored, found.pictures[0].caption) == (("sources.txt",), "a mug")


def test_the_names_of_an_archive_do_not_fill_a_row() -> None:
    names = [f"{n:04}{'n' * 240}.md" for n in range(3000)]
    found = dataset.unpack(archive({"a.png": picture(), **dict.fromkeys(names, b"")}))
    assert found.ignored == tuple(names[:20])
    assert found.ignored_count == 3000
