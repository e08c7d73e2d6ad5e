"""`kilnhand doctor` with everything running, with problems, and with wrong settings."""

import json
from collections.abc import Callable

from celery import Celery

from tests.acceptance.cli.conftest import Finished
from tests.acceptance.conftest import HTTP, Twin
from worker.cli.processes.stack import Stack


def test_a_complete_stack_has_no_problem(kilnhand: Callable[..., Finished], stack: Stack) -> None:
    ran = kilnhand("doctor", "--json", env=stack.environment)
    found = {check["name"]: check for check in json.loads(ran.out)["checks"] if check["verdict"] != "note"}
    assert ran.status == 0, ran.out
    assert {name: check["verdict"] for name, check in found.items()} == {
        "redis (broker, results, ledger)": "ok", "secret": "ok", "store": "ok", "gateway": "ok", "fal": "ok",
        "fal list": "ok", "fal billing": "ok", "fal tags": "ok",
        "vertex": "off", "gemini": "off", "anthropic": "off",
        "health": "ok",
        "worker": "ok",
    }  # fmt: skip
    assert " generation, generation.endings, generation.high, language, " in found["worker"]["detail"]
    assert stack.environment["KILNHAND_SECRET"] not in ran.out


def test_a_broken_check_says_what_to_do(kilnhand: Callable[..., Finished]) -> None:
    ran = kilnhand("doctor", env={"KILNHAND_REDIS_URL": "redis://:hunter22@127.0.0.1:1/0"})
    assert ran.status == 1
    assert "✗ redis (broker, results, ledger): redis://***@127.0.0.1:1/0 does not answer" in ran.out
    assert "→ start one with `kilnhand up`, or set KILNHAND_REDIS_URL" in ran.out
    assert "✗ secret: KILNHAND_SECRET is not set" in ran.out
    assert "– fal: disabled" in ran.out and "FAL_KEY=<id>:<secret>" in ran.out
    for name, what in (("vertex", "GOOGLE_CLOUD_PROJECT"), ("gemini", "GEMINI_API_KEY"), ("anthropic", "ANTHROPIC_")):
        assert f"– {name}: disabled here" in ran.out and what in ran.out
    assert "hunter22" not in ran.out + ran.err


def test_a_redis_without_workers_is_broken(kilnhand: Callable[..., Finished], redis_url: str) -> None:
    key = {
        "FAL_KEY": "name:a9f3c07be2d4518x",
        "KILNHAND_SECRET": "a9f3c07be2d4518x",
        "GEMINI_API_KEY": "a9f3c07be2d4518x",
    }
    key |= {"KILNHAND_ANTHROPIC_BASE_URL": "http://127.0.0.1:1/anthropic"}
    with Celery("shop", broker=redis_url, set_as_current=False) as shop:
        for name in ("generation.text_to_image", "shop.charge"):
            shop.send_task(name)
    ran = kilnhand("doctor", env={"KILNHAND_REDIS_URL": redis_url, **key})
    assert ran.status == 1
    assert "✗ workers: none answers" in ran.out and "kilnhand worker" in ran.out
    assert "! queue celery: workers do not take from it; jobs that wait in it: 1" in ran.out
    assert "fal.ai, key from FAL_KEY (***)" in ran.out
    assert "✓ gemini: enabled, by GEMINI_API_KEY (***)" in ran.out
    assert "! anthropic: http://127.0.0.1:1/anthropic (KILNHAND_ANTHROPIC_BASE_URL) does not answer" in ran.out
    assert "a9f3c07be2d4518x" not in ran.out


def test_each_wrong_setting_gets_a_line_without_its_value(kilnhand: Callable[..., Finished]) -> None:
    bad = {"KILNHAND_SECRET": "hunter22", "KILNHAND_GATEWAY_PORT": "99999", "KILNHAND_LEASE_S": "soon"}
    for command in (["doctor"], ["submit", "generation.text_to_image", "prompt=x"], ["up"], ["worker"], ["gateway"]):
        ran = kilnhand(*command, env=bad)
        assert ran.status == 2, command
        for line in ("  KILNHAND_SECRET: is too short", "  KILNHAND_GATEWAY_PORT: ", "  KILNHAND_LEASE_S: "):
            assert line in ran.err, command
        assert "hunter22" not in ran.out + ran.err and "Traceback" not in ran.err


def test_a_missing_permission_is_named_with_what_follows(
    kilnhand: Callable[..., Finished], stack: Stack, twin: Twin
) -> None:
    def told(**platform: bool) -> dict[str, str]:
        HTTP.post(f"{twin.url}/_twin/platform", json=platform).raise_for_status()
        ran = kilnhand("doctor", "--json", env=stack.environment)
        assert ran.status == 0, "jobs run all the same"
        checks = [check for check in json.loads(ran.out)["checks"] if check["name"].startswith("fal ")]
        return {check["name"]: f"{check['verdict']}: {check['detail']} → {check['advice']}" for check in checks}

    found = told(list_allowed=False, tagged_reporting=False)
    assert "note: " in found["fal list"] and "models:requests:read" in found["fal list"]
    assert "a submission whose answer was lost cannot be found by the list" in found["fal list"]
    assert found["fal billing"].startswith("ok: ") and "tagged reporting is off" in found["fal tags"]
    forbidden = told(list_allowed=True, billing_allowed=False)
    assert "billing:usage:read" in forbidden["fal billing"] and "fal tags" not in forbidden

    twin.pace(seconds=0)
    key = {"Authorization": "Key twin:twin"}
    body = {"prompt": "a fox", "image_size": "square"}
    HTTP.post(f"{twin.url}/run/fal-ai/flux/schnell", json=body, headers=key, timeout=20).raise_for_status()
    assert "none of 1 requests has its input" in told(stores_payloads=False)["fal list"]
    assert "and has inputs" in told(stores_payloads=True)["fal list"]
