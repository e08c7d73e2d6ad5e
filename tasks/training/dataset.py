"""The data set of a training: pictures are checked, brought to a size that trainings use, and packed. Free.

The worker does it itself, as the first steps of `training.lora`. There is no fallback: no provider does the same.
"""

from typing import Annotated, Any

from pydantic import Field, model_validator

from config.catalogue import Model
from tasks.training.results import PackedDataSet, PreparedImages
from worker.edge.task import job_task
from worker.jobs.file_refs import Archive, Images
from worker.jobs.job import Piece, Step
from worker.jobs.picture_fields import ModelName
from worker.jobs.request import BaseRequest

MOST_PICTURES = 60  # a result has at most 64 files in one list, and the files of a call 100 MB together
MOST_PREPARED = 20  # pictures of one call
AT_A_TIME = 8  # of one step of a training: photos of 12 MB, and the files of a call have 100 MB together


class PrepareImages(BaseRequest):
    """Up to 20 pictures. Each becomes an upright JPEG or PNG of at most 4 megapixels and 1.6 MB."""

    model: ModelName = "prepare-pictures"
    images: Annotated[Images, Field(min_length=1, max_length=MOST_PREPARED)]


class UnpackDataSet(BaseRequest):
    """A zip of up to 60 pictures, each with its caption in a .txt file of the same name, or without one."""

    model: ModelName = "unpack-archive"
    archive: Archive


class PackDataSet(BaseRequest):
    """Pictures, and a caption for each or none at all. An empty caption is left out."""

    model: ModelName = "pack-archive"
    images: Annotated[Images, Field(min_length=1, max_length=MOST_PICTURES)]
    captions: list[Annotated[str, Field(max_length=20_000)]] = Field([], max_length=MOST_PICTURES)

    @model_validator(mode="after")
    def _each_has_a_caption(self) -> "PackDataSet":
        if self.captions and len(self.captions) != len(self.images):
            raise ValueError(f"captions: needed: {len(self.images)}, one for each image; given: {len(self.captions)}")
        return self


@job_task("training.prepare", queue="training", asks=PrepareImages, gives=PreparedImages)
def prepare(request: PrepareImages, model: Model) -> Step:
    """Check pictures, and bring them to a size that trainings use."""
    pictures = Piece("images", "image", "images.*", count=len(request.images))
    return Step(model.name, {"images": request.images}, (pictures,), request.extra)


@job_task("training.unpack", queue="training", asks=UnpackDataSet, gives=PreparedImages)
def unpack(request: UnpackDataSet, model: Model) -> Step:
    """The same for the pictures of a zip; captions come with them."""
    pictures = Piece("images", "image", "images.*", count=MOST_PICTURES, fewest=1)
    return Step(model.name, {"archive": request.archive}, (pictures,), request.extra)


@job_task("training.pack", queue="training", asks=PackDataSet, gives=PackedDataSet)
def pack(request: PackDataSet, model: Model) -> Step:
    """Pack pictures and captions into a zip."""
    arguments: dict[str, Any] = {"images": request.images}
    if request.captions:
        arguments["captions"] = request.captions
    return Step(model.name, arguments, (Piece("archive", "file", "archive"),), request.extra)
