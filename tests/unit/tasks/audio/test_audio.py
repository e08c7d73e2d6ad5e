"""Audio tasks: what each model gets, what is refused, and how transcripts are read."""

import re
from typing import Any

import pytest

from tasks.audio import speak, transcribe
from tasks.audio.transcription import TranscriptCheck
from tests.unit.tasks.sent import refused, sent, step_of
from worker.jobs.answers import AnswerFaults
from worker.jobs.status import VALUES

CALL = "https://example.com/call.mp3"


@pytest.mark.parametrize(
    ("fields", "endpoint", "arguments"),
    [
        (
            {"voice": "Aria", "language": "de", "stability": 0.3},
            "fal-ai/elevenlabs/tts/eleven-v3",
            {"text": "linen", "voice": "Aria", "language_code": "de", "stability": 0.3},
        ),
        (
            {"model": "elevenlabs-turbo", "speed": 1.2, "similarity": 0.9, "style": 0.1},
            "fal-ai/elevenlabs/tts/turbo-v2.5",
            {"text": "linen", "speed": 1.2, "similarity_boost": 0.9, "style": 0.1},
        ),
        (
            {"model": "minimax-speech-2.8-hd", "voice": "Calm_Woman", "speed": 1.1, "emotion": "sad", "language": "pt"},
            "fal-ai/minimax/speech-2.8-hd",
            {
                "prompt": "linen",
                "voice_setting": {"voice_id": "Calm_Woman", "speed": 1.1, "emotion": "sad"},
                "language_boost": "Portuguese",
                "output_format": "url",
            },
        ),
        (
            {"model": "minimax-speech-2.8-turbo"},
            "fal-ai/minimax/speech-2.8-turbo",
            {"prompt": "linen", "output_format": "url"},
        ),
        (
            {"model": "kokoro", "voice": "am_puck", "speed": 0.8},
            "fal-ai/kokoro/american-english",
            {"prompt": "linen", "voice": "am_puck", "speed": 0.8},
        ),
    ],
)
def test_each_voice_gets_its_own_names(fields: dict[str, Any], endpoint: str, arguments: dict[str, Any]) -> None:
    assert sent(speak, text="linen", **fields) == (endpoint, arguments)


@pytest.mark.parametrize(
    ("fields", "endpoint", "arguments"),
    [
        (
            {"speakers": False, "events": False, "terms": ["Kilnhand"], "language": "en"},
            "fal-ai/elevenlabs/speech-to-text/scribe-v2",
            {"diarize": False, "tag_audio_events": False, "keyterms": ["Kilnhand"], "language_code": "en"},
        ),
        ({"model": "wizper", "mode": "translate", "language": "de"}, "fal-ai/wizper", {"task": "translate", "language": "de"}),
        ({"model": "wizper"}, "fal-ai/wizper", {}),
    ],
)  # fmt: skip
def test_each_transcriber_gets_its_own_names(fields: dict[str, Any], endpoint: str, arguments: dict[str, Any]) -> None:
    assert sent(transcribe, audio=CALL, **fields) == (endpoint, {"audio_url": CALL, **arguments})
    assert step_of(transcribe, audio=CALL, **fields).files == {"audio": "audio"}


@pytest.mark.parametrize(
    ("task", "fields", "words"),
    [
        (speak, {"text": " "}, "text: string should have at least 1 character"),
        (speak, {"model": "elevenlabs-turbo", "speed": 1.5}, r"speed: is 1\.5; allowed: 0\.7 to 1\.2"),
        (speak, {"speed": 1.1}, "speed: is not a parameter of elevenlabs-v3; these models have it: "),
        (speak, {"model": "kokoro", "voice": "Rachel"}, "voice: is 'Rachel'; allowed: af_heart, "),
        (speak, {"model": "minimax-speech-2.8-hd", "emotion": "bored"}, "emotion: is 'bored'; allowed: happy, sad"),
        (speak, {"model": "minimax-speech-2.8-hd", "language": "xx"}, "language: is 'xx'; allowed: "),
        (speak, {"model": "scribe-v2"}, "model: scribe-v2 serves audio.transcribe; models of this task: elevenlabs-v3"),
        (
            speak,
            {"model": "minimax-speech-2.8-hd", "extra": {"voice_setting": {"vol": 2}}},
            r"extra\.voice_setting: has a parameter of its own",
        ),
        (transcribe, {"mode": "translate"}, "mode: is not a parameter of scribe-v2; these models have it: wizper"),
        (transcribe, {"model": "wizper", "language": "xx"}, "language: is 'xx'; allowed: af, am"),
        (transcribe, {"model": "wizper", "terms": ["a"]}, "terms: is not a parameter of wizper"),
    ],
)
def test_what_cannot_be_done_is_refused_by_field(task: Any, fields: dict[str, Any], words: str) -> None:
    message = refused(task, **{**({"text": "linen"} if task is speak else {"audio": CALL}), **fields})

    assert re.search(words, message), message


def values(output: dict[str, Any]) -> dict[str, Any]:
    answer = TranscriptCheck().check({}, output, {})
    assert not isinstance(answer, AnswerFaults)
    found: dict[str, Any] = answer[VALUES]
    return found


def test_chunks_are_segments() -> None:
    output = {
        "text": " Linen. ",
        "chunks": [{"timestamp": [0, 1.5], "text": " Linen. "}, {"timestamp": [1.5, None], "text": "End"}],
        "languages": ["en"],
    }

    assert values(output) == {
        "text": "Linen.",
        "language": "en",
        "segments": [
            {"text": "Linen.", "start_s": 0.0, "end_s": 1.5, "speaker": None},
            {"text": "End", "start_s": 1.5, "end_s": None, "speaker": None},
        ],
    }


def test_words_of_one_speaker_without_a_pause_are_a_segment() -> None:
    def word(text: str, start: float, end: float, speaker: str = "a") -> dict[str, Any]:
        return {"text": text, "start": start, "end": end, "speaker_id": speaker, "type": "word"}

    words = [word("It", 0, 0.2), word(" is", 0.3, 0.5), word("No", 0.6, 0.9, "b"), word("So", 3, 3.2, "b")]

    assert values({"text": "It is No So", "words": words, "language_code": "eng"})["segments"] == [
        {"text": "It is", "start_s": 0.0, "end_s": 0.5, "speaker": "a"},
        {"text": "No", "start_s": 0.6, "end_s": 0.9, "speaker": "b"},
        {"text": "So", "start_s": 3.0, "end_s": 3.2, "speaker": "b"},
    ]


def test_silence_is_an_empty_text() -> None:
    assert values({"text": "", "chunks": []}) == {"text": "", "segments": [], "language": None}


def test_odd_parts_of_an_answer_do_no_harm() -> None:
    output = {"text": "a", "chunks": ["x", {"text": 3, "timestamp": "0"}], "languages": [{}], "words": None}

    assert values(output)["segments"] == [{"text": "", "start_s": None, "end_s": None, "speaker": None}]


@pytest.mark.parametrize("output", [{}, {"text": None}, {"text": "a" * 1_000_001}])
def test_an_answer_without_a_text_is_not_handed_on(output: dict[str, Any]) -> None:
    assert isinstance(TranscriptCheck().check({}, output, {}), AnswerFaults)
