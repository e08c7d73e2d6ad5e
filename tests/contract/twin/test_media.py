"""Outputs that are not pictures: LoRAs, videos and sounds are real files; texts have the shape of the schema."""

import io
import json
import struct
import wave
from typing import Any

import av
import pytest

from twin.fal.models import Field, Model, load_models

TRAINING = "fal-ai/flux-lora-fast-training"
VIDEO = "fal-ai/kling-video/v2.1/master/image-to-video"
SOMEWHERE = "https://example.com/input"
ALIVE = [model for model in load_models().by_id.values() if not model.is_gone]


def test_training_gives_a_lora_that_parses(twin: Any) -> None:
    output = twin.make(TRAINING, {"images_data_url": SOMEWHERE, "trigger_word": "TOK", "steps": 250})
    data = twin.http.get(output["diffusers_lora_file"]["url"]).content
    assert output["diffusers_lora_file"]["file_size"] == len(data)
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    assert (
        header.pop("__metadata__") | {"trigger_word": "TOK", "steps": "250"}
        == json.loads(data[8 : 8 + length])["__metadata__"]
    )
    assert max(tensor["data_offsets"][1] for tensor in header.values()) == len(data) - 8 - length
    assert all(tensor["dtype"] == "F16" for tensor in header.values())
    config = twin.http.get(output["config_file"]["url"])
    assert config.headers["content-type"] == "application/json" and config.json()["trigger_word"] == "TOK"


def test_training_logs_read_like_tqdm(twin: Any) -> None:
    ticket = twin.submit(TRAINING, {"images_data_url": SOMEWHERE, "trigger_word": "TOK", "steps": 1000})
    assert twin.wait(ticket).headers["x-fal-billable-units"] == "1000"
    lines = [line["message"] for line in twin.status(ticket, logs=True).json()["logs"]]
    assert lines[17] == "steps:  34%|███▍      | 340/1000 [00:00<00:00]"
    assert lines[-1].startswith("steps: 100%|██████████| 1000/1000")


def test_a_trained_lora_can_be_used_at_once(twin: Any) -> None:
    lora = twin.make(TRAINING, {"images_data_url": SOMEWHERE, "trigger_word": "TOK"})["diffusers_lora_file"]["url"]
    body = {"prompt": "TOK mug", "seed": 1, "image_size": "square"}
    with_lora = twin.make("fal-ai/flux-lora", body | {"loras": [{"path": lora, "scale": 0.8}]})
    without = twin.make("fal-ai/flux-lora", body)
    assert twin.http.get(with_lora["images"][0]["url"]).content != twin.http.get(without["images"][0]["url"]).content


def decode(data: bytes) -> tuple[list[Any], float]:
    with av.open(io.BytesIO(data)) as container:
        seconds = (container.duration or 0) / 1_000_000
        assert container.streams.video[0].codec_context.name in ("h264", "mpeg4")
        return [frame.to_image() for frame in container.decode(video=0)], seconds


def test_a_video_decodes_and_moves(twin: Any) -> None:
    ticket = twin.submit(VIDEO, {"image_url": SOMEWHERE, "prompt": "it turns", "duration": "5"})
    result = twin.wait(ticket)
    video = result.json()["video"]
    response = twin.http.get(video["url"])
    frames, seconds = decode(response.content)
    assert response.headers["content-type"] == video["content_type"] == "video/mp4"
    assert video["file_size"] == len(response.content)
    assert seconds == pytest.approx(5, abs=0.2) and frames[0].tobytes() != frames[-1].tobytes()
    assert result.headers["x-fal-billable-units"] == "5"


@pytest.mark.parametrize(("ratio", "size"), [("16:9", (640, 360)), ("9:16", (360, 640)), ("1:1", (640, 640))])
def test_a_video_has_the_ratio_asked_for(twin: Any, ratio: str, size: tuple[int, int]) -> None:
    body = {"prompt": "waves", "aspect_ratio": ratio, "duration": "3"}
    output = twin.make("fal-ai/kling-video/v3/pro/text-to-video", body)
    assert decode(twin.http.get(output["video"]["url"]).content)[0][0].size == size


def test_a_video_starts_from_the_input_picture(twin: Any) -> None:
    picture = twin.make(body={"prompt": "a fox", "image_size": "portrait_16_9"})["images"][0]["url"]
    output = twin.make(VIDEO, {"image_url": picture, "prompt": "it turns"})
    width, height = decode(twin.http.get(output["video"]["url"]).content)[0][0].size
    assert width / height == pytest.approx(576 / 1024, rel=0.02)


def test_speech_is_a_playable_wav(twin: Any) -> None:
    audio = twin.make("fal-ai/elevenlabs/tts/eleven-v3", {"text": "three little words"})["audio"]
    with wave.open(io.BytesIO(twin.http.get(audio["url"]).content)) as file:
        assert file.getnframes() / file.getframerate() == pytest.approx(0.54, abs=0.01)


def test_a_language_model_answers_in_text(twin: Any) -> None:
    output = twin.make("openrouter/router", {"prompt": "what is a kiln?", "model": "openai/gpt-4.1"})
    assert output["output"].endswith("what is a kiln?")


def sample(model: Model, field: Field, name: str) -> Any:
    """Return a value that a field takes."""
    if field.enum:
        return field.enum[0]
    if name == "model":
        return "openai/gpt-4.1"
    plain = {"string": SOMEWHERE if field.is_media else "a fox", "integer": 1, "number": 1.0, "boolean": True}
    if field.type == "array":
        shape = model.shapes.get(field.items or "")
        one = filled(model, shape) if shape is not None else {"number": 512, "string": SOMEWHERE}[str(field.items)]
        return [one, one]
    return plain.get(field.type, {})


def filled(model: Model, shape: Any) -> dict[str, Any]:
    return {name: sample(model, field, name) for name, field in shape.items() if field.is_required}


@pytest.mark.parametrize("category", sorted({model.category for model in ALIVE}))
def test_every_known_endpoint_gives_its_output(twin: Any, category: str) -> None:
    twin.pace(seconds=0.0)
    models = [model for model in ALIVE if model.category == category]
    tickets = [twin.submit(model.endpoint, filled(model, model.input)) for model in models]
    for model, ticket in zip(models, tickets, strict=True):
        response = twin.wait(ticket)
        assert response.status_code == 200, (model.endpoint, response.text)
        required = {name for name, field in model.output.items() if field.is_required}
        assert required <= set(response.json()) <= set(model.output), model.endpoint
