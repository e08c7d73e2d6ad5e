"""docker-compose.yml is valid, closed to the outside, and offers every setting."""

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from config.settings import GROUPS, GoogleSettings, StoreSettings, variable
from tests.unit.deploy.compose_file import NEEDED, ROOT, TEXT, Refused, environment, read

SCHEMA = json.loads((Path(__file__).parent / "compose_spec.json").read_text(encoding="utf-8"))
SETTINGS = {variable(group, name) for group in GROUPS for name in group.model_fields}
COMPOSE_ONLY = {
    "KILNHAND_WORKER_PASSWORD",
    "KILNHAND_GATEWAY_PASSWORD",
    "KILNHAND_GATEWAY_REDIS_URL",
    "KILNHAND_FLOWER_PASSWORD",
    "KILNHAND_FLOWER_REDIS_URL",
    "KILNHAND_WORKERS",
    "KILNHAND_GATEWAY_PUBLISH",
    "KILNHAND_WORKER_MEMORY",
    "KILNHAND_REDIS_MEMORY",
    "KILNHAND_REDIS_MAXMEMORY",
}
VENDORS = {
    "FAL_KEY", "FAL_KEY_ID", "FAL_KEY_SECRET", "FAL_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_GENAI_USE_ENTERPRISE", "GOOGLE_GENAI_USE_VERTEXAI",
}  # fmt: skip


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = read()["services"]
    return found


@pytest.mark.parametrize("content", [yaml.safe_load(TEXT), read()], ids=["as written", "with variables"])
def test_the_file_keeps_to_the_compose_specification(content: Any) -> None:
    errors = jsonschema.Draft7Validator(SCHEMA).iter_errors(content)

    assert [f"{'.'.join(map(str, error.path))}: {error.message}" for error in errors] == []


def test_the_schema_refuses_what_is_wrong() -> None:
    wrong = read()
    wrong["services"]["worker"]["restarts"] = "always"

    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(wrong)


@pytest.mark.parametrize("missing", NEEDED)
def test_it_does_not_start_without_a_secret_and_a_password(missing: str) -> None:
    with pytest.raises(Refused, match=missing):
        read({name: value for name, value in NEEDED.items() if name != missing})


def test_only_the_gateway_and_flower_are_published_and_only_here(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert published == {"gateway": ["127.0.0.1:8080:8080"], "flower": ["127.0.0.1:5555:5555"]}
    assert services["redis"]["networks"] == ["inside"] and read()["networks"]["inside"]["internal"] is True


def test_the_dashboard_is_never_open(services: dict[str, Any]) -> None:
    variables = environment(services["flower"])

    assert variables["FLOWER_BASIC_AUTH"] == NEEDED["FLOWER_BASIC_AUTH"]
    assert "FLOWER_UNAUTHENTICATED_API" not in variables


def test_every_service_has_a_health_check_and_ends_in_its_own_time(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["healthcheck"]["test"], name
        assert service["stop_grace_period"], name
        assert service["restart"] == "unless-stopped", name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_our_services_have_no_rights_that_they_do_not_need(services: dict[str, Any]) -> None:
    for name in services.keys() - {"redis"}:
        assert services[name]["read_only"] is True and services[name]["cap_drop"] == ["ALL"], name


def test_redis_keeps_everything(services: dict[str, Any]) -> None:
    command = " ".join(services["redis"]["command"])

    assert "--appendonly yes" in command and "--maxmemory-policy noeviction" in command
    assert services["redis"]["volumes"] == ["redis:/data"]


def test_every_service_has_a_limit_of_memory_and_redis_stops_writes_below_it(services: dict[str, Any]) -> None:
    limits = {name: megabytes(service["deploy"]["resources"]["limits"]["memory"]) for name, service in services.items()}
    command = services["redis"]["command"]
    most = megabytes(command[command.index("--maxmemory") + 1])

    assert 2 * most <= limits["redis"], "a rewrite of the append-only file may copy every page"
    budgets = StoreSettings(_env_file=None).decode_memory_mb + GoogleSettings(_env_file=None).google_memory_mb  # type: ignore[call-arg]
    assert budgets + 700 <= limits["worker"], "both budgets, and the process with what it reads beside them"
    more = read({**NEEDED, "KILNHAND_WORKER_MEMORY": "4g", "KILNHAND_REDIS_MAXMEMORY": "3gb"})["services"]
    assert more["worker"]["deploy"]["resources"]["limits"]["memory"] == "4g" and "3gb" in more["redis"]["command"]


def megabytes(size: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([mg])b?", size).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 1, "g": 1024}[unit]


def test_replicas_are_a_variable(services: dict[str, Any]) -> None:
    more = read({**NEEDED, "KILNHAND_WORKERS": "4"})["services"]

    assert (services["worker"]["deploy"]["replicas"], more["worker"]["deploy"]["replicas"]) == (1, 4)
    assert "container_name" not in services["worker"]


def test_worker_and_gateway_share_the_folder_of_files_and_its_secret(services: dict[str, Any]) -> None:
    worker, gateway = environment(services["worker"]), environment(services["gateway"])

    for name in ("KILNHAND_SECRET", "KILNHAND_STORE_URL"):
        assert worker[name] == gateway[name] != ""
    folder = str(worker["KILNHAND_STORE_URL"]).removeprefix("file://")
    assert f"files:{folder}" in services["worker"]["volumes"]
    assert f"files:{folder}:ro" in services["gateway"]["volumes"]


def test_the_twin_comes_only_when_asked_for(services: dict[str, Any]) -> None:
    assert [name for name, service in services.items() if "profiles" in service] == ["twin"]
    assert services["twin"]["profiles"] == ["twin"]


def test_every_setting_reaches_a_service_and_no_name_is_made_up(services: dict[str, Any]) -> None:
    given = {name for service in services.values() for name in environment(service)}
    used = given | set(re.findall(r"\$\{(\w+)", TEXT))

    assert SETTINGS - given == set()
    assert {name for name in used if name.startswith("KILNHAND_")} <= SETTINGS | COMPOSE_ONLY


def test_secrets_reach_only_those_who_need_them(services: dict[str, Any]) -> None:
    assert environment(services["worker"]).keys() >= VENDORS
    assert not VENDORS & environment(services["gateway"]).keys()
    assert not {*VENDORS, "KILNHAND_SECRET", "AWS_SECRET_ACCESS_KEY"} & environment(services["flower"]).keys()


def test_named_volumes_and_networks_are_declared(services: dict[str, Any]) -> None:
    content = read()
    named = {volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", ())}

    assert {name for name in named if not name.startswith("/")} == set(content["volumes"])
    assert {name for service in services.values() for name in service["networks"]} == set(content["networks"])


@pytest.mark.parametrize(("age_s", "healthy"), [(None, False), (1, True), (60, False)])
def test_a_worker_is_healthy_while_its_heartbeat_is_young(
    services: dict[str, Any], tmp_path: Path, age_s: float | None, healthy: bool
) -> None:
    beat = tmp_path / "heartbeat"
    if age_s is not None:
        beat.touch()
        os.utime(beat, (time.time() - age_s,) * 2)
    kind, command = services["worker"]["healthcheck"]["test"]
    place = str(environment(services["worker"])["KILNHAND_HEARTBEAT_FILE"])

    ended = subprocess.run(["sh", "-c", command.replace(place, str(beat))], capture_output=True, check=False)

    assert kind == "CMD-SHELL" and place in command
    assert (ended.returncode == 0) is healthy


def test_the_image_has_the_folders_that_volumes_are_mounted_on(services: dict[str, Any]) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    ours = [volume for name in ("worker", "gateway", "flower") for volume in services[name]["volumes"]]

    for volume in ours:
        folder = volume if volume.startswith("/") else volume.split(":")[1]
        assert re.search(rf"install --directory .*{re.escape(folder)}\b", dockerfile), folder
