"""Speech as text, with the times at which it was said."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from config.catalogue import Model
from worker.edge.task import job_task
from worker.jobs.answers import AnswerFaults
from worker.jobs.file_refs import Audio
from worker.jobs.job import Step
from worker.jobs.picture_fields import ModelName
from worker.jobs.request import BaseRequest
from worker.jobs.status import VALUES, JobResult

MOST_CHARACTERS = 1_000_000  # hours of speech
MOST_SEGMENTS = 20_000
PAUSE_S = 1.0  # a longer one begins a new segment, where the model only times words

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
Term = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]


class Transcribe(BaseRequest):
    """What is said in a sound. `language` is that of the sound, by its code, such as "en"; wizper assumes English.

    `mode`: "translate" gives English. `speakers`: who says what. `events`: laughter and other sounds are in the text.
    `terms`: words to expect, such as names.
    """

    model: ModelName = "scribe-v2"
    audio: Audio
    language: Language | None = None
    mode: Literal["transcribe", "translate"] | None = None
    speakers: bool | None = None
    events: bool | None = None
    terms: list[Term] = Field([], max_length=100)

    follows: ClassVar[Mapping[str, str]] = {"audio": "audio"}


class Segment(BaseModel):
    """A part of the text. Times are seconds from the beginning; null if the model does not say them."""

    model_config = ConfigDict(frozen=True)

    text: str
    start_s: float | None = None
    end_s: float | None = None
    speaker: str | None = None


class Transcribed(JobResult):
    """The result of a transcription. `text` is empty if nothing is said. `language`: what the model heard."""

    text: str
    segments: list[Segment]
    language: str | None = None


class TranscriptCheck:
    """Reads the answers of wizper (`chunks`) and of Scribe (`words`). See `worker.jobs.answers.AnswerCheck`."""

    def check(
        self, request: Mapping[str, Any], output: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> dict[str, Any] | AnswerFaults:
        """The text and its segments."""
        text, languages = output.get("text"), output.get("languages")
        if not isinstance(text, str):
            return AnswerFaults(("the answer has no text",))
        if len(text) > MOST_CHARACTERS:
            return AnswerFaults((f"the text has {len(text)} characters; allowed: {MOST_CHARACTERS}",))
        language = output.get("language_code") or (languages[0] if isinstance(languages, list) and languages else None)
        segments = [*_chunks(_list(output, "chunks")), *_spoken_on(_list(output, "words"))][:MOST_SEGMENTS]
        values = {"text": text.strip(), "segments": [segment.model_dump() for segment in segments]}
        return {VALUES: {**values, "language": language if isinstance(language, str) else None}}

    def repair(self, arguments: Mapping[str, Any], faults: AnswerFaults) -> dict[str, Any]:
        """The same call again."""
        return dict(arguments)


@job_task("audio.transcribe", queue="audio", asks=Transcribe, gives=Transcribed, check=TranscriptCheck())
def transcribe(request: Transcribe, model: Model) -> Step:
    """Write down what is said."""
    arguments = request.as_arguments()
    return Step(model.name, {name: value for name, value in arguments.items() if value != []}, (), request.extra)


def _chunks(chunks: Sequence[Mapping[str, Any]]) -> Iterator[Segment]:
    for chunk in chunks:
        times = chunk.get("timestamp")
        start, end = times if isinstance(times, list) and len(times) == 2 else (None, None)
        yield Segment(text=_text(chunk).strip(), start_s=_seconds(start), end_s=_seconds(end))


def _spoken_on(words: Sequence[Mapping[str, Any]]) -> Iterator[Segment]:
    """Words of one speaker without a longer pause, together."""
    segment: Segment | None = None
    for word in words:
        start_s, end_s, speaker = _seconds(word.get("start")), _seconds(word.get("end")), word.get("speaker_id")
        speaker = speaker if isinstance(speaker, str) else None
        if segment is not None and _goes_on(segment, start_s, speaker):
            segment = segment.model_copy(
                update={"text": segment.text + _text(word), "end_s": segment.end_s if end_s is None else end_s}
            )
            continue
        if segment is not None:
            yield segment.model_copy(update={"text": segment.text.strip()})
        segment = Segment(text=_text(word), start_s=start_s, end_s=end_s, speaker=speaker)
    if segment is not None:
        yield segment.model_copy(update={"text": segment.text.strip()})


def _goes_on(segment: Segment, start_s: float | None, speaker: str | None) -> bool:
    pause_s = 0.0 if start_s is None or segment.end_s is None else start_s - segment.end_s
    return speaker == segment.speaker and pause_s <= PAUSE_S


def _list(output: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = output.get(name)
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def _text(part: Mapping[str, Any]) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else ""


def _seconds(value: Any) -> float | None:
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6
    return round(float(value), 3) if is_time else None
