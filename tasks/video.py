"""Videos: from a text, from pictures, and longer ones from videos."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from config.catalogue import Model
from worker.edge.task import job_task
from worker.jobs.file_refs import Image, Images
from worker.jobs.file_refs import Video as VideoFile
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import ModelName, NegativePrompt, Prompt, Seed
from worker.jobs.request import BaseRequest
from worker.jobs.status import FileOut, JobResult

MOST_MEGAPIXELS = 36  # of one frame: 8K
MOST_REFERENCES = 9

Ratio = Annotated[str, StringConstraints(pattern=r"^(auto|\d{1,2}:\d{1,2})$")]
Resolution = Literal["480p", "720p", "768p", "1080p", "1440p", "4k"]


class _Clip(BaseRequest):
    """What all videos have in common. Each model offers some of it; `kilnhand models` shows which.

    `sound`: with or without it. `fps`: pictures a second.
    """

    prompt: Prompt
    negative_prompt: NegativePrompt | None = None
    duration_s: int | None = Field(None, ge=1, le=60)
    aspect_ratio: Ratio | None = None
    resolution: Resolution | None = None
    fps: int | None = Field(None, ge=1, le=120)
    sound: bool | None = None
    seed: Seed | None = None


class TextToVideo(_Clip):
    """A video from a prompt."""

    model: ModelName = "veo-3.1-fast"


class ImageToVideo(_Clip):
    """A video that begins with a picture, and ends with `end_image` if there is one.

    `motion`: how much moves, for models without a prompt; 127 is usual.
    """

    model: ModelName = "veo-3.1-fast"
    image: Image
    end_image: Image | None = None
    prompt: Prompt | None = None  # type: ignore[assignment]  # one model has none; the others say that they need it
    motion: int | None = Field(None, ge=1, le=255)

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url"}


class ReferenceToVideo(_Clip):
    """A video of the people and things that pictures show; it begins with none of them."""

    model: ModelName = "veo-3.1"
    images: Images = Field(min_length=1, max_length=MOST_REFERENCES)

    follows: ClassVar[Mapping[str, str]] = {"images": "images"}


class Extend(_Clip):
    """A video that goes on. `duration_s`: how much is added."""

    model: ModelName = "veo-3.1"
    video: VideoFile

    follows: ClassVar[Mapping[str, str]] = {"video": "video.url"}


class Video(JobResult):
    """The result of a video job."""

    video: FileOut


@job_task("video.text_to_video", queue="video", asks=TextToVideo, gives=Video)
def text_to_video(request: TextToVideo, model: Model) -> Step:
    """Make a short video from a prompt."""
    return _step(request, model)


@job_task("video.image_to_video", queue="video", asks=ImageToVideo, gives=Video)
def image_to_video(request: ImageToVideo, model: Model) -> Step:
    """Make a short video from a picture and a prompt."""
    return _step(request, model)


@job_task("video.reference_to_video", queue="video", asks=ReferenceToVideo, gives=Video)
def reference_to_video(request: ReferenceToVideo, model: Model) -> Step:
    """Make a short video from a prompt and pictures of what it shows."""
    return _step(request, model)


@job_task("video.extend", queue="video", asks=Extend, gives=Video)
def extend(request: Extend, model: Model) -> Step:
    """Make a video go on."""
    return _step(request, model, is_whole=False)


def _step(request: _Clip, model: Model, *, is_whole: bool = True) -> Step:
    """`is_whole`: the video has the length that was asked for; an extension has that of the first video, too."""
    arguments = request.as_arguments()
    video = Piece("video", "video", "video", most_megapixels=MOST_MEGAPIXELS)
    if not model.passthrough:
        length_s = request.duration_s if is_whole else None
        sound, ratio = request.sound is True, ratio_of(request.aspect_ratio)
        video = replace(video, duration_s=length_s, sound=sound, ratio=ratio)
    return Step(model.name, arguments, (video,), request.extra)


def ratio_of(aspect_ratio: str | None) -> float | None:
    """Width / height; None if the model chooses."""
    width, _, height = (aspect_ratio or "").partition(":")
    return int(width) / int(height) if height and int(width) and int(height) else None
