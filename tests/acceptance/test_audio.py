"""Audio tasks through a real worker and the twin: whole sounds with a duration, and texts with times."""

from typing import Any

import httpx
import pytest
from celery import chain

from tasks.audio import speak, transcribe
from tests.acceptance.conftest import Twin
from worker.cli.processes.stack import Stack


@pytest.mark.parametrize("model", ["elevenlabs-v3", "elevenlabs-turbo-v2.5", "minimax-speech-2.8-turbo", "kokoro"])
def test_a_text_is_spoken(stack: Stack, model: str) -> None:
    result: dict[str, Any] = speak.delay(text="The coat is made of linen.", model=model).get(timeout=60)

    audio = result["audio"]
    assert audio["content_type"].startswith("audio/") and audio["duration_s"] > 0.5
    assert len(httpx.get(audio["url"]).raise_for_status().content) == audio["bytes"]


@pytest.mark.parametrize("model", ["scribe-v2", "wizper"])
def test_what_was_spoken_is_written_down(stack: Stack, twin: Twin, model: str) -> None:
    spoken = speak.s(text="The coat is made of linen.")

    written = chain(spoken, transcribe.s(model=model)).apply_async().get(timeout=60)

    assert written["text"] and written["segments"] and written["language"] == "en"
    sent = [request["input"] for request in twin.requests() if "audio_url" in request["input"]]
    assert sent[0]["audio_url"].startswith("http")


def test_another_model_takes_over_and_says_so(stack: Stack, twin: Twin) -> None:
    twin.script(endpoint="fal-ai/elevenlabs/speech-to-text/scribe-v2", what="error", status=500, times=-1)

    result = chain(speak.s(text="linen"), transcribe.s()).apply_async().get(timeout=60)

    assert (result["provenance"]["model"], result["provenance"]["equivalence"]) == ("fal-ai/wizper", "close")
