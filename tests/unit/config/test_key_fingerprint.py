"""The fingerprint of a key changes with the key, and shows nothing of it."""

import pytest

from config.keys.fingerprint import key_fingerprints
from config.settings import Settings
from worker.providers.table import PROVIDERS


def of_fal(monkeypatch: pytest.MonkeyPatch, key: str, secret: str = "k7Qm2xV9tR4wZ8pL") -> str:
    monkeypatch.setenv("FAL_KEY", key)
    monkeypatch.setenv("KILNHAND_SECRET", secret)
    return key_fingerprints(Settings())["fal"]


def test_it_changes_with_the_key_and_with_our_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    first = of_fal(monkeypatch, "id:secret-one")
    assert first == of_fal(monkeypatch, "id:secret-one")
    assert first != of_fal(monkeypatch, "id:secret-two")
    assert first != of_fal(monkeypatch, "id:secret-one", secret="B3nY6cJ1hF5dS0gK")


def test_it_shows_nothing_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    found = of_fal(monkeypatch, "id:secret-one")
    assert len(found) == 16 and "secret" not in found


def test_every_provider_with_a_key_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAL_KEY", "GEMINI_API_KEY", "ANTHROPIC_API_KEY", "GOOGLE_CLOUD_PROJECT"):
        monkeypatch.setenv(name, "an-id:a-secret")
    assert key_fingerprints(Settings()).keys() == PROVIDERS.keys() - {"local"}


def test_the_twin_without_a_key_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = of_fal(monkeypatch, "id:secret-one")
    monkeypatch.delenv("FAL_KEY")
    monkeypatch.setenv("KILNHAND_FAL_BASE_URL", "http://127.0.0.1:9100")
    assert key_fingerprints(Settings())["fal"] not in {refused, ""}
