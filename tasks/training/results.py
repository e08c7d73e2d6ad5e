"""The results of training tasks."""

from pydantic import BaseModel, ConfigDict, Field

from worker.jobs.picture_fields import Role
from worker.jobs.status import FileOut, JobResult


class CaptionedImage(BaseModel):
    """A picture of a data set: its name as the caller knows it, and its caption."""

    model_config = ConfigDict(frozen=True)

    name: str
    caption: str


class Weights(JobResult):
    """The result of a training. Key or URL of the weights can be given to the next generation as `lora_url`.

    `dataset` and `captions` are there if the worker packed the pictures: the zip that was trained on, and what it says
    of each picture.
    """

    weights: FileOut
    config: FileOut
    role: Role | None = None
    trigger_word: str | None = None
    dataset: FileOut | None = None
    captions: list[CaptionedImage] = Field(default_factory=list)


class PreparedImage(BaseModel):
    """A picture as it goes into a data set. `sha256` is the hash of its pixels."""

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str
    caption: str | None = None


class PreparedImages(JobResult):
    """Pictures that a training can use, and what is known of each, in the same order.

    `ignored` are the first 20 of the files of an archive that are neither a picture nor a caption, `ignored_count` is
    the number of all of them.
    """

    images: list[FileOut]
    pictures: list[PreparedImage]
    ignored: list[str] = Field(default_factory=list)
    ignored_count: int = 0


class PackedDataSet(JobResult):
    """A zip of pictures and captions."""

    archive: FileOut
