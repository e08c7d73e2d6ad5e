"""The request of a training. A list of pictures, or captions, make it a task of steps: see `tasks.training.lora`."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from tasks.training.captions import given_captions, name_of
from tasks.training.dataset import MOST_PICTURES
from worker.jobs.file_refs import Archive, Images, NamedBy
from worker.jobs.picture_fields import ModelName, Role
from worker.jobs.request import BaseRequest, TaskRequest

TriggerWord = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
Caption = Annotated[str, StringConstraints(min_length=1, max_length=5_000, strip_whitespace=True)]
Captions = Literal["auto"] | list[Caption] | dict[str, Caption]
TrainingImages = Annotated[Images, Field(min_length=1, max_length=MOST_PICTURES), NamedBy("captions")]
FIELDS = frozenset(
    {"images_data_url", "trigger_word", "steps", "is_style", "create_masks", "learning_rate", "training_type"}
)  # what a trainer gets


def _check_data_set(archive: str | None, images: list[str] | None, captions: Any) -> None:
    """Raise `ValueError` unless there is one data set, and the captions fit it as far as that is known."""
    if (archive is None) == (images is None):
        raise ValueError("give either images (a list) or images_data_url (a zip)")
    if images is None:
        if isinstance(captions, list):
            raise ValueError("captions: a list is for images; give texts by the names in the zip, as {name: text}")
        return
    first: dict[str, int] = {}
    for n, ref in enumerate(images):
        if first.setdefault(ref, n) != n:
            raise ValueError(f"images.{n}: is the same file as images.{first[ref]}")
    if not isinstance(captions, str):
        given_captions(captions, [name_of(ref, n) for n, ref in enumerate(images)])


class TrainingRequest(TaskRequest):
    """The data set and the parameters of a training.

    The pictures are a list, or a zip. A zip alone goes to the trainer as it is, whatever is in it. With `prepare` or
    `captions` it is checked, as a list is, and packed again. `captions` are texts in the order of the pictures, texts
    by the name or the number of a picture (from 0), or "auto": then `language.caption` writes those that are missing.
    """

    images_data_url: Archive | None = None
    images: TrainingImages | None = None
    captions: Captions | None = None
    prepare: bool = False
    role: Role | None = None
    trigger_word: TriggerWord | None = None
    steps: int | None = Field(None, ge=1, le=10_000)
    is_style: bool | None = None
    create_masks: bool | None = None
    learning_rate: float | None = Field(None, gt=0, le=0.01)
    training_type: Literal["content", "style", "balanced"] | None = None

    @field_validator("captions", mode="before")
    @classmethod
    def _numbers_are_names(cls, given: Any) -> Any:
        """Texts as keys: in Python, pictures may be numbered with integers."""
        return {str(name): text for name, text in given.items()} if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _has_one_data_set(self) -> Self:
        _check_data_set(self.images_data_url, self.images, self.captions)
        return self


class TrainLora(TrainingRequest, BaseRequest):
    """A LoRA of a subject, a product or, with `is_style`, a style."""

    model: ModelName = "flux-lora-training"

    @property
    def has_steps(self) -> bool:
        """Whether the worker makes the archive itself."""
        return self.images is not None or self.captions is not None or self.prepare
