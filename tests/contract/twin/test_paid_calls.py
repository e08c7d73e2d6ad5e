"""The store of paid calls has a limit, and the twin runs without the SDKs."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from twin.app import create_app
from twin.file_store import FileStore
from twin.paid_calls import Answer, CallDetails, CallStore, PaidCall
from twin.picture import Picture
from twin.script import Provider
from twin.server import in_thread

GENERATE = "/google/v1/models/{}:generateContent"


class Clock:
    """A clock that a test sets."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def files() -> Iterator[FileStore]:
    store = FileStore()
    yield store
    store.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def take(call_store: CallStore, files: FileStore, name: str, ends_at: float | None, text: str = "") -> PaidCall:
    path = files.add_generated(Picture(16, 16, "png", "m", "a", 1), "m", ".png")
    call = call_store.accept(CallDetails(Provider.GOOGLE, "m", name, "account", {"text": text}), 1.0, None)
    call_store.end(call, Answer({}, {}, usd=1.0, files=(path,)), ends_at)
    return call


def test_the_oldest_call_is_dropped_with_its_files(files: FileStore, clock: Clock) -> None:
    call_store = CallStore(files, clock, max_kept=3)
    for number in range(5):
        take(call_store, files, str(number), clock.now)

    assert [call.details.request_id for call in call_store.calls()] == ["2", "3", "4"] and files.generated_count == 3
    assert call_store.accepted_count() == 5 and call_store.find("0") is None
    call_store.clear()
    assert files.generated_count == call_store.accepted_count() == 0


def test_an_operation_under_way_outlives_newer_ended_ones(files: FileStore, clock: Clock) -> None:
    call_store = CallStore(files, clock, max_kept=2)
    take(call_store, files, "running", clock.now + 60)
    for number in range(4):
        take(call_store, files, str(number), clock.now)

    assert [call.details.request_id for call in call_store.calls()] == ["running", "3"]


def test_calls_share_a_budget_of_bytes(files: FileStore, clock: Clock) -> None:
    call_store = CallStore(files, clock, max_kept_bytes=5_000)
    for number in range(6):
        take(call_store, files, str(number), clock.now, "x" * 1_500)

    assert [call.details.request_id for call in call_store.calls()] == ["3", "4", "5"]


def test_a_record_has_its_answer_after_the_end(files: FileStore, clock: Clock) -> None:
    call_store = CallStore(files, clock)
    call = take(call_store, files, "a", clock.now + 5)

    assert call_store.describe(call)["state"] == "IN_PROGRESS" and call_store.describe(call)["billed"]["usd"] == 0
    clock.now += 5
    assert call_store.describe(call)["state"] == "COMPLETED" and call_store.describe(call)["billed"]["usd"] == 1


def test_a_record_has_the_fields_of_fals(twin: Any) -> None:
    twin.submit()
    body = {"contents": [{"parts": [{"text": "x"}]}]}
    twin.http.post(GENERATE.format("gemini-3.8-flash"), json=body, headers={"x-goog-api-key": "k"})
    first, second = twin.requests()

    assert first.keys() == second.keys() and {first["provider"], second["provider"]} == {"fal", "google"}


def test_an_app_keeps_a_limited_number_of_calls(twin: Any) -> None:
    with in_thread(create_app(max_kept=2)) as server:
        small = type(twin)(server.url)
        small.pace(seconds=0)
        body = {"contents": [{"parts": [{"text": "x"}]}]}
        for _ in range(4):
            answer = small.http.post(GENERATE.format("gemini-3.8-flash"), json=body, headers={"x-goog-api-key": "k"})
            assert answer.status_code == 200
        assert len(small.requests()) == 2 and small.count() == 4
        small.http.close()


def test_the_twin_runs_without_the_sdks() -> None:
    code = "import sys, twin.__main__; print(sorted({'anthropic', 'google.genai', 'google.auth', 'httpx2'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"
