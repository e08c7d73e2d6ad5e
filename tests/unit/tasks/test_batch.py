"""A batch: which calls it makes, what it refuses, and what becomes of calls that fail."""

from types import SimpleNamespace
from typing import Any

import pytest

from tasks.generation import ImageToImage, TextToImage
from tasks.pipelines.batch import MOST_CALLS, Batch, batch, items_of
from tests.unit.edge.test_pipeline import Jobs
from worker.edge.pipeline import Pipeline, replay
from worker.errors import StepFailedError
from worker.jobs.job import ErrorRecord, Job, Stage

OWN = {"prompts", "num_images", "seeds", "variations", "allowed_failures"}
ENDPOINT = "fal-ai/acme/new"


def test_a_batch_takes_every_parameter_of_its_calls() -> None:
    of_calls = TextToImage.model_fields.keys() | ImageToImage.model_fields.keys()
    assert Batch.model_fields.keys() - OWN == of_calls - {"prompt", "num_images", "seed"}


def calls(**given: Any) -> list[tuple[str, dict[str, Any]]]:
    assert batch.problems_of(given) == []
    return [call for item in items_of(Batch.model_validate(given)) for call in item.calls()]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"prompts": ["a", "b"]}, ["item-1-1x1", "item-2-1x1"]),
        ({"prompts": ["a"], "num_images": 10}, ["item-1-1x4", "item-1-5x4", "item-1-9x2"]),
        ({"prompts": ["a"], "num_images": 2, "model": "flux-pro-v1.1-ultra"}, ["item-1-1x2"]),
        ({"prompts": ["a"], "num_images": 3, "model": ENDPOINT}, ["item-1-1x1", "item-1-2x1", "item-1-3x1"]),
        ({"prompts": ["a"], "seeds": [1, 2], "num_images": 4}, ["item-1-1x4", "item-2-1x4"]),
    ],
)
def test_pictures_beyond_what_a_model_makes_at_once_are_split(given: dict[str, Any], names: list[str]) -> None:
    assert [name for name, _ in calls(**given)] == names


def test_every_prompt_is_drawn_with_every_variation_and_every_seed() -> None:
    variations = [{}, {"model": "flux-dev", "guidance_scale": 4.0}]
    found = [given for _, given in calls(prompts=["a", "b"], variations=variations, seeds=[7, 8], image_size="square")]
    assert [(each["prompt"], each.get("model"), each["seed"]) for each in found] == [
        (prompt, model, seed) for prompt in "ab" for model in (None, "flux-dev") for seed in (7, 8)
    ]
    assert all(each["image_size"] == "square" and each["num_images"] == 1 for each in found)


async def test_with_pictures_the_calls_are_those_of_image_to_image() -> None:
    jobs, url = Drawings(), "https://example.com/a.png"
    given = {"prompts": ["a"], "images": url, "strength": 0.5, "variations": [{}, {"images": ["https://b.c/d.png"]}]}
    assert batch.problems_of(given) == []
    await drawn(jobs, **given)
    assert jobs.begun == {"item-1-1x1": "ImageToImage", "item-2-1x1": "ImageToImage"}
    assert items_of(Batch.model_validate(given))[0].given["images"] == [url]


REFUSED = [
    ({"prompts": ["a"], "strength": 0.5}, "strength", "is not a parameter of this task"),
    ({"prompts": ["a"], "images": ["https://a.b/c.png"], "model": "flux-schnell"}, "model", "models of this task"),
    ({"prompts": []}, "prompts", "at least 1 item"),
    ({"prompts": ["a", ""]}, "prompts.1", "at least 1 character"),
    ({"prompts": ["a"], "model": "flux-shnell"}, "model", "did you mean flux-schnell"),
    ({"prompts": ["a"], "negative_prompt": "x"}, "negative_prompt", "these models have it"),
    ({"prompts": ["a"], "variations": [{}, {"guidance_scale": 99}]}, "variations.1.guidance_scale", "35"),
    ({"prompts": ["a"], "variations": [{"num_images": 2}]}, "variations.0", "cannot change num_images"),
    ({"prompts": ["a"], "variations": [{"tenant": "x"}]}, "variations.0", "cannot change tenant"),
    ({"prompts": ["a"], "variations": [{"modle": "x"}]}, "variations.0.modle", "is not a parameter"),
    ({"prompts": ["a"], "seeds": [1], "num_images": 5}, "num_images", "allowed with seeds: 4"),
    ({"prompts": ["a"], "variations": [{"seed": 1}], "num_images": 5}, "num_images", "allowed with seeds: 4"),
    ({"prompts": ["a", "b"], "num_images": 101}, "prompts", "202 pictures in 52 calls; allowed: 200 in 100"),
    ({"prompts": ["a"] * 100, "variations": [{}] * 100, "seeds": [*range(100)]}, "prompts", "in 1000000 or more calls"),
    ({"prompts": ["a"], "variations": [{"prompt": "b"}]}, "variations.0", "cannot change prompt"),
    ({"prompts": ["a"], "variations": [{"seed": 1}], "seeds": [2]}, "variations.0", "cannot change seed"),
    ({"prompts": ["a"], "variations": [{"model": "flux-schnell"}, {"model": "nano-banana-2.1"}], "seeds": [3000000000]}, "seeds.0", "2147483647"),
    ({"prompts": ["a"], "allowed_failures": 1}, "allowed_failures", "allowed: less than the 1 items"),
    ({"prompts": ["a"] * (MOST_CALLS + 1)}, "prompts", "at most 100 items"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "field", "text"), REFUSED)
def test_a_bad_batch_is_refused_by_field_before_anything_is_sent(given: dict[str, Any], field: str, text: str) -> None:
    problems = batch.problems_of(given)
    assert [name for name, _ in problems] == [field] and text in problems[0][1]


@pytest.mark.parametrize(
    "given",
    [
        {"quality": "high", "variations": [{"model": "gpt-image-2"}, {"model": "ideogram-v4"}]},
        {"negative_prompt": "x", "variations": [{"model": "sdxl"}]},
    ],
)
def test_shared_parameters_are_judged_by_the_models_that_draw(given: dict[str, Any]) -> None:
    assert batch.problems_of({"prompts": ["a"], **given}) == []


class Drawings(Jobs):
    """Calls whose results are pictures with a name."""

    def result_of(self, job: Job) -> Any:
        images = [{"url": f"u/{name}", "key": name} for name in (job.result or {})["names"]]
        return SimpleNamespace(images=images, seed=5)


async def drawn(jobs: Drawings, **given: Any) -> Any:
    assert batch.pipeline is not None
    return await replay(batch.pipeline, Batch.model_validate(given), Pipeline("p", jobs, dict(jobs.begun)))


def failed(text: str) -> ErrorRecord:
    return ErrorRecord("request_refused", text, "fal")


async def test_pictures_are_in_the_order_of_their_items_whichever_comes_first() -> None:
    jobs, given = Drawings(), {"prompts": ["a", "b"], "num_images": 5}
    assert await drawn(jobs, **given) is None
    for name in reversed(jobs.sent):
        jobs.end(name, names=[f"{name}.{n}" for n in range(int(name[-1]))])
    result = await drawn(jobs, **given)
    assert [image["key"][:6] for image in result["images"]] == ["item-1"] * 5 + ["item-2"] * 5
    assert [item["images"] for item in result["items"]] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert result["failed"] == 0 and result["items"][0]["seed"] is None, "two calls have two seeds"


async def test_as_many_may_fail_as_are_allowed() -> None:
    jobs, given = Drawings(), {"prompts": ["a", "b"], "allowed_failures": 1}
    await drawn(jobs, **given)
    jobs.fail("item-1-1x1", error=failed("no"))
    assert await drawn(jobs, **given) is None, "the other one is still drawn"
    jobs.end("item-2-1x1", names=["x"])
    result = await drawn(jobs, **given)
    first, second = result["items"]
    assert result["failed"] == 1 and "no" in first["error"] and first["error_code"] == "request_refused"
    assert (first["images"], second["images"], second["seed"], second["error"]) == ([], [0], 5, None)


async def test_one_failure_too_many_fails_the_batch_at_once_and_its_error_outlives_the_cancels() -> None:
    jobs, given = Drawings(), {"prompts": ["a", "b", "c"]}
    await drawn(jobs, **given)
    jobs.fail("item-2-1x1", error=failed("bad words"))
    with pytest.raises(StepFailedError, match="bad words"):
        await drawn(jobs, **given)
    for name in ("item-1-1x1", "item-3-1x1"):  # as the provider cancels them
        jobs.fail(name, Stage.CANCELLED)
    with pytest.raises(StepFailedError, match="bad words"):
        await drawn(jobs, **given)


async def test_calls_that_somebody_cancelled_count_as_failed() -> None:
    jobs, given = Drawings(), {"prompts": ["a", "b"], "allowed_failures": 1}
    await drawn(jobs, **given)
    jobs.fail("item-1-1x1", Stage.CANCELLED)
    jobs.end("item-2-1x1", names=["x"])
    assert (await drawn(jobs, **given))["items"][0]["error_code"] == "client_cancelled"
    jobs.fail("item-2-1x1", Stage.CANCELLED)
    with pytest.raises(StepFailedError, match="item-1-1x1 was cancelled"):
        await drawn(jobs, **given)
