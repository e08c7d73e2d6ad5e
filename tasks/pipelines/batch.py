"""Many pictures as one job: every prompt, with every variation and every seed, as many pictures of each as asked for.

Each call of the model is a step: it is paid once, has fallbacks of its own, and its pictures can be used before the
others have come. What a call may ask is the business of generation.text_to_image, and with pictures of
generation.image_to_image.
"""

from asyncio import gather
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model

from tasks.generation import ImageToImage, TextToImage, image_to_image, text_to_image
from tasks.pipelines.step_checks import Calls, all_problems, judged_options
from worker.edge.job_task import JobTask, catalogue
from worker.edge.models import find_model
from worker.edge.pipeline import Pipeline
from worker.edge.task import pipeline_task
from worker.errors import InvalidRequestError, KilnhandError, OverBudgetError, StepFailedError
from worker.jobs.file_refs import Images
from worker.jobs.job import Piece
from worker.jobs.picture_fields import Prompt, Seed
from worker.jobs.request import JobOptions, Label, TaskRequest
from worker.jobs.status import FileOut, JobResult
from worker.providers.base import RUN_CANCELLED

PROMISES = (Piece("images", "image", "images.*"),)
MOST_CALLS = 100  # each is a job, and its line is in the status
MOST_PICTURES = 200
MOST_AT_ONCE = 4  # of a call of these tasks
_Places = tuple[int, int | None, int | None]  # of a prompt, a variation and a seed in their lists
_OWN = {"prompt", "num_images", "seed"}  # of a call; a batch has lists or numbers of its own instead


class BatchBase(TaskRequest):
    """What a batch has beside the parameters of its calls."""

    prompts: Annotated[list[Prompt], Field(min_length=1, max_length=MOST_CALLS)]
    num_images: int = Field(1, ge=1, le=MOST_PICTURES)
    seeds: list[Seed] = Field([], max_length=MOST_CALLS)
    variations: list[dict[Label, JsonValue]] = Field([], max_length=MOST_CALLS)
    allowed_failures: int = Field(0, ge=0, le=MOST_CALLS)
    images: Annotated[Images, Field(min_length=1, max_length=14)] | None = None

    follows: ClassVar[Mapping[str, str]] = {**TextToImage.follows, **ImageToImage.follows}

    def shared(self) -> dict[str, Any]:
        """The parameters that all calls have."""
        own = BatchBase.model_fields.keys() - {"images"}
        return self.model_dump(mode="json", exclude_unset=True, exclude_none=True, exclude=set(own))


def _shared_fields() -> dict[str, Any]:
    both = {**ImageToImage.model_fields, **TextToImage.model_fields}
    return {name: (field.annotation, field) for name, field in both.items() if name not in _OWN | {"images"}}


Batch: type[BatchBase] = create_model("Batch", __base__=BatchBase, __module__=__name__, **_shared_fields())
Batch.__doc__ = """Every prompt with every variation and every seed; of each so many pictures.

All parameters of generation.text_to_image are shared by all calls; with `images`, those of generation.image_to_image. A
variation is a dict of those that differ in it, `model` too. `num_images` are the pictures of each prompt; what a model
cannot make at once is split into several calls. With seeds it is at most what the model makes at once: a second call
with the same seed makes the same pictures. `allowed_failures`: how many items (a prompt with a variation and a seed)
may fail without failing the batch.
"""


class BatchItem(BaseModel):
    """A prompt with a variation and a seed. `variation` and `images` are places in their lists, from 0."""

    model_config = ConfigDict(frozen=True)

    prompt: str
    variation: int | None = None
    seed: int | None = None
    images: list[int]
    error: str | None = None
    error_code: str | None = None


class Batched(JobResult):
    """All pictures in the order of their items, and for each item which are its own, or why it failed."""

    images: list[FileOut]
    items: list[BatchItem]
    failed: int


@dataclass(frozen=True)
class Item:
    """An item before it is drawn: the parameters of its calls, without the number of pictures."""

    number: int
    prompt: str
    variation: int | None
    seed: int | None
    given: Mapping[str, Any]
    counts: tuple[int, ...]  # of the pictures of each call

    def calls(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The name of each step and the parameters of its call."""
        first = 1
        for count in self.counts:
            yield f"item-{self.number}-{first}x{count}", {**self.given, "num_images": count}
            first += count


def items_of(request: BatchBase) -> list[Item]:
    """The items in the order of prompts, then variations, then seeds.

    Raises `UnknownModelError` for a model that this task has not.
    """
    items = []
    for number, ((prompt, variation, seed), given) in enumerate(_combinations(request), 1):
        drawn = None if seed is None else request.seeds[seed]
        counts = _counts(given, request.num_images)
        items.append(Item(number, request.prompts[prompt], variation, drawn, given, counts))
    return items


def _combinations(request: BatchBase) -> Iterator[tuple[_Places, dict[str, Any]]]:
    """The parameters of each item, with the places of its prompt, variation and seed in their lists."""
    shared = request.shared()
    variations: Sequence[int | None] = range(len(request.variations)) or [None]
    seeds: Sequence[int | None] = range(len(request.seeds)) or [None]
    for prompt, variation, seed in product(range(len(request.prompts)), variations, seeds):
        given = {**shared, "prompt": request.prompts[prompt]}
        if seed is not None:
            given["seed"] = request.seeds[seed]
        yield (prompt, variation, seed), given if variation is None else {**given, **request.variations[variation]}


def _counts(given: Mapping[str, Any], wanted: int) -> tuple[int, ...]:
    """How many pictures each call makes."""
    asks, task = _called(given)
    most = most_at_once(task.name, asks.model_validate({**given, "num_images": 1}).model)
    whole, rest = divmod(wanted, most)
    return (most,) * whole + ((rest,) if rest else ())


def _called(given: Mapping[str, Any]) -> tuple[type[TextToImage] | type[ImageToImage], JobTask]:
    """The request and the task of a call."""
    return (ImageToImage, image_to_image) if given.get("images") else (TextToImage, text_to_image)


def most_at_once(task: str, name: str) -> int:
    """How many pictures a model makes in one call. One, if it is not in the catalogue: nothing is assumed about it."""
    model = find_model(catalogue(), task, name)
    if model.passthrough or not model.takes("num_images"):
        return 1
    limit = model.limits.get("num_images")
    return MOST_AT_ONCE if limit is None or limit.max is None else min(MOST_AT_ONCE, int(limit.max))


def batch_problems(request: BatchBase, options: JobOptions) -> list[tuple[str, str]]:
    """What is wrong with the calls, by field: of all of them, of a prompt, or of a variation."""
    if too_many := _too_many_items(request):
        return too_many
    for n, variation in enumerate(request.variations):
        if own_names := sorted(variation.keys() & _of_all(request)):
            return [(f"variations.{n}", f"cannot change {', '.join(own_names)}: the batch has it")]
    found = list[tuple[str, str]]()
    for places, given in _combinations(request):
        problems = _called(given)[1].problems_of({**given, **judged_options(options)})
        found += [(_named(field, places, request), message) for field, message in problems]
    found = list(dict(reversed(found)).items())[::-1]  # one for each field, the first
    return found or _size_problems(request) or _price_problems(request, options)


def _calls(request: BatchBase) -> Calls:
    """Every call, with its number of pictures."""
    return [(_called(given)[1], given) for item in items_of(request) for _, given in item.calls()]


def _price_problems(request: BatchBase, options: JobOptions) -> list[tuple[str, str]]:
    """Why one of the calls, or all that must not fail, cannot be paid within `max_usd`."""
    if options.max_usd is None:
        return []
    most_failed = request.allowed_failures * max(len(item.counts) for item in items_of(request))
    return all_problems(_calls(request), options, most_failed)


def _too_many_items(request: BatchBase) -> list[tuple[str, str]]:
    """Counted before the items are made: three lists of 100 would be a million items, with a check of each."""
    items = len(request.prompts) * max(1, len(request.variations)) * max(1, len(request.seeds))
    if items <= MOST_CALLS:
        return []
    text = f"make {items * request.num_images} pictures in {items} or more calls; allowed: {MOST_PICTURES} in "
    return [("prompts", f"{text}{MOST_CALLS}: send several batches")]


def _of_all(request: BatchBase) -> set[str]:
    """The fields that no variation may change."""
    return {*JobOptions.model_fields, "num_images", "prompt", *(["seed"] if request.seeds else [])}


def _named(field: str, places: _Places, request: BatchBase) -> str:
    """The batch's name for a field of a call."""
    prompt, variation, seed = places
    if field in JobOptions.model_fields:
        return field
    if field == "prompt":
        return f"prompts.{prompt}"
    if field == "seed" and seed is not None:
        return f"seeds.{seed}"
    changed = {} if variation is None else request.variations[variation]
    if field.partition(".")[0] in changed or changed.keys() & {"model", "images"}:
        return f"variations.{variation}.{field}"  # the model of a variation may refuse what is shared
    return field


def _size_problems(request: BatchBase) -> list[tuple[str, str]]:
    items = items_of(request)
    calls = sum(len(item.counts) for item in items)
    most = min(max(item.counts) for item in items)
    if calls > MOST_CALLS or len(items) * request.num_images > MOST_PICTURES:
        text = f"make {len(items) * request.num_images} pictures in {calls} calls; allowed: {MOST_PICTURES} in "
        return [("prompts", f"{text}{MOST_CALLS}: send several batches")]
    if (request.seeds or any("seed" in each for each in request.variations)) and calls > len(items):
        return [("num_images", f"is {request.num_images}; allowed with seeds: {most}, as many as a call makes")]
    if request.allowed_failures >= len(items):
        return [("allowed_failures", f"is {request.allowed_failures}; allowed: less than the {len(items)} items")]
    return []


@pipeline_task(
    "generation.batch",
    queue="generation",
    asks=Batch,
    gives=Batched,
    promises=PROMISES,
    check=batch_problems,
    calls=_calls,
)
async def batch(request: BatchBase, job: Pipeline) -> Mapping[str, Any]:
    """Draw all of it at the same time."""
    items, failures = items_of(request), _Failures(request.allowed_failures)
    calls = [(item, name, given) for item in items for name, given in item.calls()]
    drawn = await gather(*(_draw(job, failures, *call) for call in calls))
    failures.judge()
    images: list[FileOut] = []
    told: list[BatchItem] = []
    for item in items:
        mine = [result for (of, _, _), result in zip(calls, drawn, strict=True) if of is item and result is not None]
        places = range(len(images), len(images) + sum(len(result.images) for result in mine))
        images += [image for result in mine for image in result.images]
        seed = item.seed if item.seed is not None else mine[0].seed if len(mine) == 1 else None
        told.append(failures.tell(item, seed, list(places)))
    return {"images": images, "items": [each.model_dump() for each in told], "failed": len(failures.found)}


async def _draw(job: Pipeline, failures: "_Failures", item: Item, name: str, given: Mapping[str, Any]) -> Any:
    """The result of a call; None if it failed, and so many may fail."""
    try:
        return await job.step(name, _called(given)[0].model_validate(given))
    except (StepFailedError, InvalidRequestError, OverBudgetError) as error:
        failures.add(item, error)
        return None


class _Failures:
    """The items that failed, each with its first error."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self.found: dict[int, KilnhandError] = {}

    def add(self, item: Item, error: KilnhandError) -> None:
        """Note it, and raise it if it is one too many.

        A cancelled call waits for `judge`: when a batch fails, its other calls are cancelled, and theirs is not the
        error to tell.
        """
        if not _is_cancelled(error) or item.number not in self.found:
            self.found[item.number] = error
        if sum(not _is_cancelled(each) for each in self.found.values()) > self._allowed:
            raise error

    def judge(self) -> None:
        """Raise the first error if too many items failed."""
        if len(self.found) > self._allowed:
            raise min(self.found.items(), key=lambda each: (_is_cancelled(each[1]), each[0]))[1]

    def tell(self, item: Item, seed: int | None, places: list[int]) -> BatchItem:
        """The item of the result."""
        error = self.found.get(item.number)
        code = None if error is None else getattr(error, "kind", None) or error.code
        text = None if error is None else error.message
        return BatchItem(
            prompt=item.prompt, variation=item.variation, seed=seed, images=places, error=text, error_code=code
        )


def _is_cancelled(error: KilnhandError) -> bool:
    return isinstance(error, StepFailedError) and error.kind == RUN_CANCELLED
