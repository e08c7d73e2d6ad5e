"""A task made of steps: real worker, real jobs for its steps, and workers that die between them."""

import base64
import gc
import io
import signal
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError
from PIL import Image

from tests.acceptance.conftest import Twin, point_producer_at
from tests.conftest import wait_until
from worker.cli.processes.child import ChildFailedError
from worker.cli.processes.specs import heartbeat_file
from worker.cli.processes.stack import Child, Stack, run_stack
from worker.client import cancel, status, steps
from worker.edge.pipeline import step_id

TRIPTYCH = "own.triptych"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with run_stack(tmp_path_factory.mktemp("pipelines"), processes=("redis", "twin")) as stack:
        yield stack
        gc.collect()  # results that are collected later would look for their Redis in vain


@pytest.fixture(scope="module")
def worker(home: Stack) -> Child:
    return start_worker(home, "worker-steps")


def start_worker(home: Stack, name: str, **env: str) -> Child:
    beat = heartbeat_file(home.folder, name)
    command = [sys.executable, "-m", "celery", "-A", "tests.acceptance.pipeline_app", "worker", "--without-mingle",
               "--without-gossip", "--queues", "editing,generation,language,own,training,vision"]  # fmt: skip
    anthropic = {"KILNHAND_ANTHROPIC_BASE_URL": f"{home.twin_url}/anthropic"}  # captions of a training
    env = {"PYTHONPATH": str(Path(__file__).parents[2]), **anthropic, **env}
    child = home.add(name, command, lambda since: beat.exists() and beat.stat().st_mtime > since, env)
    child.wait_ready()
    return child


@pytest.fixture
def twin(home: Stack, _patch: pytest.MonkeyPatch) -> Twin:
    point_producer_at(home, _patch)
    twin = Twin(home.twin_url)
    twin.reset()
    return twin


@pytest.fixture
def shop(home: Stack) -> Iterator[Celery]:
    shop = Celery("shop", broker=home.redis_url, backend=home.redis_url, set_as_current=False)
    yield shop
    gc.collect()
    shop.close()


def ask(shop: Celery, **given: Any) -> Any:
    return shop.send_task(TRIPTYCH, kwargs={"prompt": "a kiln", **given}, queue="own")


@pytest.mark.usefixtures("worker")
def test_a_pipeline_ends_with_the_files_and_the_cost_of_its_steps(shop: Celery, twin: Twin) -> None:
    job = ask(shop, tenant="acme")
    result = job.get(timeout=120)
    assert twin.count == 3
    assert result["seeds"] == [1, 2] and len(result["sides"]) == 2
    steps = [status(step_id(job.id, name), tenant="acme") for name in ("left", "right", "middle")]
    assert all(step is not None and step.state == "SUCCESS" for step in steps)
    total = sum(step.total_cost.usd for step in steps if step and step.total_cost)
    assert result["total_cost"]["usd"] == pytest.approx(total) and result["total_cost"]["certainty"] == "exact"
    assert len({file["key"] for file in [result["middle"], *result["sides"]]}) == 3
    assert all("t-acme" in file["key"] for file in result["sides"])
    final = status(job.id)
    assert final and "3/3 steps have ended" in final.logs


@pytest.mark.usefixtures("worker")
def test_a_step_that_fails_ends_the_pipeline_and_stops_the_others(shop: Celery, twin: Twin) -> None:
    twin.pace(seconds=600)
    job = ask(shop)
    wait_until(lambda: twin.count == 2, "both steps are at fal")
    cancel(step_id(job.id, "left"))
    with pytest.raises(Exception, match="step left was cancelled"):
        job.get(timeout=120)
    right = status(step_id(job.id, "right"))
    assert right is not None and right.state == "REVOKED" and twin.count == 2


@pytest.mark.usefixtures("worker")
def test_a_cancel_reaches_the_steps(shop: Celery, twin: Twin) -> None:
    twin.pace(seconds=600)
    job = ask(shop)
    wait_until(lambda: twin.count == 2, "both steps are at fal")
    cancel(job.id)
    with pytest.raises(TaskRevokedError):
        job.get(timeout=120)
    steps = [status(step_id(job.id, name)) for name in ("left", "right")]
    assert [step.state for step in steps if step] == ["REVOKED", "REVOKED"] and twin.count == 2


@pytest.mark.usefixtures("worker")
def test_a_budget_holds_for_all_steps_together(shop: Celery, twin: Twin) -> None:
    job = ask(shop, max_usd=0.004)  # a picture of flux-schnell costs 0.003
    with pytest.raises(Exception, match="max_usd"):
        job.get(timeout=120)
    assert twin.count == 1


@pytest.mark.usefixtures("worker")
def test_a_step_that_its_task_refuses_names_the_field(shop: Celery, twin: Twin) -> None:
    with pytest.raises(Exception, match=r"step (left|right) was refused.*(?s:.)*model"):
        ask(shop, model="no such model").get(timeout=120)
    assert twin.count == 0


@pytest.mark.parametrize("point", ["after_step_noted", "after_step_sent", "after_write_waiting", "before_post"])
def test_a_worker_that_dies_between_the_steps_pays_for_none_twice(
    home: Stack, shop: Celery, twin: Twin, worker: Child, point: str
) -> None:
    worker.stop()
    dying = start_worker(home, f"worker-{point}", KILNHAND_CRASH_AT=point)
    job = ask(shop)
    wait_until(lambda: not dying.is_alive, f"it dies {point}")
    worker.start()
    result = job.get(timeout=120)
    assert len(result["sides"]) == 2 and twin.count == 3


def picture(size: tuple[int, int] = (640, 480)) -> str:
    spool = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(spool, "PNG")
    return f"data:image/png;base64,{base64.b64encode(spool.getvalue()).decode()}"


@pytest.mark.usefixtures("worker", "twin")
def test_a_garment_is_painted_and_nothing_else_changes(shop: Celery) -> None:
    given = {"image": picture(), "garment": "the coat", "prompt": "a red coat"}
    result = shop.send_task("editing.fix_garment", kwargs=given, queue="editing").get(timeout=60)
    assert result["outside_mask"]["of_result"] == {"mean": 0.0, "most": 0.0}
    assert result["outside_mask"]["of_edit"]["mean"] > 0
    assert (result["images"][0]["width"], result["images"][0]["height"]) == (640, 480)
    assert result["masks"] and result["total_cost"]["usd"] > 0


@pytest.mark.usefixtures("worker", "twin")
def test_a_face_is_refined_and_put_back(shop: Celery) -> None:
    result = shop.send_task("editing.fix_face", kwargs={"image": picture()}, queue="editing").get(timeout=60)
    assert (result["images"][0]["width"], result["images"][0]["height"]) == (640, 480)
    assert len(result["faces"]) == 1 and result["faces"][0]["x_max"] > result["faces"][0]["x_min"]


@pytest.mark.usefixtures("worker", "twin")
def test_a_sticker_is_drawn_and_cut_out(shop: Celery) -> None:
    result = shop.send_task("editing.sticker", kwargs={"prompt": "a cat"}, queue="editing").get(timeout=60)
    assert result["images"][0]["content_type"] == "image/png" and len(result["drafts"]) == 1


@pytest.mark.usefixtures("worker")
def test_a_training_shows_samples(shop: Celery, twin: Twin) -> None:
    twin.pace(seconds=0.2)
    given = {
        "images_data_url": data_set(),
        "trigger_word": "mug",
        "sample_prompts": ["a mug", "two mugs", "a blue mug"],
    }
    result = shop.send_task("training.lora_with_samples", kwargs=given, queue="training").get(timeout=90)
    assert len(result["images"]) == 3 and result["weights"]["key"].endswith(".safetensors")
    assert (result["sheet"]["width"], result["sheet"]["height"]) == (1536, 512)


@pytest.mark.usefixtures("worker")
def test_a_training_on_pictures_captions_them_and_packs_them(shop: Celery, twin: Twin) -> None:
    twin.pace(seconds=0.2)
    given = {"images": [picture((300 + n, 300)) for n in range(4)], "captions": "auto", "trigger_word": "mug"}
    job = shop.send_task("training.lora", kwargs={**given, "role": "product", "steps": 20}, queue="training")
    result = job.get(timeout=90)
    assert result["weights"]["key"].endswith(".safetensors") and result["role"] == "product"
    assert [each["name"] for each in result["captions"]] == [f"images.{n}" for n in range(4)]
    assert all("mug" in each["caption"] for each in result["captions"])
    assert result["dataset"]["content_type"] == "application/zip" and twin.count == 2
    trained = status(step_id(job.id, "train"))
    assert trained and any("20/20" in line for line in trained.logs), trained


@pytest.mark.usefixtures("worker")
def test_pictures_that_cannot_be_trained_on_cost_nothing(shop: Celery, twin: Twin) -> None:
    zipped = data_set()  # of pictures with 64 pixels
    with pytest.raises(Exception, match=r"0.png: is 64x64 pixels.*4.png: is 68x64 pixels"):
        shop.send_task("training.lora", kwargs={"images_data_url": zipped, "captions": "auto"}, queue="training").get(
            timeout=60
        )
    images = [
        picture(),
        picture((600, 300)),
        picture((301, 300)),
        picture((600, 300)).replace("data:image/png", "data:image/PNG"),
    ]
    with pytest.raises(Exception, match=r"images.3: has the same pixels as images.1"):
        shop.send_task("training.lora", kwargs={"images": images}, queue="training").get(timeout=60)
    assert twin.count == 0


def data_set() -> str:
    spool = io.BytesIO()
    with zipfile.ZipFile(spool, "w") as archive:
        for n in range(5):
            archive.writestr(f"{n}.png", base64.b64decode(picture((64 + n, 64)).partition(",")[2]))
    return f"data:application/zip;base64,{base64.b64encode(spool.getvalue()).decode()}"


@pytest.mark.usefixtures("worker")
def test_a_batch_shows_what_has_come_and_outlives_a_failure(shop: Celery, twin: Twin) -> None:
    twin.script(
        provider="fal", endpoint="fal-ai/flux/schnell", what="error", status=422, body={"detail": "no"}, times=1
    )
    twin.pace(seconds=0.1, endpoints={"fal-ai/flux/dev": 3.0})
    given = {"prompts": ["a kiln"], "seeds": [1, 2], "variations": [{}, {"model": "flux-dev"}], "allowed_failures": 1}
    job = shop.send_task("generation.batch", kwargs={**given, "fallback": False}, queue="generation")
    wait_until(lambda: (seen := status(job.id)) and "/images-0." in "\n".join(seen.logs), "a picture is in its status")
    begun = steps(job.id)
    assert status(job.id).state == "IN_PROGRESS" and len(begun) == 4  # type: ignore[union-attr]
    assert any(step.result and step.result["images"] for step in begun)
    result = job.get(timeout=60)
    assert (len(result["images"]), result["failed"], len(result["items"])) == (3, 1, 4)
    assert [item["seed"] for item in result["items"]] == [1, 2, 1, 2]
    (bad,) = [item for item in result["items"] if item["error"]]
    assert bad["variation"] == 0 and bad["images"] == []


def every_pipeline() -> dict[str, tuple[dict[str, Any], str]]:
    """By its task: a request, and the names of its steps."""
    photo = picture()
    training = {"images_data_url": data_set(), "trigger_word": "mug", "sample_prompts": ["a mug"]}
    return {
        "editing.sticker": ({"prompt": "a cat"}, "cut-out draw"),
        "editing.fix_garment": (
            {"image": photo, "garment": "the coat", "prompt": "a red coat"},
            "blend feather grow paint segment",
        ),
        "editing.fix_face": ({"image": photo}, "blend-1 cut-1 faces refine-1"),
        "training.lora_with_samples": (training, "sample-1 sheet train"),
        "generation.batch": ({"prompts": ["a kiln"], "seeds": [1, 2]}, "item-1-1x1 item-2-1x1"),
        "vision.segment": ({"image": photo, "prompt": "the coat", "overlay": True}, "draw segment"),
    }


def dies_after_a_step(home: Stack, name: str, jobs: list[Any]) -> bool:
    """A worker that kills itself whenever it has sent a step; False if all jobs have ended before."""
    try:
        one = start_worker(home, name, KILNHAND_CRASH_AT="after_step_sent", KILNHAND_LEASE_S="1")
    except ChildFailedError:  # before its heartbeat was seen
        assert home.children[name].returncode == -signal.SIGKILL
        return True
    wait_until(lambda: not one.is_alive or all(job.ready() for job in jobs), "it dies, or all have ended")
    died = not one.is_alive
    if not died:
        one.stop()
    return died


def test_every_pipeline_outlives_a_worker_that_is_killed_after_each_step_and_no_step_is_paid_twice(
    home: Stack, shop: Celery, twin: Twin, worker: Child
) -> None:
    worker.stop()
    twin.pace(seconds=0.2)
    asked = every_pipeline()
    names = {task: names.split() for task, (_, names) in asked.items()}
    jobs = {
        task: shop.send_task(task, kwargs={**given, "fallback": False}, queue=task.partition(".")[0])
        for task, (given, _) in asked.items()
    }
    kills = 0
    while dies_after_a_step(home, f"worker-life-{kills}", list(jobs.values())):
        kills += 1

    assert kills >= 4, "a garment has at least four steps one after another"
    for task, job in jobs.items():
        job.get(timeout=10)
        found = steps(job.id)
        assert sorted(step.name for step in found) == names[task]
        assert [step.status.state for step in found] == ["SUCCESS"] * len(found)
    paid = [request["headers"]["x-fal-tags"].partition("attempt")[0] for request in twin.requests()]
    assert len(paid) == len(set(paid)) == 11
    worker.start()
