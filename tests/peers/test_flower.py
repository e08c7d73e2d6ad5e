"""Flower in a real browser: what an operator sees of a job, from queued to its end."""

import base64
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from tasks.generation import text_to_image
from tests.acceptance.conftest import Twin, point_producer_at
from tests.conftest import wait_until
from worker.cli.processes.stack import Stack, run_stack

PICTURES = os.environ.get("SCREENSHOTS")  # a folder to keep what the browser showed


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch, run_stack(tmp_path_factory.mktemp("stack")) as stack:
        point_producer_at(stack, patch)
        yield stack


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    quiet = [
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-quic",
    ]
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1600,900", *quiet):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    driver = Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.execute_cdp_cmd("Network.enable", {})
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(stack: Stack, browser: Chrome) -> Any:
    """Opens a page of Flower with the operator's password, and gives its text."""
    token = base64.b64encode(stack.flower_auth.encode()).decode()
    browser.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Authorization": f"Basic {token}"}})

    def text(path: str, picture: str | None = None) -> str:
        browser.get(stack.flower_url + path)
        wait_until(lambda: "Loading..." not in body(), "the page is loaded")
        if PICTURES and picture:
            browser.save_screenshot(str(Path(PICTURES) / f"{picture}.png"))
        return body()

    def body() -> str:
        return str(browser.find_element(By.TAG_NAME, "body").text)

    return text


def row(page: Any, job_id: str, picture: str | None = None) -> str:
    """The line of a job in the list of tasks."""
    lines = [line for line in page("/tasks", picture).splitlines() if job_id in line]
    return lines[0] if lines else ""


@pytest.fixture
def facts(page: Any, browser: Chrome) -> Any:
    """Opens a job's page, and gives its table as names and values."""

    def read(job_id: str, picture: str | None = None) -> dict[str, str]:
        page(f"/task/{job_id}", picture)
        rows = browser.find_elements(By.CSS_SELECTOR, "dl > .detail-row")
        return {line.find_element(By.TAG_NAME, "dt").text: line.find_element(By.TAG_NAME, "dd").text for line in rows}

    return read


def seconds(runtime: str) -> float:
    """What `11.4 s` or `1 min 2 s` says, roughly."""
    units = {"ms": 0.001, "s": 1.0, "sec": 1.0, "min": 60.0}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"([\d.]+)\s*(ms|sec|s|min)\b", runtime))


def test_flower_is_never_open(stack: Stack) -> None:
    for path in ("/", "/tasks", "/api/workers", "/api/tasks"):
        assert httpx.get(stack.flower_url + path).status_code == 401
        assert httpx.get(stack.flower_url + path, auth=("kilnhand", "wrong")).status_code == 401


def test_a_jobs_states_show_in_the_list_and_on_its_page(stack: Stack, page: Any, facts: Any) -> None:
    twin = Twin(stack.twin_url)
    twin.pace(seconds=6, queue_seconds=5)
    job = text_to_image.delay(prompt="a kiln in a browser")
    wait_until(lambda: "QUEUED" in row(page, job.id), "the list shows QUEUED")
    assert facts(job.id)["Status"] == "QUEUED"
    wait_until(lambda: "IN_PROGRESS" in row(page, job.id), "the list shows IN_PROGRESS")
    assert facts(job.id, "in-progress")["Status"] == "IN_PROGRESS"
    job.get(timeout=120)
    line = wait_until(lambda: found if "SUCCESS" in (found := row(page, job.id)) else "", "the list shows SUCCESS")
    assert "generation.text_to_image" in line
    shown = facts(job.id, "success")
    assert shown["Status"] == "SUCCESS"
    assert "a kiln in a browser" in shown["Keyword arguments"]
    assert seconds(shown["Runtime"]) >= 11, "the runtime of the whole job, not of its closing message"
    assert shown["Received"] <= shown["Started"] < shown["Succeeded"], (
        "the times of the job, not of its closing message"
    )
    assert "images" in shown["Result"]


def test_a_failed_job_shows_why_and_for_how_long(stack: Stack, page: Any, facts: Any) -> None:
    twin = Twin(stack.twin_url)
    twin.pace(seconds=2, queue_seconds=0)
    twin.script(endpoint="*", call="result", what="black", times=1)
    job = text_to_image.delay(prompt="x")
    with pytest.raises(Exception, match="has_nsfw_concepts"):
        job.get(timeout=120)
    wait_until(lambda: "FAILURE" in row(page, job.id), "the list shows FAILURE")
    shown = facts(job.id, "failure")
    assert shown["Status"] == "FAILURE"
    assert "ContentRefusedError" in shown["Exception"]
    assert seconds(shown["Runtime"]) >= 2


def test_flowers_button_revokes_a_job_that_waits(stack: Stack, page: Any) -> None:
    twin = Twin(stack.twin_url)
    twin.reset()
    twin.pace(seconds=60)
    job = text_to_image.delay(prompt="x")
    wait_until(lambda: twin.count, "it was submitted")
    origin = {"Origin": stack.flower_url, "Host": stack.flower_url.removeprefix("http://")}
    user, _, password = stack.flower_auth.partition(":")
    answer = httpx.post(f"{stack.flower_url}/api/task/revoke/{job.id}", auth=(user, password), headers=origin)
    assert answer.status_code == 200, answer.text
    wait_until(lambda: job.state == "REVOKED", "the job is revoked")
    wait_until(lambda: "REVOKED" in row(page, job.id, "list"), "the list shows REVOKED")


def test_the_worker_is_shown_online(stack: Stack, page: Any) -> None:
    assert "Online" in page("/workers", "workers") or "worker@" in page("/workers")
