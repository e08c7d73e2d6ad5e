"""Ten thousand hostile requests, by `delay()` and by plain messages: each is refused with a message, or is a valid job."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Task
from celery.app.task import Context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.mapping import arguments_for
from tasks.generation import text_to_image
from tasks.training import lora
from tasks.video import image_to_video
from worker.edge import sending
from worker.edge.app import app
from worker.edge.task import JobTask, catalogue
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

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(allow_nan=True, allow_infinity=True), st.text(max_size=30), st.sampled_from(WORDS), st.binary(max_size=10),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(max_size=10)), inner, max_size=4),
    ),
    max_leaves=6,
)
names = st.one_of(st.sampled_from(FIELDS), st.text(max_size=20))
payloads = st.tuples(
    st.sampled_from(TASKS),
    st.dictionaries(names, values, max_size=8),
    st.booleans(),  # with a valid prompt, so that the other fields are checked
    st.lists(values, max_size=2),
)
MANY = settings(
    max_examples=5_000, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)


class Recorder:
    """Stands for ledger and broker, and records the rows and messages."""

    def __init__(self) -> None:
        self.rows: list[Job] = []
        self.messages: list[Any] = []

    def send(self, job: Job, wait_s: float, key: object = None) -> str:
        self.rows.append(load_job(dump_job(job)))
        return job.id

    def now(self) -> float:
        return 1000.0

    def refuse(self, job_id: str, key: object = None) -> None:
        return None

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


def request_of(chosen: Any) -> tuple[JobTask, dict[str, Any], list[Any]]:
    task, fields, with_prompt, args = chosen
    return task, {**({"prompt": "a kiln"} if with_prompt else {}), **fields}, args


def test_delay_refuses_or_sends_and_leaves_nothing_of_what_it_refuses(recorder: Recorder) -> None:
    @MANY
    @given(payloads)
    def hold(chosen: Any) -> None:
        task, fields, _ = request_of(chosen)
        before = len(recorder.rows), len(recorder.messages)
        try:
            task.apply_async(kwargs=fields)
        except InvalidRequestError as refusal:
            assert str(refusal).startswith(task.name), refusal
            assert (len(recorder.rows), len(recorder.messages)) == before
        else:
            assert (len(recorder.rows), len(recorder.messages)) == (before[0] + 1, before[1] + 1)

    hold()
    assert recorder.messages, "some must be valid, otherwise the test shows nothing"


def test_a_bare_message_is_refused_or_becomes_a_row_that_can_be_submitted(recorder: Recorder) -> None:
    @MANY
    @given(payloads)
    def hold(chosen: Any) -> None:
        task, fields, args = request_of(chosen)
        before = len(recorder.rows)
        message = Context({"id": "a", "task": task.name, "args": args, "kwargs": fields, "delivery_info": {}})
        try:
            task.accept(message, tuple(args), fields)
        except InvalidRequestError:
            assert len(recorder.rows) == before
        else:
            step = recorder.rows[-1].step
            arguments_for(catalogue().find(step.model).routes[0], step.arguments, step.extra)

    hold()
    assert recorder.rows, "some must be valid, otherwise the test shows nothing"
