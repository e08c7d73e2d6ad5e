"""The limits of a pipeline: its budget, its deadline and its providers are judged before the first step is paid for."""

from types import SimpleNamespace
from typing import Any

import pytest

from config.catalogue import load_catalogue
from tasks.generation import TextToImage
from tasks.pipelines.batch import batch
from tasks.pipelines.face import fix_face
from tasks.pipelines.garment import fix_garment
from tasks.pipelines.lora_with_samples import lora_with_samples
from tasks.pipelines.sticker import sticker
from tasks.training import lora
from worker.edge.job_task import JobTask
from worker.edge.step_options import providers_for
from worker.jobs.job import Job, Options
from worker.routing.routes import routes_to
from worker.routing.served import Served

A_PNG, A_ZIP = "https://example.com/a.png", "https://example.com/a.zip"
COAT = {"image": A_PNG, "garment": "the coat", "prompt": "a red coat"}
TRAINING = {"images_data_url": A_ZIP, "model": "flux-2-trainer", "steps": 10_000}
THREE = {"prompts": ["a", "b", "c"], "model": "nano-banana-pro"}


@pytest.mark.parametrize(
    ("task", "given", "max_usd"),
    [
        (lora, {"images_data_url": A_ZIP, "prepare": True, "captions": "auto"}, 1),
        (lora_with_samples, {"images_data_url": A_ZIP, "sample_prompts": ["a mug"]}, 1),
        (lora_with_samples, {**TRAINING, "sample_prompts": ["a mug"]}, 0.5),
        (batch, THREE, 0.2),
        (batch, THREE, 0.1),
        (batch, {**THREE, "allowed_failures": 1}, 0.2),
        (fix_garment, COAT, 0.0001),
        (fix_face, {"image": A_PNG}, 0.0001),
        (sticker, {"prompt": "a cat"}, 0.0001),
    ],
)
def test_a_pipeline_that_cannot_end_within_max_usd_is_refused(
    task: JobTask, given: dict[str, Any], max_usd: float
) -> None:
    assert task.problems_of(given) == []
    assert {name for name, _ in task.problems_of({**given, "max_usd": max_usd})} == {"max_usd"}


def test_a_batch_that_may_end_within_max_usd_passes() -> None:
    assert batch.problems_of({**THREE, "max_usd": 0.5}) == []
    assert batch.problems_of({**THREE, "allowed_failures": 1, "max_usd": 0.35}) == []


def deadline_s(task: JobTask, **given: Any) -> float:
    job: Job = task._job(SimpleNamespace(id="1", delivery_info={}), (), given)
    return Served(load_catalogue(), job).deadline_s


def test_a_training_has_the_same_time_with_steps_and_without() -> None:
    alone = deadline_s(lora, **TRAINING)
    assert alone > 7200
    assert deadline_s(lora, **TRAINING, prepare=True) == alone
    assert deadline_s(lora_with_samples, **TRAINING, sample_prompts=["a mug"]) > alone
    assert deadline_s(lora, **TRAINING, prepare=True, deadline_s=60) == 60


def test_a_batch_may_take_as_long_as_its_calls_one_after_another() -> None:
    assert deadline_s(batch, prompts=["a"] * 100, model="nano-banana-pro") > 7200


@pytest.mark.parametrize(
    ("task", "given", "expected"),
    [
        (lora, {"images_data_url": A_ZIP, "prepare": True, "provider": "fal"}, None),
        (lora, {"images_data_url": A_ZIP, "prepare": True, "provider": "vertex"}, "provider"),
        (batch, {"prompts": ["a"], "model": "nano-banana-2", "provider": "vertex"}, None),
        (batch, {"prompts": ["a"], "model": "nano-banana-2", "providers": ["vertex", "fal"]}, None),
        (batch, {"prompts": ["a"], "model": "flux-schnell", "provider": "anthropic"}, "provider"),
        (batch, {"prompts": ["a"], "provider": "pipeline"}, "provider"),
        (batch, {"prompts": ["a"], "provider": "fal", "providers": ["fal"]}, "provider"),
        (fix_garment, {**COAT, "provider": "fal"}, None),
        (sticker, {"prompt": "a cat", "provider": "fal"}, None),
        (fix_face, {"image": A_PNG, "provider": "fal"}, None),
        (lora_with_samples, {"images_data_url": A_ZIP, "sample_prompts": ["a"], "provider": "fal"}, None),
    ],
)
def test_providers_are_judged_by_the_steps(task: JobTask, given: dict[str, Any], expected: str | None) -> None:
    found = task.problems_of(given)
    assert [name for name, _ in found] == ([] if expected is None else [expected])
    assert "pipeline:" not in str(found)


def test_a_step_gets_the_providers_that_its_model_has() -> None:
    request, given = TextToImage(prompt="a", model="flux-schnell"), Options(providers=("anthropic", "fal"))
    assert providers_for(load_catalogue(), "generation.text_to_image", request, given) == {"providers": ["fal"]}
    only = Options(provider="anthropic")
    assert providers_for(load_catalogue(), "generation.text_to_image", request, only) == {}


def test_fal_names_the_stream_of_a_model_that_has_only_that() -> None:
    models = load_catalogue().for_task("generation.comfy")
    assert models
    assert all(routes_to(model, "fal") == routes_to(model, "fal-stream") != () for model in models)
