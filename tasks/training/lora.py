"""LoRAs from a data set: one call with a zip; with a list of pictures, or with captions, steps before that call.

A training has no fallback: the weights of another trainer fit another model.
"""

import re
from asyncio import gather
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from config.catalogue import Model
from tasks.language import Captioned
from tasks.language.requests import MAX_IMAGES, CaptionRequest
from tasks.training.captions import given_captions, name_of, with_trigger
from tasks.training.dataset import AT_A_TIME, PackDataSet, PrepareImages, UnpackDataSet
from tasks.training.requests import FIELDS, TrainLora
from tasks.training.results import PreparedImages, Weights
from worker.edge.job_task import catalogue
from worker.edge.pipeline import Pipeline
from worker.edge.task import job_task
from worker.errors import RequestRefusedError, StepFailedError
from worker.jobs.answers import AnswerFaults
from worker.jobs.job import Piece, Step
from worker.jobs.request import refusal
from worker.jobs.status import VALUES

PROMISES = (
    Piece("weights", "weights", "weights"),
    Piece("config", "json", "config"),
    Piece("dataset", "file", "dataset"),
)
_OF_STYLES = {"is_style": True, "training_type": "style"}  # unless the caller says something else
_PLACE = re.compile(r"\bimages\.(\d+)")


@dataclass(frozen=True)
class _Picture:
    """A checked picture: its key, what messages and captions call it, the hash of its pixels, its own caption."""

    key: str
    name: str
    label: str
    sha256: str
    caption: str | None


async def train_in_steps(request: TrainLora, job: Pipeline) -> Mapping[str, Any]:
    """Check all pictures before anything costs money, caption them, pack them, train."""
    pictures = await (_listed(request.images, job) if request.images else _unpacked(request, job))
    _check(pictures, catalogue().find_for("training.lora", request.model))
    texts = await _captions(request, pictures, job)
    captions = [with_trigger(text, request.trigger_word) for text in texts]
    keys = [picture.key for picture in pictures]
    packed = await job.step("pack", PackDataSet(images=keys, captions=captions if any(captions) else []))
    asked = request.model_dump(include={*FIELDS, "model", "role", "extra"}, exclude_unset=True)
    trained = await job.step("train", TrainLora(**{**asked, "images_data_url": packed.archive.key}))
    said = [{"name": each.name, "caption": text} for each, text in zip(pictures, captions, strict=True) if text]
    files = {"weights": trained.weights, "config": trained.config, "dataset": packed.archive}
    return {**files, "role": request.role, "trigger_word": request.trigger_word, "captions": said}


class TrainingCheck:
    """Adds what the weights are for to the answer. See `worker.jobs.answers.AnswerCheck`."""

    def check(self, request: Mapping[str, Any], output: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
        """Every answer is good: its files are checked by themselves."""
        return {**output, VALUES: {name: request.get(name) for name in ("role", "trigger_word")}}

    def repair(self, arguments: Mapping[str, Any], faults: AnswerFaults) -> dict[str, Any]:
        """The same call again."""
        return dict(arguments)


@job_task(
    "training.lora",
    queue="training",
    asks=TrainLora,
    gives=Weights,
    check=TrainingCheck(),
    steps=train_in_steps,
    promises=PROMISES,
)
def lora(request: TrainLora, model: Model) -> Step:
    """Train a LoRA on a zip, or on a list of pictures."""
    arguments = request.model_dump(mode="json", exclude_none=True, include=set(FIELDS))
    if request.role == "style" and not model.passthrough:
        usual = {name: value for name, value in _OF_STYLES.items() if model.takes(name)}
        arguments = {**usual, **arguments}
    if request.images and (problem := _count_problem(len(request.images), model)):
        raise refusal("training.lora", [("images", problem)])
    weights = Piece("weights", "weights", "diffusers_lora_file")
    settings = Piece("config", "json", "config_file")
    return Step(model.name, arguments, (weights, settings), request.extra)


async def _listed(images: Sequence[str], job: Pipeline) -> list[_Picture]:
    """The pictures of a list, in steps of 8. All that cannot be used are named."""
    parts = [images[start : start + AT_A_TIME] for start in range(0, len(images), AT_A_TIME)]
    found = await gather(*(_part(n, part, job) for n, part in enumerate(parts)))
    if problems := [problem for problem in found if isinstance(problem, str)]:
        raise RequestRefusedError("; ".join(problems), kind="images")
    pictures = [picture for part in found if not isinstance(part, str) for picture in part]
    return [
        _Picture(each.key, name_of(ref, n), f"images.{n}", each.sha256, None)
        for n, (ref, each) in enumerate(zip(images, pictures, strict=True))
    ]


async def _part(n: int, images: Sequence[str], job: Pipeline) -> list[_Picture] | str:
    """The pictures of one step; or why it failed, with the numbers of the whole list."""
    try:
        return _pictures(await job.step(f"prepare-{n + 1}", PrepareImages(images=list(images))))
    except StepFailedError as error:
        if error.kind != RequestRefusedError.code:
            raise
        return _PLACE.sub(lambda found: f"images.{int(found[1]) + n * AT_A_TIME}", error.message)


async def _unpacked(request: TrainLora, job: Pipeline) -> list[_Picture]:
    """The pictures of the zip, with the captions beside them."""
    return _pictures(await job.step("unpack", UnpackDataSet(archive=request.images_data_url)))


def _pictures(prepared: PreparedImages) -> list[_Picture]:
    files = zip(prepared.images, prepared.pictures, strict=True)
    return [_Picture(file.key, each.name, each.name, each.sha256, each.caption) for file, each in files]


def _check(pictures: Sequence[_Picture], model: Model) -> None:
    """Raise `RequestRefusedError` for too few or too many pictures, and for equal ones, which are all named."""
    problems = list[str]()
    if problem := _count_problem(len(pictures), model):
        problems.append(f"the data set {problem}")
    first: dict[str, str] = {}
    for picture in pictures:
        same = first.setdefault(picture.sha256, picture.label)
        if same != picture.label:
            problems.append(f"{picture.label}: has the same pixels as {same}")
    if problems:
        raise RequestRefusedError("; ".join(problems), kind="dataset")


def _count_problem(count: int, model: Model) -> str | None:
    limit = model.limits.get("images_data_url")
    least = limit.min_items if limit and limit.min_items else 1
    pictures = "1 picture" if count == 1 else f"{count} pictures"
    return f"has {pictures}; {model.name} needs {least} or more" if count < least else None


async def _captions(request: TrainLora, pictures: Sequence[_Picture], job: Pipeline) -> list[str | None]:
    """The caller's captions first, then those of the archive; with "auto", a language model writes those that miss."""
    is_auto = request.captions == "auto"
    try:
        names = [picture.name for picture in pictures]
        given = given_captions(None if is_auto else request.captions, names, numbered=request.images is not None)
    except ValueError as error:
        raise RequestRefusedError(str(error), kind="captions") from error
    found = [text or picture.caption for text, picture in zip(given, pictures, strict=True)]
    if not is_auto:
        return found
    missing = [n for n, text in enumerate(found) if text is None]
    parts = [missing[start : start + MAX_IMAGES] for start in range(0, len(missing), MAX_IMAGES)]
    keys = [[pictures[n].key for n in part] for part in parts]
    asked = [CaptionRequest(images=part, trigger_word=request.trigger_word) for part in keys]
    written: list[Captioned] = await gather(*(job.step(f"captions-{n}", each) for n, each in enumerate(asked, 1)))
    texts = [caption.text for each in written for caption in each.answer.captions]
    for n, text in zip(missing, texts, strict=True):
        found[n] = text
    return found
