"""`kilnhand providers`, and the health check of `kilnhand doctor`. The circuits are in a real Redis."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.settings import Settings
from worker.cli.commands.doctor_checks import check_health
from worker.cli.errors import CliError
from worker.cli.main import app
from worker.cli.processes.ports import free_port
from worker.health.base import Policy
from worker.health.redis import open_redis_health
from worker.health.verdict import GOOD, Verdict
from worker.providers.table import what_to_set

RUN = CliRunner(env={"COLUMNS": "160"})
SHUT = Verdict("locked")
GOOGLE = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_API_KEY",
    "GEMINI_API_KEY",
    "ANTHROPIC_API_KEY",
)


@pytest.fixture(autouse=True)
def _stack(redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A folder without `.env`, a home folder without keys, and this Redis."""
    monkeypatch.chdir(tmp_path)
    for name in ("FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "FAL_API_KEY", "KILNHAND_FAL_BASE_URL", *GOOGLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KILNHAND_REDIS_URL", redis_url)
    yield


def record_verdicts(redis_url: str, *verdicts: tuple[str, Verdict]) -> None:
    async def record() -> None:
        health = open_redis_health(redis_url, Policy())
        for model, verdict in verdicts:
            await health.record("fal", model, verdict, None)
        await health.acquire("fal", "flying", 60)
        await health.aclose()

    asyncio.run(record())


def test_a_provider_without_a_circuit_is_shown_with_what_to_set() -> None:
    ran = RUN.invoke(app, ["providers"])
    assert ran.exit_code == 0
    assert re.search(r"^fal +no +closed +– +– +0 +–", ran.stdout, re.MULTILINE)
    assert "fal: no fal key: set FAL_KEY=<id>:<secret>" in ran.stdout
    assert "enabled here" in ran.stdout.splitlines()[0], "this shell does not know what is enabled in the workers"


def test_circuits_failures_and_pauses_are_shown(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "name:a9f3c07be2d4518x")
    monkeypatch.setenv("KILNHAND_PROVIDER_CONCURRENCY", "fal=20")
    record_verdicts(redis_url, *[("flux-dev", Verdict("bad"))] * 5, ("sdxl", GOOD), ("sdxl", Verdict("limited", 60)))
    ran = RUN.invoke(app, ["providers"])
    time = r"\d\d:\d\d:\d\d UTC"
    assert re.search(rf"^fal +yes +closed +– +5 of 6 +0 of 20 +{time} *$", ran.stdout, re.MULTILINE), ran.stdout
    assert re.search(rf"^  flux-dev +open \(failures\) +{time} +5 of 5 +– *$", ran.stdout, re.MULTILINE)
    assert re.search(r"^  sdxl +closed +– +0 of 1 +– *$", ran.stdout, re.MULTILINE)
    assert "a9f3c07be2d4518x" not in ran.stdout


def test_json_output_is_one_object(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILNHAND_FAL_BASE_URL", "http://127.0.0.1:1")
    record_verdicts(redis_url, ("m", Verdict("forbidden")))
    fal, *others = json.loads(RUN.invoke(app, ["providers", "--json"]).stdout)["providers"]
    assert [("fal", True), *((other["provider"], other["enabled"]) for other in others)] == [
        (name, lack is None) for name, lack in what_to_set(Settings()).items()
    ]
    assert {"vertex", "gemini", "anthropic"} <= {other["provider"] for other in others if not other["enabled"]}
    (model,) = fal.pop("models")
    assert fal == {
        "enabled": True, "what_to_set": None, "provider": "fal", "stand": "closed", "cause": None, "open_until": None,
        "failures": 0, "answers": 0, "paused_until": None, "in_flight": 1,
    }  # fmt: skip
    assert model.pop("open_until") > 1e9
    assert model == {
        "model": "m", "stand": "open", "cause": "forbidden", "failures": 0, "answers": 0, "paused_until": None,
    }  # fmt: skip


def test_without_redis_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILNHAND_REDIS_URL", f"redis://:hunter22@127.0.0.1:{free_port()}/0")
    ran = RUN.invoke(app, ["providers"])
    assert isinstance(ran.exception, CliError)
    assert "set KILNHAND_REDIS_URL" in ran.exception.message and "hunter22" not in ran.exception.message


def test_doctor_shows_open_circuits_and_when_a_person_must_act(redis_url: str) -> None:
    assert [(check.name, check.verdict) for check in check_health(Settings())] == [("health", "ok")]
    record_verdicts(redis_url, ("m", SHUT), ("n", Verdict("retired")), ("n", Verdict("limited", 60)))
    locked, retired = check_health(Settings())
    assert re.fullmatch(r"fal: circuit open \(locked\) until \d\d:\d\d:\d\d UTC", locked.detail)
    assert locked.verdict == "note" and "the key or the account" in locked.advice
    assert retired.detail.startswith("fal: n: circuit open (retired) until")
