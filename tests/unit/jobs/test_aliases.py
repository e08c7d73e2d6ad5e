"""The names of the earlier server mean tasks and states of ours, and the page has them all."""

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from pydantic import ValidationError

from config.settings import RequestSettings
from worker import client
from worker.cli.job_arguments import all_tasks, find_task
from worker.edge.app import app
from worker.edge.callbacks import route_callbacks
from worker.edge.consumer import SafeConsumer
from worker.explain.history import receipt_text
from worker.jobs.aliases import STATE_ALIASES, TASK_ALIASES, OldState, task_of
from worker.jobs.job import Job, Options, Receipt, Stage, Step
from worker.jobs.status import State, status_of

PAGE = (Path(__file__).parents[3] / "docs/aliases.md").read_text(encoding="utf-8")


def test_every_alias_means_a_task_and_every_state_has_one() -> None:
    assert set(TASK_ALIASES.values()) <= all_tasks().keys() and not TASK_ALIASES.keys() & all_tasks().keys()
    assert STATE_ALIASES.keys() == {*get_args(State), "PENDING"}
    assert set(STATE_ALIASES.values()) == set(get_args(OldState))


def test_the_page_has_every_name() -> None:
    rows = re.findall(r"^\| (.+?) \| `([\w.]+)` \|", PAGE, re.MULTILINE)
    told = {name: meaning for names, meaning in rows for name in re.findall(r"`(\w+)`", names)}
    assert told == {**TASK_ALIASES, **STATE_ALIASES}


def test_settings_add_names_and_come_before_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    more = RequestSettings(task_aliases=" FIX = editing.fix_garment, EDITING=generation.image_to_image,").aliases
    assert task_of("FIX", more) == "editing.fix_garment" and task_of("EDITING", more) == "generation.image_to_image"
    assert task_of("EDITING") == "editing.inpaint" and task_of("vision.ask", more) == "vision.ask"
    monkeypatch.setenv("KILNHAND_TASK_ALIASES", "FIX=editing.fix_garment")
    assert find_task("FIX").name == "editing.fix_garment" and find_task("TRAINING").name == "training.lora"


@pytest.mark.parametrize("given", ["FIX", "FIX=", "=a.b", "A=a.b,B"])
def test_an_alias_without_a_task_is_refused(given: str) -> None:
    with pytest.raises(ValidationError, match=r"ALIAS=task\.name"):
        RequestSettings(task_aliases=given)


def test_a_registered_name_is_no_alias_and_an_alias_in_a_chain_goes_to_its_tasks_queue() -> None:
    all_tasks()
    consumer = SafeConsumer.__new__(SafeConsumer)
    consumer.app = app
    aliases = {"vision.ask": "vision.point", "X": "vision.point"}
    assert consumer._task_name("vision.ask", aliases) == "vision.ask"
    assert consumer._task_name("X", aliases) == "vision.point"
    before = app.conf.task_routes
    try:
        route_callbacks(app)
        (route,) = app.conf.task_routes
        assert route("VIDEO_GENERATION", (), {}, {}) == {"queue": "video"}
        assert route("VIDEO_GENERATION", (), {}, {"queue": "own"}) is None
        assert route("vision.ask", (), {}, {}) is None
    finally:
        app.conf.task_routes = before


def test_an_unknown_id_is_pending(monkeypatch: pytest.MonkeyPatch) -> None:
    # the ledger is Redis; the acceptance test of the old names reads it
    monkeypatch.setattr(client, "_job", lambda job_id, tenant=None: None)
    assert client.old_status("x") == client.OldStatus(status="pending", progress=0.0)


def test_a_cancelled_job_says_so_as_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    step, receipt = Step("flux-dev", {"prompt": "x"}, ()), Receipt(1.0, told=True)
    job = Job("x", "generation.text_to_image", "q", {}, step, Options(), 0.0)
    cancelled = replace(job, stage=Stage.CANCELLED, receipt=receipt)
    monkeypatch.setattr(client, "_job", lambda job_id, tenant=None: cancelled)
    monkeypatch.setattr(client, "_status", lambda job: status_of(job, 2.0))
    told = client.old_status("x")
    assert told.status == "cancelled" and told.error == receipt_text(receipt, has_files=False)
