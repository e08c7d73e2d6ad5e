"""Any LLM through fal's router, by a real worker: text, pictures, JSON of the caller's schema, and an unknown LLM."""

import base64
import json

import pytest
from celery import chain

from tasks.audio import speak, transcribe
from tasks.language.completion import complete
from tests.acceptance.conftest import Twin
from tests.unit.files.files import picture
from worker.cli.processes.stack import Stack
from worker.errors import RequestRefusedError

PICTURES = [
    f"data:image/png;base64,{base64.b64encode(picture('PNG', colour=colour)).decode()}" for colour in ("red", "blue")
]
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}, "pieces": {"type": "array", "items": {"type": "string"}}},
    "required": ["colour", "pieces"],
}


def test_a_bad_answer_is_mended(stack: Stack, twin: Twin) -> None:
    twin.script(provider="fal", what="bad_schema")
    result = complete.delay(prompt="What is worn?", images=PICTURES, json_schema=SCHEMA, model="openai/gpt-4.1").get(
        timeout=60
    )

    first, second = sorted((request["input"] for request in twin.requests()), key=lambda asked: len(asked["prompt"]))
    assert first["model"] == "openai/gpt-4.1" and len(first["image_urls"]) == 2
    assert "It cannot be used" in second["prompt"] and "It cannot be used" not in first["prompt"]
    assert result["data"]["colour"] == "red" and json.loads(result["text"]) == result["data"]
    origin = result["provenance"]
    assert [each["error"] for each in origin["tried"]] == ["broken_piece", None]
    assert (origin["asked_for"], origin["model"]) == ("openai/gpt-4.1", "openrouter/router/vision")
    assert (result["llm"], result["total_cost"]["certainty"]) == ("openai/gpt-4.1", "unknown")


def test_an_llm_that_openrouter_does_not_have_is_refused(stack: Stack, twin: Twin) -> None:
    with pytest.raises(RequestRefusedError, match="nobody/gpt is not a valid model ID"):
        complete.delay(prompt="Hello?", model="nobody/gpt").get(timeout=60)


def test_what_was_said_is_a_prompt_and_an_answer_is_spoken(stack: Stack, twin: Twin) -> None:
    said = chain(speak.s(text="linen"), transcribe.s(), complete.s(model="openrouter", llm="openai/gpt-4.1"), speak.s())
    assert said.apply_async().get(timeout=60)["audio"]["duration_s"] > 0.5
