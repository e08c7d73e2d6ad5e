"""`kilnhand doctor` tells a wrong key (401) from a key that lacks a permission (403)."""

import httpx
import pytest

from config.settings import FalSettings
from worker.cli.commands import doctor_fal


def checks(monkeypatch: pytest.MonkeyPatch, status: int) -> dict[str, str]:
    answer = httpx.MockTransport(lambda request: httpx.Response(status, json={"error": {"message": "no"}}))
    monkeypatch.setattr(doctor_fal, "open_transport", lambda size: answer)
    monkeypatch.setenv("FAL_KEY", "id:secret")
    found = doctor_fal.check_fal_access(FalSettings())
    return {check.name: f"{check.verdict}: {check.detail}" for check in found}


def test_a_wrong_key_is_one_line_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checks(monkeypatch, 401) == {
        "fal key": "broken: fal refused the key from FAL_KEY (HTTP 401): it is wrong or was revoked"
    }


def test_a_missing_permission_is_still_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = checks(monkeypatch, 403)
    assert "permission models:requests:read" in found["fal list"]
    assert "permission billing:usage:read" in found["fal billing"]
