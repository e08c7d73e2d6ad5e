"""What the twin billed for Google and Anthropic, as `kilnhand audit` reads it."""

import time

import pytest

from config.settings import AnthropicSettings, GoogleSettings, Settings
from tests.contract.providers.conftest import Twin
from worker.cli.commands.audit_twin import biller, twin_sums

MODEL = "gemini-3.8-flash"


def settings(twin: Twin | None, other: str | None = None) -> Settings:
    google = GoogleSettings(google_base_url=f"{twin.url}/google" if twin else other)
    anthropic = AnthropicSettings(anthropic_base_url=f"{twin.url}/anthropic" if twin else None)
    return Settings(google=google, anthropic=anthropic)


def caption(twin: Twin) -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "a fox"}]}]}
    path = f"/google/v1beta/models/{MODEL}:generateContent"
    twin.http.post(path, json=body, headers={"x-goog-api-key": "local"}, timeout=20).raise_for_status()


def test_the_twins_calls_are_summed_by_model(twin: Twin) -> None:
    before = time.time() - 1
    for _ in range(2):
        caption(twin)
    (found,) = twin_sums(settings(twin), before, time.time() + 1) or []
    records = twin.http.get("/_twin/requests", params={"provider": "google"}).json()["requests"]
    assert (found.provider, found.endpoint, found.calls) == ("google", MODEL, 2)
    assert found.usd == pytest.approx(sum(record["billed"]["usd"] for record in records)) and found.usd > 0
    assert twin_sums(settings(twin), before - 60, before) == []


@pytest.mark.parametrize("base", [None, "http://127.0.0.1:1/google"])
def test_without_a_twin_there_are_no_sums(base: str | None) -> None:
    assert twin_sums(settings(None, base), 0, time.time()) is None


def test_vertex_and_gemini_have_one_bill() -> None:
    assert [biller(name) for name in ("vertex", "gemini", "anthropic")] == ["google", "google", "anthropic"]
