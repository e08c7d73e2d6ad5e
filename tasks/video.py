"""Videos."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from config.catalogue import Model
from worker.edge.task import job_task
from worker.jobs.file_refs import Image
from worker.jobs.job import Piece, Step
from worker.jobs.request import BaseRequest
from worker.jobs.status import FileOut, JobResult

MOST_MEGAPIXELS = 36  # of one frame: 8K


class ImageToVideo(BaseRequest):
    """A video that begins with a picture. `duration_s` and `aspect_ratio`: what the model offers."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)] = "veo-3.1-fast"
    image: Image
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True)]
    duration_s: int | None = Field(None, ge=1, le=60)
    aspect_ratio: Annotated[str, StringConstraints(pattern=r"^(auto|\d{1,2}:\d{1,2})$")] | None = None

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url"}


class Video(JobResult):
    """The result of a video job."""

    video: FileOut


@job_task("video.image_to_video", queue="video", asks=ImageToVideo, gives=Video)
def image_to_video(request: ImageToVideo, model: Model) -> Step:
    """Make a short video from a picture and a prompt."""
    arguments = request.model_dump(mode="json", exclude_none=True, exclude={"model", "extra"})
    video = Piece("video", "video", "video", most_megapixels=MOST_MEGAPIXELS)
    return Step(model.name, arguments, (video,), request.extra)
