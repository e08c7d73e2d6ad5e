"""Refusals of Google, as errors of google-genai."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from google.genai import types

from tests.contract.twin.google_calls import FLASH, PRO, ask, refused

TRY_ON = "virtual-try-on-001"
VERTEX = "/google/v1/projects/p/locations/us-central1/publishers/google/models"
Png = Callable[..., bytes]

# google-genai subclasses aiohttp's session, of which aiohttp warns
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


@pytest.mark.parametrize(
    "model",
    [
        "gemini-2.0-flash",
        "gemini-2.5-flash",
        "gemini-3-pro-preview",
        "gemini-3-pro-image-preview",
        "gemini-none",
        TRY_ON,
    ],
)
def test_a_retired_or_unknown_model_is_not_found(gemini: Any, twin: Any, model: str) -> None:
    error = refused(lambda: ask(gemini, model))

    assert (error.code, error.status) == (404, "NOT_FOUND") and model in error.message and twin.count() == 0


@pytest.mark.parametrize("model", ["imagen-4.0-generate-001", "gemini-2.5-flash"])
def test_a_retired_model_is_not_found_at_vertex(vertex: Any, model: str) -> None:
    error = refused(lambda: ask(vertex, model))

    assert error.code == 404 and f"publishers/google/models/{model}` was not found" in error.message


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"image_config": {"aspect_ratio": "7:5"}}, "Aspect ratio 7:5"),
        ({"image_config": {"aspect_ratio": "1:8"}}, "Aspect ratio 1:8"),
        ({"image_config": {"image_size": "1k"}}, "Image size 1k"),
        ({"image_config": {"image_size": "512"}}, "Image size 512"),
        ({"image_config": {"output_mime_type": "image/webp"}}, "image_config.image_output_options.mime_type"),
        ({"image_config": {"person_generation": "SOME"}}, "image_config.person_generation"),
        ({"candidate_count": 2}, "Multiple candidates"),
        ({"response_modalities": ["AUDIO"]}, "response modalities"),
        ({"response_json_schema": {"type": "object"}}, "application/json"),
    ],
)
def test_a_setting_that_the_model_does_not_have_is_an_invalid_argument(
    vertex: Any, twin: Any, config: dict[str, Any], message: str
) -> None:
    error = refused(lambda: ask(vertex, **config))

    assert (error.code, error.status) == (400, "INVALID_ARGUMENT") and message in error.message and twin.count() == 0


def test_a_language_model_draws_nothing(vertex: Any) -> None:
    assert "Image output" in refused(lambda: ask(vertex, FLASH, response_modalities=["IMAGE"])).message


@pytest.mark.parametrize(
    ("data", "mime_type", "message"),
    [
        (b"\xff\xd8 no picture", "image/jpeg", "Unable to process input image"),
        (b"GIF89a", "image/gif", "Unsupported MIME type: image/gif"),
        (b"\x00" * (7 * 1024 * 1024 + 1), "image/png", "at most 7340032"),
    ],
)
@pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")  # aiohttp's, of the SDK's body
def test_a_bad_picture_is_an_invalid_argument(vertex: Any, data: bytes, mime_type: str, message: str) -> None:
    shown = types.Part.from_bytes(data=data, mime_type=mime_type)

    assert message in refused(lambda: ask(vertex, contents=[shown, "x"])).message


def test_fifteen_pictures_are_too_many(vertex: Any, png: Png) -> None:
    shown = types.Part.from_bytes(data=png("red"), mime_type="image/png")

    assert "at most 14" in refused(lambda: ask(vertex, contents=[*[shown] * 15, "x"])).message
    assert ask(vertex, contents=[*[shown] * 14, "x"]).parts


def test_a_try_on_is_refused_as_a_whole(vertex: Any, twin: Any, png: Png) -> None:
    def wear(**config: Any) -> Any:
        image = types.Image(image_bytes=png("red"), mime_type="image/png")
        source = types.RecontextImageSource(
            person_image=image, product_images=[types.ProductImage(product_image=image)] * config.pop("garments", 1)
        )
        return vertex("models.recontext_image", model=TRY_ON, source=source, config=config)

    assert "watermark" in refused(lambda: wear(seed=1)).message
    assert "sample_count" in refused(lambda: wear(number_of_images=5)).message
    assert "product_images" in refused(lambda: wear(garments=2)).message
    assert twin.count() == 0 and wear().generated_images


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        (f"/{PRO}:generateContent", {"contents": []}, 400, "at least one contents field"),
        (f"/{PRO}:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}, 400, "valid role"),
        (f"/{PRO}:generateContent", {"contents": [], "wat": 1}, 400, 'Unknown name "wat": Cannot find field'),
        (
            f"/{PRO}:generateContent",
            {"generationConfig": {"wat": 1}},
            400,
            "Unknown name \"wat\" at 'generation_config'",
        ),
        (f"/{PRO}:predict", {}, 400, "is not supported by predict"),
        (f"/{TRY_ON}:predict", {"instances": [{}]}, 400, "instances[0].person_image"),
        (f"/{FLASH}:fetchPredictOperation", {"operationName": "x"}, 400, "not supported"),
    ],
)
def test_the_answer_to_a_wrong_body_names_each_field(
    twin: Any, path: str, body: Any, status: int, message: str
) -> None:
    answer = twin.http.post(VERTEX + path, json=body, headers={"Authorization": "Bearer local"})

    assert answer.status_code == status and message in answer.json()["error"]["message"]


def test_a_body_that_is_no_json_is_refused(twin: Any) -> None:
    headers = {"Authorization": "Bearer local"}
    answer = twin.http.post(f"{VERTEX}/{PRO}:generateContent", content=b"{", headers=headers)

    assert answer.status_code == 400 and answer.json()["error"]["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("name", [("inlineData", "mimeType"), ("inline_data", "mime_type")])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_both_spellings_and_both_alphabets_are_read(twin: Any, png: Png, name: Any, encode: Any) -> None:
    data = png((250, 251, 252), (9, 9), "jpeg")
    assert b"/" in base64.b64encode(data)
    blob = {"data": encode(data).decode().rstrip("="), name[1]: "image/jpeg"}
    body = {"contents": [{"role": "user", "parts": [{name[0]: blob}]}]}
    answer = twin.http.post(f"{VERTEX}/{FLASH}:generateContent", json=body, headers={"Authorization": "Bearer local"})

    assert "white, 9x9" in answer.json()["candidates"][0]["content"]["parts"][0]["text"]


def test_what_only_vertex_has_is_refused_by_the_gemini_api(twin: Any) -> None:
    body = {"contents": [{"parts": [{"text": "x"}]}], "labels": {"a": "b"}}
    answer = twin.http.post(f"/google/v1/models/{PRO}:generateContent", json=body, headers={"x-goog-api-key": "k"})

    assert answer.status_code == 400 and "labels" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "headers", "status", "message"),
    [
        (VERTEX, {"Authorization": "Bearer bad"}, 401, "UNAUTHENTICATED"),
        (VERTEX, {"Authorization": ""}, 401, "UNAUTHENTICATED"),
        (VERTEX, {"Authorization": "Bearer locked"}, 403, "PERMISSION_DENIED"),
        ("/google/v1/models", {"Authorization": "", "x-goog-api-key": "bad"}, 400, "API_KEY_INVALID"),
        ("/google/v1/models", {"Authorization": ""}, 403, "PERMISSION_DENIED"),
    ],
)
def test_a_caller_without_access_is_refused(
    twin: Any, path: str, headers: dict[str, str], status: int, message: str
) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}
    answer = twin.http.post(f"{path}/{PRO}:generateContent", json=body, headers=headers)

    assert answer.status_code == status and message in answer.text and twin.count() == 0


def test_a_verb_that_is_not_imitated_is_not_found(gemini: Any) -> None:
    assert refused(lambda: gemini("models.count_tokens", model=FLASH, contents="x")).code == 404
