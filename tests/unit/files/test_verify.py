"""What counts as a whole piece of its kind, and how a defect is told."""

import contextlib
import io
import os
import random
import struct
from typing import Any

import pytest
from PIL import Image

from tests.unit.files.files import bomb, found, noise, picture, video, weights
from worker.errors import BrokenPieceError
from worker.files.verify import Verifier, VerifyLimits, verify
from worker.jobs.job import Kind

MOST_PIXELS = 120_000_000


def refusal(content: bytes, kind: Kind = "image", most_pixels: int = MOST_PIXELS, **promise: object) -> str:
    with pytest.raises(BrokenPieceError) as caught:
        verify(found(kind, **promise), io.BytesIO(content), most_pixels)
    return caught.value.message


@pytest.mark.parametrize(
    ("form", "content_type", "ending"),
    [
        ("PNG", "image/png", "png"),
        ("JPEG", "image/jpeg", "jpg"),
        ("WEBP", "image/webp", "webp"),
        ("GIF", "image/gif", "gif"),
        ("AVIF", "image/avif", "avif"),
    ],
)
def test_a_whole_picture_of_each_format_is_measured(form: str, content_type: str, ending: str) -> None:
    seen = verify(found(), io.BytesIO(picture(form)), MOST_PIXELS)
    assert (seen.form.content_type, seen.form.ending, seen.width, seen.height) == (content_type, ending, 64, 48)


def test_a_web_page_in_place_of_a_picture_is_named() -> None:
    assert refusal(b"<!doctype html><title>502</title>") == "images.0: promised an image, got text/html"


def test_a_video_in_place_of_a_picture_is_named() -> None:
    assert refusal(video()) == "images.0: promised an image, got video/mp4"


def test_an_empty_file_is_no_piece_of_any_kind() -> None:
    kinds: tuple[Kind, ...] = ("image", "video", "weights", "json", "file")
    assert all("an empty file" in refusal(b"", kind) for kind in kinds)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_picture_cut_short_does_not_pass(form: str, kept: float) -> None:
    content = noise(form, (128, 128))
    assert "does not decode" in refusal(content[: int(len(content) * kept)])


def test_a_mask_cut_short_does_not_pass_either() -> None:
    content = noise("PNG", (128, 128), mode="L")
    assert "does not decode" in refusal(content[: len(content) // 2])


def test_a_picture_with_flipped_bits_does_not_pass() -> None:
    content = bytearray(noise("PNG", (64, 64)))
    content[len(content) // 2] ^= 0xFF
    assert "does not decode" in refusal(bytes(content))


def test_a_picture_that_declares_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    assert "KILNHAND_MAX_MEGAPIXELS" in refusal(bomb(12_000, 12_000))
    assert "KILNHAND_MAX_MEGAPIXELS" in refusal(bomb(60_000, 60_000))
    assert "more than 0.003 megapixels" in refusal(picture(size=(64, 48)), most_pixels=3000)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_black_picture_is_broken(form: str) -> None:
    assert "entirely black" in refusal(picture(form, colour=(0, 0, 0)))


def test_a_nearly_black_picture_is_broken_and_a_dark_one_is_not() -> None:
    assert "entirely black" in refusal(picture(colour=(2, 1, 0)))
    assert verify(found(), io.BytesIO(picture(colour=(0, 0, 3))), MOST_PIXELS).width == 64


def test_one_light_pixel_is_enough_not_to_be_black() -> None:
    image, file = Image.new("RGB", (64, 64)), io.BytesIO()
    image.putpixel((1, 0), (0, 9, 0))
    image.save(file, "PNG")
    assert verify(found(), file, MOST_PIXELS).width == 64


@pytest.mark.parametrize(("mode", "colour"), [("L", 0), ("1", 0), ("I;16", 0), ("RGBA", (0, 0, 0, 0))])
def test_a_mask_or_a_transparent_picture_may_be_black(mode: str, colour: object) -> None:
    assert verify(found(), io.BytesIO(picture(mode=mode, colour=colour)), MOST_PIXELS).width == 64


def test_an_opaque_black_picture_with_alpha_or_palette_is_broken() -> None:
    assert "entirely black" in refusal(picture(mode="RGBA", colour=(0, 0, 0, 255)))
    assert "entirely black" in refusal(picture("GIF", colour=(0, 0, 0)))


@pytest.mark.parametrize("size", [(1024, 768), (1024, 736), (992, 768), (1060, 790)])
def test_a_size_rounded_as_models_do_is_the_promised_one(size: tuple[int, int]) -> None:
    assert verify(found(width=1024, height=768), io.BytesIO(picture(size=size)), MOST_PIXELS).width == size[0]


def test_another_size_is_told_with_both_numbers() -> None:
    assert refusal(picture(size=(512, 768)), width=1024) == "images.0: promised a width of 1024 px, got 512"
    assert refusal(picture(size=(1024, 1024)), height=768) == "images.0: promised a height of 768 px, got 1024"


def test_another_shape_is_refused() -> None:
    assert "promised a shape of 1.78" in refusal(picture(size=(512, 512)), ratio=16 / 9)
    assert verify(found(ratio=16 / 9), io.BytesIO(picture(size=(1344, 768))), MOST_PIXELS).width == 1344


@pytest.mark.parametrize(
    ("form", "content_type"), [("mp4", "video/mp4"), ("mov", "video/quicktime"), ("webm", "video/webm")]
)
def test_a_whole_video_is_measured(form: str, content_type: str) -> None:
    seen = verify(found("video"), io.BytesIO(video(form)), MOST_PIXELS)
    assert (seen.form.content_type, seen.width, seen.height) == (content_type, 64, 48)
    assert seen.duration_s == pytest.approx(2, abs=0.1)


def test_a_matroska_video_is_told_from_webm() -> None:
    assert verify(found("video"), io.BytesIO(video("matroska")), MOST_PIXELS).form.ending == "mkv"


def test_a_video_in_an_unknown_codec_does_not_pass() -> None:
    assert "is in a codec" in refusal(video("webm").replace(b"V_VP8", b"V_ZZZ"), "video")


def test_no_damage_to_a_file_shows_as_a_defect_of_ours() -> None:
    dice = random.Random(7)
    samples: list[tuple[Kind, bytes]] = [
        ("image", noise(form, (24, 24))) for form in ("PNG", "JPEG", "WEBP", "GIF", "AVIF")
    ]
    samples += [("video", video(seconds=0.5)), ("weights", weights())]
    for _ in range(500):
        kind, content = dice.choice(samples)
        damaged = bytearray(content)
        for _ in range(dice.choice((1, 4, 16))):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        with contextlib.suppress(BrokenPieceError):
            verify(found(kind), io.BytesIO(damaged), MOST_PIXELS)


def test_bytes_that_only_begin_like_a_video_do_not_pass() -> None:
    assert "does not decode" in refusal(b"\0\0\0\x20ftypisom" + os.urandom(5000), "video")


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.8])
def test_a_video_cut_short_does_not_pass(kept: float) -> None:
    content = video(movflags="faststart")
    assert "video: " in refusal(content[: int(len(content) * kept)], "video")


def test_a_playlist_is_no_video() -> None:
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    assert refusal(playlist, "video") == "video: promised a video, got unknown bytes"


def test_whole_weights_pass() -> None:
    assert verify(found("weights"), io.BytesIO(weights()), MOST_PIXELS).form.ending == "safetensors"


@pytest.mark.parametrize(
    "content",
    [
        weights(data=b"\0" * 23),
        weights(data=b"\0" * 25),
        weights({"a": (0, 16), "b": (12, 24)}),
        weights({"a": (0, 8), "b": (16, 24)}),
        weights({"a": (16, 0), "b": (0, 24)}),
        weights({}, b""),
        struct.pack("<Q", 10**12) + b"{" + b"\0" * 50,
        struct.pack("<Q", 30) + b'{"a": {"dtype": "F32", "shape"' + b"\0" * 24,
        struct.pack("<Q", 2) + b"{}",
    ],
)
def test_weights_whose_header_and_bytes_disagree_do_not_pass(content: bytes) -> None:
    assert refusal(content, "weights").startswith("weights: ")


def test_a_web_page_in_place_of_weights_or_json_is_named() -> None:
    page = b"<html><body>Not found</body></html>"
    assert refusal(page, "weights") == "weights: promised weights (safetensors), got text/html"
    assert refusal(page, "json") == "json: promised JSON, got text/html"


def test_json_must_parse() -> None:
    assert verify(found("json"), io.BytesIO(b'{"a": 1}'), MOST_PIXELS).form.ending == "json"
    assert "does not parse" in refusal(b'{"a": ', "json")


async def test_the_verifier_checks_in_threads_of_its_own() -> None:
    verifier = Verifier(VerifyLimits(MOST_PIXELS))
    try:
        assert (await verifier.check(found(), io.BytesIO(picture()))).width == 64
    finally:
        verifier.close()


@pytest.mark.parametrize(
    ("promise", "words"),
    [
        ({"duration_s": 2}, None),
        ({"duration_s": 2.9}, None),
        ({"duration_s": 5}, r"promised 5 s, got 2\.0 s"),
        ({"sound": True}, "promised sound, got a video without a sound track"),
        ({"ratio": 4 / 3}, None),
        ({"ratio": 16 / 9}, "promised a shape"),
    ],
)
def test_a_video_has_the_length_the_shape_and_the_sound_that_were_promised(
    promise: dict[str, Any], words: str | None
) -> None:
    if words is None:
        assert verify(found("video", **promise), io.BytesIO(video()), 10**7).duration_s == pytest.approx(2, abs=0.1)
        return
    with pytest.raises(BrokenPieceError, match=words):
        verify(found("video", **promise), io.BytesIO(video()), 10**7)
