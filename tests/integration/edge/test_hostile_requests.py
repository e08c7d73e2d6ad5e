"""Ten thousand hostile requests, by `delay()` and by plain messages: each is refused with a message, or is a valid job.

They are drawn from a seed: parameters of ours and invented ones, with values of every type and depth.
"""

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest
from celery import Task
from celery.app.task import Context

from config.mapping import arguments_for
from tasks.generation import text_to_image
from tasks.training import lora
from tasks.video import image_to_video
from worker.edge import sending
from worker.edge.app import app
from worker.edge.job_task import JobTask, catalogue
from worker.errors import InvalidRequestError
from worker.jobs.job import Job, dump_job, load_job

TASKS: list[JobTask] = [text_to_image, lora, image_to_video]
FIELDS = [
    *sorted({name for task in TASKS for name in task.asks.model_fields}),
    "tenant", "labels", "deadline_s", "priority", "idempotency_key", "task_id", "self", "args", "kwargs", "__class__",
]  # fmt: skip
WORDS = [
    "", " ", "\x00", "\ud800", "../../etc/passwd", "flux-schnell", "flux-lora", "fal-ai/flux/schnell", "a/b", "square",
    "http://127.0.0.1/x", "https://example.com/a.png", "https://u:p@example.com", "data:image/png;base64,AAAA",
    "javascript:alert(1)", "file:///etc/passwd", "{}", "NaN", "1e999", "x" * 5000, "💥" * 100, "${jndi:ldap://x}",
]  # fmt: skip

COUNT = 5_000  # by each of the two ways


def integer(random: Random) -> int:
    return random.choice(
        [random.randint(-9, 9), random.randint(-(2**70), 2**70), random.choice([1, -1]) * 2 ** random.randint(0, 90)]
    )


def real(random: Random) -> float:
    (any_bits,) = struct.unpack("<d", random.randbytes(8))
    return random.choice(
        [0.0, -0.0, 1.0, 0.1, 5e-324, 1.7e308, math.inf, -math.inf, math.nan, random.uniform(-2, 2), any_bits]
    )


def text(random: Random, most: int = 30) -> str:
    """Any characters but surrogates: of those there is one among the words."""
    highest = random.choice([0x7F, 0xFF, 0xD7FF, 0x10FFFF])
    signs = (random.randint(0, highest) for _ in range(random.randint(0, most)))
    return "".join(chr(sign) for sign in signs if not 0xD800 <= sign <= 0xDFFF)


def scalar(random: Random) -> Any:
    kinds = [lambda _: None, lambda r: r.choice([True, False]), integer, real, text, lambda r: r.choice(WORDS),
             lambda r: r.randbytes(r.randint(0, 10))]  # fmt: skip
    return random.choice(kinds)(random)


def value(random: Random, depth: int = 3) -> Any:
    match random.randrange(4 if depth else 2):
        case 0 | 1:
            return scalar(random)
        case 2:
            return [value(random, depth - 1) for _ in range(random.randint(0, 4))]
        case _:
            return {name(random): value(random, depth - 1) for _ in range(random.randint(0, 4))}


def name(random: Random) -> str:
    return random.choice(FIELDS) if random.random() < 0.7 else text(random, 20)


def hostile_request(random: Random) -> tuple[JobTask, dict[str, Any], list[Any]]:
    """A task, parameters and positional arguments; every second one has a good prompt, so that other fields decide."""
    good = {"prompt": "a kiln"} if random.random() < 0.5 else {}
    fields = {name(random): value(random) for _ in range(random.choice([0, 1, 1, 2, 3, 8]))}
    return random.choice(TASKS), {**good, **fields}, [value(random) for _ in range(random.choice([0, 0, 0, 1, 2]))]


@contextmanager
def shown(number: int, task: JobTask, fields: dict[str, Any]) -> Iterator[None]:
    """Adds the request to any error inside."""
    try:
        yield
    except Exception as error:
        error.add_note(f"request {number}: {task.name} {fields!r}")
        raise


class Recorder:
    """Stands for ledger and broker, and records the rows and messages."""

    def __init__(self) -> None:
        self.rows: list[Job] = []
        self.messages: list[Any] = []

    def send(self, job: Job, wait_s: float, key: object = None) -> str:
        self.rows.append(load_job(dump_job(job)))
        return job.id

    def take_share(self, queue: str, tenant: str) -> bool:
        return True

    def now(self) -> float:
        return 1000.0

    def refuse(self, job_id: str, key: object = None, sent_at: float | None = None) -> bool:
        return True

    def accept(self, job: Job, key: object = None) -> tuple[bool, Job]:
        self.rows.append(load_job(dump_job(job)))
        return True, job


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    recorder = Recorder()
    monkeypatch.setattr(sending, "producer", lambda: recorder)
    monkeypatch.setattr(Task, "apply_async", lambda self, args, kwargs, **options: recorder.messages.append(kwargs))
    monkeypatch.setattr(app, "job_service", recorder, raising=False)
    yield recorder


def test_delay_refuses_or_sends_and_leaves_nothing_of_what_it_refuses(recorder: Recorder) -> None:
    random = Random(1)
    for number in range(COUNT):
        task, fields, _ = hostile_request(random)
        before = len(recorder.rows), len(recorder.messages)
        with shown(number, task, fields):
            try:
                task.apply_async(kwargs=fields)
            except InvalidRequestError as refusal:
                assert str(refusal).startswith(task.name), refusal
                assert (len(recorder.rows), len(recorder.messages)) == before
            else:
                assert (len(recorder.rows), len(recorder.messages)) == (before[0] + 1, before[1] + 1)

    assert len(recorder.messages) > COUNT / 100, "some must be valid, otherwise the test shows nothing"


def test_a_bare_message_is_refused_or_becomes_a_row_that_can_be_submitted(recorder: Recorder) -> None:
    random = Random(2)
    for number in range(COUNT):
        task, fields, args = hostile_request(random)
        before = len(recorder.rows)
        message = Context({"id": "a", "task": task.name, "args": args, "kwargs": fields, "delivery_info": {}})
        with shown(number, task, fields):
            try:
                task.accept(message, tuple(args), fields)
            except InvalidRequestError:
                assert len(recorder.rows) == before
            else:
                step = recorder.rows[-1].step
                arguments_for(catalogue().find(step.model).routes[0], step.arguments, step.extra)

    assert len(recorder.rows) > COUNT / 100, "some must be valid, otherwise the test shows nothing"
