from pathlib import Path

import pytest

from config.settings import FalSettings, Settings
from worker.cli.commands.doctor_checks import check_fal
from worker.cli.commands.up import up
from worker.cli.errors import CliError
from worker.cli.processes.ports import free_port
from worker.cli.processes.up_plan import Ports, UpPlan, plan_demo, plan_up

ANY = Ports(0, 0, 0, 0)


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fal = ("FAL_KEY", "FAL_KEY_ID", "FAL_API_KEY")
    google = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GOOGLE_API_KEY", "GEMINI_API_KEY")
    ours = ("KILNHAND_REDIS_URL", "KILNHAND_GOOGLE_BASE_URL", "KILNHAND_ANTHROPIC_BASE_URL")
    for name in (*fal, *google, *ours, "ANTHROPIC_API_KEY", "FLOWER_BASIC_AUTH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def planned(tmp_path: Path) -> UpPlan:
    return plan_up(tmp_path / ".kilnhand", ANY, Settings())


def test_without_settings_every_process_is_started(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert plan.processes == ("redis", "twin", "worker", "gateway", "flower")
    assert plan.environment["KILNHAND_FAL_BASE_URL"] == plan.addresses.twin_url
    assert "the twin simulates fal.ai, because no fal key was found" in plan.notes[0]
    assert plan.environment["KILNHAND_GOOGLE_BASE_URL"] == f"{plan.addresses.twin_url}/google"
    assert plan.environment["KILNHAND_ANTHROPIC_BASE_URL"] == f"{plan.addresses.twin_url}/anthropic"
    assert plan.notes[1] == "the twin also simulates Anthropic, Google"


def test_the_twin_does_not_simulate_a_vendor_with_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("GEMINI_API_KEY=a9f3c07be2d4518x\n")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a9f3c07be2d4518x")
    plan = planned(tmp_path)
    assert "twin" in plan.processes and len(plan.notes) == 1
    assert not {"KILNHAND_GOOGLE_BASE_URL", "KILNHAND_ANTHROPIC_BASE_URL"} & set(plan.environment)


def test_with_a_fal_key_there_is_no_twin_and_a_note_about_the_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAL_KEY", "name:a9f3c07be2d4518x")
    plan = planned(tmp_path)
    assert "twin" not in plan.processes and "KILNHAND_FAL_BASE_URL" not in plan.environment
    assert plan.notes == ("fal.ai is the real one, with the key of FAL_KEY: jobs cost money",)


def test_a_fal_key_without_a_colon_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAL_KEY", "a9f3c07be2d4518x")
    assert planned(tmp_path).notes[1] == (
        "the key of FAL_KEY has no colon: fal's keys are <id>:<secret>: copy the whole key"
    )
    check = check_fal(FalSettings())
    assert (check.verdict, check.advice) == ("note", "fal's keys are <id>:<secret>: copy the whole key")


def test_a_redis_url_that_is_set_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILNHAND_REDIS_URL", "redis://elsewhere:6379/3")
    plan = planned(tmp_path)
    assert "redis" not in plan.processes
    assert plan.environment["KILNHAND_REDIS_URL"] == "redis://elsewhere:6379/3"
    assert "KILNHAND_LEDGER_URL" not in plan.environment


def test_urls_from_a_dotenv_file_stay(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KILNHAND_PUBLIC_URL=https://files.example\nKILNHAND_SECRET=a9f3c07be2d4518x\n")
    plan = planned(tmp_path)
    assert "KILNHAND_PUBLIC_URL" not in plan.environment, "the children read .env themselves"
    assert plan.environment["KILNHAND_SECRET"] == "a9f3c07be2d4518x"


def test_the_demo_uses_nothing_that_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = {
        "FAL_KEY": "name:a9f3c07be2d4518x", "GEMINI_API_KEY": "a9f3c07be2d4518x",
        "ANTHROPIC_API_KEY": "a9f3c07be2d4518x", "KILNHAND_REDIS_URL": "redis://elsewhere/0",
        "KILNHAND_STORE_URL": "s3://bucket/here", "KILNHAND_FAL_BASE_URL": "https://elsewhere",
    }  # fmt: skip
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    plan = plan_demo(tmp_path / ".kilnhand", ANY)
    assert plan.processes == ("redis", "twin", "worker", "gateway", "flower")
    assert not set(plan.environment.items()) & set(foreign.items())
    assert not {"FAL_KEY", "GEMINI_API_KEY", "ANTHROPIC_API_KEY"} & set(plan.environment)
    assert plan.environment["KILNHAND_GOOGLE_BASE_URL"] == f"{plan.addresses.twin_url}/google"
    assert plan.environment["KILNHAND_BROKER_URL"] == plan.addresses.redis_url
    assert plan.cwd != Path.cwd(), "the children read no .env and no fal-config.ini of the caller"


def test_secrets_are_created_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = planned(tmp_path).addresses, planned(tmp_path).addresses
    assert (first.secret, first.flower_auth) == (second.secret, second.flower_auth)
    assert len(first.secret) == 64
    monkeypatch.setenv("FLOWER_BASIC_AUTH", "me:mine")
    assert planned(tmp_path).addresses.flower_auth == "me:mine"


@pytest.mark.parametrize("is_set_in", ["environment", ".env"])
def test_a_redis_that_does_not_answer_is_named_at_once(
    is_set_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    if is_set_in == "environment":
        monkeypatch.setenv("KILNHAND_REDIS_URL", url)
    else:
        (tmp_path / ".env").write_text(f"KILNHAND_REDIS_URL={url}\n")
    with pytest.raises(CliError, match=r"no Redis answers at 127\.0\.0\.1:\d+: start it, or unset KILNHAND_REDIS_URL"):
        up(ANY, demo=False, once=False)
