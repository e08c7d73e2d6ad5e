"""`kilnhand models check` against the twin: the catalogue agrees with its lists, and what is changed there is found."""

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from config.catalogue import load_catalogue
from tests.contract.providers.conftest import Twin
from worker.cli.commands import models_check
from worker.cli.errors import CliError
from worker.cli.main import app
from worker.providers.fal.catalogue_check import endpoints_of

DEV, SDXL, SCHNELL = "fal-ai/flux/dev", "fal-ai/fast-sdxl", "fal-ai/flux/schnell"


@pytest.fixture
def check(twin: Twin, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    monkeypatch.chdir(tmp_path)  # no running stack
    monkeypatch.setenv("KILNHAND_FAL_BASE_URL", twin.url)

    def run(*options: str, **platform: Any) -> Result:
        twin.http.post("/_twin/platform", json=platform).raise_for_status()
        return CliRunner().invoke(app, ["models", "check", *options])

    return run


def test_the_catalogue_agrees_with_the_lists(check: Any) -> None:
    ran = check()
    assert ran.exit_code == 0, ran.output
    assert "no difference" in ran.stdout


def test_what_vanished_or_is_deprecated_or_costs_more_is_told_with_status_1(check: Any) -> None:
    ran = check("--json", unlisted=[SDXL], deprecated=[SCHNELL], unit_prices={DEV: 0.03})
    found = {each["endpoint"]: each for each in json.loads(ran.stdout)["differences"]}
    assert ran.exit_code == 1
    assert {name: each["kind"] for name, each in found.items()} == {
        SDXL: "vanished", SCHNELL: "deprecated", DEV: "price",
    }  # fmt: skip
    assert found[DEV]["text"] == "fal lists 0.03 USD per megapixel; the catalogue has 0.025 USD per megapixel"
    assert found[DEV]["models"] == ["flux-dev"]


def test_a_list_that_cannot_be_read_is_status_2(check: Any, twin: Twin) -> None:
    twin.script(call="platform", what="http", status=503)
    error = check().exception
    assert isinstance(error, CliError) and error.status == 2 and "HTTP 503" in error.message
    assert check().exit_code == 0


def test_without_a_key_only_the_list_of_models_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        rows = [{"endpoint_id": name, "metadata": {}} for name in endpoints_of(load_catalogue())]
        return httpx.Response(200, json={"models": rows, "has_more": False})

    # fal itself is asked where no base URL is set, so the transport is replaced, and this machine's key is not used
    monkeypatch.setattr(models_check, "open_transport", lambda count: httpx.MockTransport(answer))
    monkeypatch.setattr(models_check, "find_fal_key", lambda: None)
    ran = CliRunner().invoke(app, ["models", "check", "--json"])
    assert ran.exit_code == 2 and "FAL_KEY" in json.loads(ran.stdout)["prices_not_read"]
    assert [request.url.path for request in asked] == ["/v1/models"] and "authorization" not in asked[0].headers
