"""A text as speech."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from config.catalogue import Model
from worker.edge.task import job_task
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import ModelName
from worker.jobs.request import BaseRequest
from worker.jobs.status import FileOut, JobResult

Text = Annotated[str, StringConstraints(min_length=1, max_length=40_000, strip_whitespace=True)]
Voice = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Speak(BaseRequest):
    """A text, spoken. `voice` by the model's own name; `language` by its code, such as "en".

    `stability`, `similarity` and `style` are for ElevenLabs, `emotion` for MiniMax.
    """

    model: ModelName = "elevenlabs-v3"
    text: Text
    voice: Voice | None = None
    language: Language | None = None
    speed: float | None = Field(None, gt=0, le=4)
    stability: Share | None = None
    similarity: Share | None = None
    style: Share | None = None
    emotion: Annotated[str, StringConstraints(max_length=50)] | None = None

    follows: ClassVar[Mapping[str, str]] = {
        "text": "text"
    }  # in a chain, what a language model or a transcription wrote


class Spoken(JobResult):
    """The result of speaking."""

    audio: FileOut


@job_task("audio.speak", queue="audio", asks=Speak, gives=Spoken)
def speak(request: Speak, model: Model) -> Step:
    """Speak a text."""
    arguments = request.as_arguments()
    return Step(model.name, arguments, (Piece("audio", "audio", "audio"),), request.extra)
