"""fal locks the account: one alert for two workers, the circuit opens, jobs go elsewhere, and come back when it is mended."""

import gc
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery.result import ResultSet

from tasks.generation import text_to_image
from tests.acceptance.conftest import Twin, point_producer_at
from worker.cli.processes.stack import Stack, run_stack

LOCKED = {"status": 403, "body": {"detail": "User is locked. Reason: Exhausted balance."}}
CIRCUIT = "kilnhand:health:circuit:fal"


@pytest.fixture
def two(tmp_path: Path, _patch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """Two workers that may ask fal and Google."""
    with run_stack(tmp_path, processes=("redis", "twin")) as stack:
        for name in ("worker", "worker-2"):
            stack.start_worker(name, env={"KILNHAND_GOOGLE_BASE_URL": f"{stack.twin_url}/google"})
        point_producer_at(stack, _patch)
        Twin(stack.twin_url).pace(seconds=0.1)
        yield stack
        gc.collect()  # results that are collected later would look for their Redis in vain


def make(count: int) -> list[dict[str, Any]]:
    jobs = [text_to_image.delay(prompt=f"job {n}") for n in range(count)]
    return list(ResultSet(jobs).get(timeout=120))


def served_by(results: list[dict[str, Any]]) -> dict[str, int]:
    return dict(Counter(result["provenance"]["provider"] for result in results))


def errors(results: list[dict[str, Any]]) -> set[str | None]:
    return {tried["error"] for result in results for tried in result["provenance"]["tried"]}


def told(stack: Stack, event: str) -> list[dict[str, Any]]:
    """The lines of all workers' logs that tell of this event."""
    lines = [line for name in ("worker", "worker-2") for line in stack[name].log_text().splitlines()]
    found = [json.loads(line) for line in lines if line.startswith("{") and f'"{event}"' in line]
    return [line for line in found if line["event"] == event]


def shown(stack: Stack) -> dict[str, Any]:
    """What `kilnhand providers` says of fal."""
    command = [sys.executable, "-m", "worker.cli", "providers", "--json"]
    ran = subprocess.run(command, env=stack.environment, cwd=stack.folder, capture_output=True, text=True, check=True)
    return next(each for each in json.loads(ran.stdout)["providers"] if each["provider"] == "fal")


def both_have_ended_jobs(stack: Stack) -> bool:
    return all("job_ended" in stack[name].log_text() for name in ("worker", "worker-2"))


def the_time_is_up(stack: Stack) -> None:
    """What 300 s do: the circuit's end lies in the past. How long a lock is believed is no setting."""
    with redis.Redis.from_url(stack.redis_url) as client:
        assert client.hget(CIRCUIT, "until"), "the circuit is open"
        client.hset(CIRCUIT, "until", int(time.time() * 1000) - 1)


def test_a_locked_account_is_told_once_and_jobs_go_elsewhere_until_it_is_mended(two: Stack) -> None:
    twin = Twin(two.twin_url)
    twin.script(provider="fal", call="submit", what="http", times=-1, **LOCKED)
    began = time.time()
    results = make(24)
    while not both_have_ended_jobs(two):  # on a busy machine one of them takes all
        assert time.time() < began + 240
        results += make(8)
    assert served_by(results) == {"vertex": len(results)}
    assert errors(results) == {"account_locked", None}, "nobody calls it a bad key"
    assert Counter(request["provider"] for request in twin.requests()) == {"google": len(results)}
    assert [(line["provider"], line["cause"]) for line in told(two, "provider_alert")] == [("fal", "locked")]
    fal = shown(two)
    assert (fal["stand"], fal["cause"]) == ("open", "locked")
    assert began + 299 < fal["open_until"] < time.time() + 301, "for 300 s"

    asked_in_vain = len([tried for result in make(8) for tried in result["provenance"]["tried"] if tried["error"]])
    assert asked_in_vain == 0, "an open circuit is not asked"
    the_time_is_up(two)
    assert (served_by(make(1)), shown(two)["stand"]) == ({"vertex": 1}, "open"), "a probe found it locked still"
    assert len(told(two, "provider_alert")) == 1, "which is no news"

    twin.reset()
    twin.pace(seconds=0.1)
    the_time_is_up(two)
    assert served_by(make(1)) == {"fal": 1}, "a probe found it mended"
    assert shown(two)["stand"] == "closed"
    assert len(told(two, "circuit_closed")) == 1
    assert served_by(make(8)) == {"fal": 8}
    assert Counter(request["provider"] for request in twin.requests()) == {"fal": 9}
