"""Google's generateContent and predict through google-genai: successful calls."""

import io
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from google.genai import types
from PIL import Image
from pydantic import BaseModel, Field

PRO = "gemini-3-pro-image"
FLASH = "gemini-3.8-flash"
TRY_ON = "virtual-try-on-001"
Png = Callable[..., bytes]

# google-genai subclasses aiohttp's session, of which aiohttp warns
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


class Caption(BaseModel):
    caption: str
    colours: list[str]
    score: float = Field(ge=0, le=1)
    kind: str | None = None


def part(data: bytes) -> types.Part:
    return types.Part.from_bytes(data=data, mime_type="image/png")


def draw(sdk: Any, *contents: Any, model: str = PRO, **config: Any) -> Any:
    wanted = {"response_modalities": ["IMAGE"], "seed": 7} | config
    return sdk("models.generate_content", model=model, contents=[*contents], config=wanted)


def picture_of(response: Any) -> bytes:
    parts = [part for part in response.candidates[0].content.parts if part.inline_data and not part.thought]
    return bytes(parts[-1].inline_data.data)


def format_and_size(data: bytes) -> tuple[str | None, tuple[int, int]]:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.format, image.size


@pytest.mark.parametrize(
    ("ratio", "size", "pixels"),
    [("3:4", "1K", (896, 1200)), ("16:9", "2K", (2752, 1536)), ("21:9", "1K", (1584, 672)), (None, None, (1024, 1024))],
)
def test_a_picture_has_the_pixels_of_its_ratio_and_size(vertex: Any, ratio: Any, size: Any, pixels: Any) -> None:
    response = draw(vertex, "a fox", image_config={"aspect_ratio": ratio, "image_size": size})

    assert format_and_size(picture_of(response)) == ("PNG", pixels)
    assert response.candidates[0].finish_reason == "STOP" and response.model_version == PRO
    assert response.usage_metadata.candidates_token_count == 1120
    assert response.usage_metadata.traffic_type == "ON_DEMAND"


def test_modalities_may_be_written_as_in_googles_examples(vertex: Any) -> None:
    assert [bool(part.text) for part in draw(vertex, "a fox", response_modalities=["Text", "Image"]).parts] == [
        True,
        False,
    ]


def test_the_same_seed_gives_the_same_picture_and_another_another(vertex: Any) -> None:
    first, again, other = (picture_of(draw(vertex, "a fox", seed=seed)) for seed in (7, 7, 8))

    assert first == again != other


def test_a_picture_comes_as_jpeg_where_that_is_asked(vertex: Any) -> None:
    response = draw(vertex, "a fox", image_config={"output_mime_type": "image/jpeg"})

    assert format_and_size(picture_of(response))[0] == "JPEG"
    assert response.parts[-1].inline_data.mime_type == "image/jpeg"


def test_an_edit_shows_its_inputs_and_takes_the_ratio_of_the_first(vertex: Any, png: Png) -> None:
    red, blue = part(png("red", (120, 160))), part(png("blue"))
    response = draw(vertex, red, blue, "swap", response_modalities=["TEXT", "IMAGE"])
    edited = picture_of(response)

    assert format_and_size(edited)[1] == (896, 1200)
    with Image.open(io.BytesIO(edited)) as image:
        left, right = image.getpixel((20, 100)), image.getpixel((870, 100))
    assert left[0] > 150 > left[2] and right[2] > 130 > right[0]
    assert "Picture 1: red, 120x160" in response.text and "Picture 2: blue, 64x48" in response.text
    assert picture_of(draw(vertex, blue, red, "swap")) != edited


def test_thoughts_are_shown_only_where_they_are_asked_for(vertex: Any) -> None:
    silent = draw(vertex, "a fox").candidates[0].content.parts
    spoken = draw(vertex, "a fox", thinking_config={"include_thoughts": True}).candidates[0].content.parts

    assert [(bool(part.thought), bool(part.thought_signature)) for part in silent] == [(False, True)]
    assert [bool(part.thought) for part in spoken] == [True, True, False]
    assert spoken[-1].inline_data.data == silent[0].inline_data.data != spoken[1].inline_data.data


def test_words_name_what_was_shown(vertex: Any, png: Png) -> None:
    shown = [part(png("orange", (30, 20))), part(png("green"))]
    response = vertex("models.generate_content", model=FLASH, contents=[*shown, "caption"])

    assert response.text.startswith("Picture 1: orange, 30x20") and "Picture 2: green, 64x48" in response.text
    assert response.usage_metadata.thoughts_token_count > 0


def test_a_bucket_and_a_foreign_host_are_taken_unread(vertex: Any) -> None:
    uris = ("gs://bucket/a.png", "https://example.com/b.png")
    shown = [types.Part.from_uri(file_uri=uri, mime_type="image/png") for uri in uris]
    response = vertex("models.generate_content", model=FLASH, contents=[*shown, "caption"])

    assert all(uri in response.text for uri in uris)


def test_our_own_files_are_read(vertex: Any, twin: Any, png: Png) -> None:
    url = twin.upload(png("purple"))
    shown = types.Part.from_uri(file_uri=url, mime_type="image/png")

    assert "purple, 64x48" in vertex("models.generate_content", model=FLASH, contents=[shown, "caption"]).text


def test_json_of_a_class_and_of_a_schema(vertex: Any, gemini: Any, png: Png) -> None:
    as_json = {"response_mime_type": "application/json"}
    for sdk, schema in ((vertex, {"response_schema": Caption}), (gemini, {"response_schema": Caption})):
        contents = [part(png("red")), part(png("blue")), "caption"]
        parsed = sdk("models.generate_content", model=FLASH, contents=contents, config=as_json | schema).parsed
        assert isinstance(parsed, Caption) and parsed.colours == ["red", "blue"] and "64x48" in parsed.caption
    plain = Caption.model_json_schema()
    contents = [part(png("red")), "caption"]
    config = as_json | {"response_json_schema": plain}
    parsed = vertex("models.generate_content", model=FLASH, contents=contents, config=config).parsed
    jsonschema.validate(parsed, plain)


def test_thoughts_count_against_the_limit(vertex: Any) -> None:
    response = vertex("models.generate_content", model=FLASH, contents="x", config={"max_output_tokens": 100})

    assert response.candidates[0].finish_reason == "MAX_TOKENS" and response.text is None


def test_the_gemini_api_answers_the_same(gemini: Any) -> None:
    response = draw(gemini, "a fox", image_config={"aspect_ratio": "1:1"})

    assert (
        format_and_size(picture_of(response)) == ("PNG", (1024, 1024)) and response.usage_metadata.traffic_type is None
    )


@pytest.mark.parametrize(("name", "served"), [("gemini-3.7-flash", FLASH), ("gemini-flash-latest", FLASH)])
def test_the_answer_says_which_model_it_was(gemini: Any, name: str, served: str) -> None:
    assert gemini("models.generate_content", model=name, contents="x").model_version == served


def try_on(sdk: Any, person: bytes, garment: bytes, **config: Any) -> Any:
    def image(data: bytes) -> types.Image:
        return types.Image(image_bytes=data, mime_type="image/png")

    source = types.RecontextImageSource(
        person_image=image(person), product_images=[types.ProductImage(product_image=image(garment))]
    )
    usual = {"seed": 2, "add_watermark": False, "base_steps": 32, "safety_filter_level": "BLOCK_ONLY_HIGH"}
    return sdk("models.recontext_image", model=TRY_ON, source=source, config=usual | config)


def test_a_try_on_is_as_large_as_the_person(vertex: Any, twin: Any, png: Png) -> None:
    person, garment = png("green", (300, 400)), png("pink")
    response = try_on(vertex, person, garment, number_of_images=2, output_mime_type="image/jpeg")
    pictures = [generated.image.image_bytes for generated in response.generated_images]

    assert [format_and_size(data) for data in pictures] == [("JPEG", (300, 400))] * 2 and pictures[0] != pictures[1]
    again = try_on(vertex, person, garment, output_mime_type="image/jpeg").generated_images
    assert again[0].image.image_bytes == pictures[0]
    assert [record["billed"] for record in twin.requests()] == [{"units": 2, "usd": 0.12}, {"units": 1, "usd": 0.06}]


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3000, 20)])
def test_odd_sizes_are_drawn(vertex: Any, png: Png, size: tuple[int, int]) -> None:
    response = try_on(vertex, png("green", size), png("pink", (1, 1)))

    assert format_and_size(response.generated_images[0].image.image_bytes) == ("PNG", size)
    assert draw(vertex, part(png("red", size)), part(png("blue", (5, 900))), "x").parts


def test_a_record_tells_what_was_billed_and_shows_the_picture(vertex: Any, twin: Any) -> None:
    response = draw(vertex, "a fox", image_config={"image_size": "4K"}, labels={"job": "x"})
    (record,) = twin.requests()

    assert (record["provider"], record["endpoint"], record["state"]) == ("google", PRO, "COMPLETED")
    assert record["request_id"] == response.response_id and record["input"]["labels"] == {"job": "x"}
    assert record["billed"]["units"] == 1 and 0.24 < record["billed"]["usd"] < 0.25
    assert record["headers"]["x-server-timeout"] == "60"
    url = record["output"]["candidates"][0]["content"]["parts"][0]["inlineData"]["url"]
    assert twin.http.get(url).content == picture_of(response)
    assert url in twin.http.get("/_twin/").text


def test_a_short_record_of_a_long_input(vertex: Any, twin: Any) -> None:
    draw(vertex, "fox " * 2_000)
    (record,) = twin.requests()

    assert len(record["input"]["contents"][0]["parts"][0]["text"]) < 2_100


def test_providers_are_counted_apart(vertex: Any, twin: Any) -> None:
    draw(vertex, "a fox")
    twin.submit()
    counts = [
        twin.http.get(f"/_twin/requests?count=1&provider={name}").json()["count"] for name in ("google", "fal", "*")
    ]

    assert counts == [1, 1, 2] and twin.http.get("/_twin/requests?provider=x").status_code == 422
    assert [record["provider"] for record in twin.requests()] == ["google", "fal"]
    of_model = twin.http.get(f"/_twin/requests?endpoint={PRO}").json()
    assert of_model["count"] == 1 and len(of_model["requests"]) == 1
