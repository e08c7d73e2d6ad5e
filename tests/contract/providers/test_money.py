"""The cost on a row is the twin's bill: every task and every route of the catalogue, through the engine and real sockets.

`exact` is the bill to a millionth of a dollar. Any other cost has bounds, and the bill lies between them.
"""

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image

from config.catalogue import Model, Route
from config.settings import AnthropicSettings
from tests.contract.providers.conftest import Twin, opened_stream
from tests.contract.providers.conftest import opened as opened_fal
from tests.contract.providers.google import opened as opened_google
from tests.unit.engine.fakes import FakeFetcher, FakeInputs
from tests.unit.engine.world import CATALOGUE, World
from worker.cli.demo import calls
from worker.cli.job_arguments import all_tasks
from worker.files.media import Media
from worker.jobs.cost import Cost
from worker.jobs.file_arguments import recorded_files
from worker.jobs.job import Artefact, Job, Options, Piece, Stage
from worker.jobs.request import read
from worker.jobs.signals import CANCEL
from worker.jobs.total_cost import total_cost
from worker.providers.anthropic.provider import open_anthropic
from worker.routing.plan import plan
from worker.routing.routes import name_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROUNDING_USD = 1e-6


def _png(image: Image.Image) -> bytes:
    spool = io.BytesIO()
    image.save(spool, "PNG")
    return spool.getvalue()


def _mask() -> Image.Image:
    image = Image.new("L", (320, 300))
    image.paste(255, (100, 100, 200, 200))
    return image


def _uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


PNG, MASK_PNG = _png(Image.new("RGB", (320, 300), "teal")), _png(_mask())
URI, MASK = _uri(PNG), _uri(MASK_PNG)
TASKS = all_tasks()
FILES = {
    calls.PHOTO: URI,
    calls.MASK: MASK,
    calls.GARMENT: MASK,
    calls.DATASET: "https://example.com/mugs.zip",
    calls.CLIP: "https://example.com/clip.mp4",
    calls.SPEECH: "https://example.com/speech.mp3",
}
NEEDED: dict[str, dict[str, Any]] = {  # by models, beside what their tasks need
    "flux-kontext-inpainting": {"reference": URI},
    "openrouter": {"llm": "openai/gpt-4.1"},
    "openrouter-vision": {"llm": "openai/gpt-4.1", "images": [URI]},
    "leffa-try-on": {"category": "tops"},
    "veo-3.1-frames": {"end_image": URI},
}
ROUTES = [
    (task, model, route)
    for model in CATALOGUE.models
    for task in model.task
    for route in model.routes
    if route.provider != "local"  # our own work, which nobody bills
]


class Pictures(FakeInputs):
    """Every file of a call is the same small picture, or its mask."""

    async def bring(
        self,
        refs: Sequence[str],
        *,
        most_bytes: int,
        kind: Any = "image",
        labels: Sequence[str],
        fit: object = None,
        tenant: str | None = None,
    ) -> tuple[Media, ...]:
        return tuple(Media(MASK_PNG if ref == MASK else PNG, "image/png") for ref in refs)


class Files(FakeFetcher):
    """Every promised piece comes."""

    async def fetch_all(
        self, job_id: str, answer: Mapping[str, Any], pieces: Sequence[Piece], *, tenant: str | None = None
    ) -> tuple[Artefact, ...]:
        return tuple(replace(_FILE, name=piece.name, kind=piece.kind) for piece in pieces)

    async def keep_all(self, job_id: str, files: Sequence[bytes], pieces: Sequence[Piece]) -> tuple[Artefact, ...]:
        return await self.fetch_all(job_id, {}, pieces)


_FILE = Artefact("x", "jobs/a/x", "file", "image/png", 3, "00")


class Bench:
    """One worker with the real providers, and the twin's bill."""

    def __init__(self, twin: Twin, providers: dict[str, Any]) -> None:
        self.twin, self.providers = twin, providers

    def script(self, route: Route, what: str, **fault: Any) -> None:
        provider = "google" if route.provider in {"vertex", "gemini"} else route.provider
        self.twin.script(provider=provider, endpoint=route.endpoint, what=what, **fault)

    async def run(
        self, task: str, model: Model, route: Route, options: Options | None = None, **given: Any
    ) -> tuple[Job, float | None]:
        """The job at its end, and what the twin has billed for it."""
        self.twin.http.post("/_twin/reset").raise_for_status() if not given.pop("scripted", False) else None
        self.twin.pace(seconds=0.0, queue_seconds=0.0)
        world = World(fal=self.providers["fal"], providers=dict(self.providers), inputs=Pictures(), fetcher=Files())
        row = await self.until_end(world, _job(task, model, route, options or Options(), given))
        return row, self.billed()

    async def cancelled(self, task: str, model: Model, route: Route, queue_seconds: float) -> tuple[Job, float | None]:
        """A job that is cancelled while the provider has it, at its end, and the bill once its run would be over."""
        self.twin.http.post("/_twin/reset").raise_for_status()
        self.twin.pace(seconds=0.5, queue_seconds=queue_seconds)
        world = World(fal=self.providers["fal"], providers=dict(self.providers), inputs=Pictures(), fetcher=Files())
        await world.ledger.accept(_job(task, model, route, Options(), {}))
        await world.until(Stage.WAITING)
        await world.ledger.signal("a", CANCEL, "")
        row = await world.until(Stage.CLOSING)
        self.twin.http.post("/_twin/finish").raise_for_status()
        await asyncio.sleep(0.6)
        return row, self.billed()

    async def until_end(self, world: World, job: Job) -> Job:
        """Turn until the end. The world's clock is wound; the twin needs real time to draw a large picture."""
        await world.ledger.accept(job)
        while (row := await world.turn()).stage != Stage.CLOSING:
            world.now += 0.5
            await asyncio.sleep(0.005)
        return row

    def billed(self) -> float | None:
        """US dollars of all requests; None if the twin has no price for one."""
        bills = [each["billed"]["usd"] for each in self.twin.http.get("/_twin/requests").json()["requests"]]
        return None if None in bills else sum(bills)


def _job(task: str, model: Model, route: Route, options: Options, given: dict[str, Any]) -> Job:
    """A job that may use this route alone."""
    request, _ = read(
        task,
        TASKS[task].asks,
        {**calls.call_of(task, FILES), **NEEDED.get(model.name, {}), **given, "model": model.name},
    )
    step = type(TASKS[task]).order(request, model)
    step = replace(step, files=recorded_files(request, step.arguments))
    others = tuple(name_of(each) for each in model.routes if each is not route)
    asked = request.model_dump(mode="json", exclude_unset=True)
    return Job("a", task, "generation", asked, step, options, 0.0, given_up=others)


def agrees(cost: Cost, billed: float | None) -> bool:
    """Whether the cost says the truth about this bill."""
    if billed is None:
        return cost.certainty == "unknown"
    if cost.certainty == "exact":
        return cost.usd is not None and abs(cost.usd - billed) < ROUNDING_USD
    return cost.lower_usd - ROUNDING_USD <= billed <= (cost.upper_usd or billed) + ROUNDING_USD


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def providers(_twin: Twin) -> AsyncIterator[dict[str, Any]]:
    found = {
        "fal": await opened_fal(_twin),
        "fal-stream": await opened_stream(_twin),
        "vertex": await opened_google("vertex", _twin, timeout_s=30),
        "gemini": await opened_google("gemini", _twin, timeout_s=30),
        "anthropic": await open_anthropic(
            AnthropicSettings(anthropic_base_url=f"{_twin.url}/anthropic", anthropic_timeout_s=30)
        ),
    }
    yield found
    for each in found.values():
        await each.aclose()


@pytest.fixture
def bench(twin: Twin, providers: dict[str, Any]) -> Bench:
    return Bench(twin, providers)


def can_serve(task: str, model: Model, route: Route, **given: Any) -> bool:
    return plan(model, route, _job(task, model, route, Options(), given).step).may_follow(allow_degraded=True)


async def test_every_route_of_the_catalogue_costs_what_it_bills(bench: Bench, subtests: pytest.Subtests) -> None:
    for task, model, route in ROUTES:
        if not can_serve(task, model, route):
            continue
        with subtests.test(task=task, model=model.name, route=name_of(route)):
            row, billed = await bench.run(task, model, route, Options(allow_degraded=True))
            total = total_cost(row)
            assert row.ending == Stage.COMPLETED, row.error
            assert agrees(total, billed), (total, billed)
            assert total.certainty == ("exact" if model.price_on(route) else "unknown")


SIZES = [
    ("flux-schnell", 0, {"num_images": 3, "image_size": {"width": 1600, "height": 900}}),
    ("flux-schnell", 1, {"num_images": 3, "image_size": {"width": 2048, "height": 2048}}),
    ("flux-lora", 0, {"image_size": "square_hd"}),
    ("flux-2-pro", 0, {"image_size": {"width": 2000, "height": 1500}}),
    ("seedream-5-pro", 0, {"num_images": 2, "image_size": {"width": 1536, "height": 1536}}),
    ("seedream-5-pro-edit", 0, {"image_size": {"width": 1600, "height": 1536}}),
    ("nano-banana-2", 0, {"num_images": 2, "image_size": {"width": 4096, "height": 4096}}),
    ("nano-banana-2", 0, {"extra": {"resolution": "2K", "safety_tolerance": "5"}}),
    ("nano-banana-2", 1, {"image_size": {"width": 2048, "height": 2048}}),
    ("nano-banana-pro", 0, {"image_size": {"width": 4096, "height": 4096}}),
    ("nano-banana-pro", 1, {"num_images": 2, "image_size": {"width": 4096, "height": 4096}}),
    ("seedvr-upscale", 0, {"factor": 9}),
    ("fashn-v1.6", 0, {"num_images": 3}),
    ("fashn-v1.6", 1, {"num_images": 2}),
    ("bria-replace-background", 1, {"num_images": 2}),
    ("nano-banana-2-edit", 0, {"num_images": 2, "image_size": {"width": 2048, "height": 2048}}),
    ("nano-banana-2-edit", 1, {"image_size": {"width": 2048, "height": 2048}}),
    ("veo-3.1-fast", 0, {"duration_s": 4}),
    ("veo-3.1-fast", 0, {"duration_s": 6, "resolution": "4k"}),
    ("veo-3.1-fast", 1, {"duration_s": 6}),
    ("veo-3.1-fast-audio", 0, {"duration_s": 8}),
    ("veo-3.1-lite", 1, {"duration_s": 4}),
]


async def test_sizes_lengths_and_numbers_cost_what_they_bill(bench: Bench, subtests: pytest.Subtests) -> None:
    for name, number, given in SIZES:
        model = CATALOGUE.find(name)
        with subtests.test(model=name, route=number, given=given):
            row, billed = await bench.run(model.task[0], model, model.routes[number], **given)
            total = total_cost(row)
            assert row.ending == Stage.COMPLETED and agrees(total, billed), (total, billed, row.error)
            assert total.certainty == "exact"


async def test_a_constant_that_extra_replaces_makes_the_price_unknown(bench: Bench) -> None:
    model = CATALOGUE.find("veo-3.1-fast")
    row, billed = await bench.run(model.task[0], model, model.routes[0], extra={"generate_audio": True})
    assert total_cost(row).certainty == "unknown" and agrees(total_cost(row), billed)


FAULTS: list[tuple[str, int, dict[str, Any], dict[str, Any]]] = [
    # what becomes of the call: its answer is lost after it was taken, it fails, it is refused, it is cut short
    ("flux-schnell", 0, {"what": "drop", "call": "submit", "times": 2}, {}),
    ("flux-schnell", 0, {"what": "error", "status": 500, "times": 1}, {}),
    ("flux-schnell", 0, {"what": "error", "status": 422, "body": {"detail": "no"}}, {}),
    ("flux-schnell", 0, {"what": "nginx", "call": "submit", "times": 2}, {}),
    ("nano-banana-2.1", 0, {"what": "drop", "call": "submit", "times": 1}, {}),
    ("nano-banana-2.1", 0, {"what": "drop", "call": "submit", "times": 1}, {"num_images": 3}),
    ("nano-banana-2.1", 0, {"what": "text_only", "times": 3}, {}),
    ("nano-banana-2.1", 0, {"what": "text_only", "times": 1}, {"num_images": 3}),
    ("nano-banana-2.1", 0, {"what": "image_safety", "times": 1}, {"num_images": 2}),
    ("nano-banana-2.1", 0, {"what": "blocked"}, {}),
    ("nano-banana-2.1", 0, {"what": "max_tokens"}, {}),
    ("nano-banana-2.1", 0, {"what": "error", "status": 503, "times": 1}, {}),
    ("veo-3.1-lite", 1, {"what": "blocked"}, {}),
    ("veo-3.1-lite", 1, {"what": "error", "status": 500, "times": 1}, {}),
    ("veo-3.1-lite", 1, {"what": "drop", "call": "submit", "times": 1}, {}),
    ("claude-haiku-5-5", 0, {"what": "drop", "call": "submit", "times": 1}, {}),
    ("claude-haiku-5-5", 0, {"what": "bad_schema", "times": 1}, {}),
    ("claude-haiku-5-5", 0, {"what": "blocked"}, {}),
    ("claude-haiku-5-5", 0, {"what": "max_tokens"}, {}),
    ("gemini-3.8-flash", 0, {"what": "drop", "call": "submit", "times": 1}, {}),
    ("gemini-3.8-flash", 0, {"what": "max_tokens"}, {}),
    ("gemini-3.8-flash", 1, {"what": "bad_schema", "times": 1}, {}),
]


async def test_what_was_lost_failed_or_refused_is_within_its_bounds(bench: Bench, subtests: pytest.Subtests) -> None:
    for name, number, fault, given in FAULTS:
        model = CATALOGUE.find(name)
        route = model.routes[number]
        with subtests.test(model=name, route=number, fault=fault, given=given):
            bench.twin.http.post("/_twin/reset").raise_for_status()
            bench.script(route, **fault)
            row, billed = await bench.run(model.task[0], model, route, scripted=True, **given)
            total = total_cost(row)
            assert agrees(total, billed) and total.upper_usd is not None, (total, billed, row.attempts)
            if fault["what"] == "drop":
                assert (total.certainty, billed is not None and billed > 0) == ("estimated", True)


async def test_a_run_that_is_cancelled_costs_what_it_bills(bench: Bench, subtests: pytest.Subtests) -> None:
    for name, number in (("flux-schnell", 0), ("veo-3.1-lite", 1)):
        for queue_seconds in (0.0, 60.0):
            model = CATALOGUE.find(name)
            with subtests.test(model=name, queue_seconds=queue_seconds):
                row, billed = await bench.cancelled(model.task[0], model, model.routes[number], queue_seconds)
                assert row.ending == Stage.CANCELLED and row.receipt
                assert row.receipt.total_cost == total_cost(row)
                assert agrees(total_cost(row), billed), (total_cost(row), billed)
                if name == "flux-schnell" and queue_seconds:
                    assert total_cost(row).usd == 0 and total_cost(row).certainty == "exact"
