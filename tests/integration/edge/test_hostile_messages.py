"""Messages that cannot be read, sent to a real worker: each is set aside with the reason, and the worker goes on."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
from celery import Celery

from tests.conftest import RedisServer, wait_until
from tests.integration.edge.hostile_messages import OUR_TASK, OWN_TASK, QUEUE, Case, cases, dumped, message
from worker.cli.commands.dead_messages import list_messages
from worker.edge.app import app
from worker.ledger.dead_messages import DeadMessage, open_dead_messages
from worker.ledger.redis import open_redis_ledger

CASES = cases()
UNACKED = {"a": b"more nonsense", "b": b"[3]", "c": b"[1, 2]", "d": b'[5, "", "x"]', "e": b'[{"headers": 5}, [], {}]'}
UNACKED["f"] = dumped([message(headers={"redelivered": False}), "no.such.exchange", "x"])


PARTS = {"task": {"task": OUR_TASK, "args": [], "kwargs": {}, "options": {}, "subtask_type": None}, "it": [[], []]}
CALLS = {"tests.own.calls_a_job": {}, "celery.map": PARTS, "celery.starmap": PARTS}
ODD_IDS = {OUR_TASK: uuid4(), OWN_TASK: uuid4()}


def unacked(name: str) -> str:
    """The name of one of the broker's keys for messages that nobody has acknowledged."""
    options = app.conf.broker_transport_options
    return str(options.get(f"unacked_{name}", f"unacked_{name}".removesuffix("_key")))


@dataclass(frozen=True)
class Aftermath:
    """What is left when a worker has taken all hostile messages and a good one after each."""

    dead: dict[bytes, DeadMessage]
    counts: dict[str, int]
    good: list[str]
    results: list[bytes]
    left: int
    unacked: int
    returncode: int | None
    log: str


def run_worker(server: RedisServer, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    settings = {"REDIS_URL": server.url, "STORE": str(folder / "files"), "SECRET": secrets.token_hex(32)}
    environment = os.environ | {f"KILNHAND_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-I", "tests.integration.edge.own_tasks",
               "-Q", QUEUE, "--concurrency", "4", "--without-mingle", "--without-gossip", *options]  # fmt: skip
    with (folder / "worker.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


@pytest.fixture(scope="module")
def aftermath(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    client: Any = redis.Redis(port=redis_server.port)
    client.flushall()
    for tag, raw in UNACKED.items():
        client.hset(unacked("key"), tag, raw)
        client.zadd(unacked("index_key"), {tag: 1})
    good: list[str] = []
    for case in CASES:
        client.lpush(QUEUE, case.raw)
        whole = message()
        good.append(whole["headers"]["id"])
        client.lpush(QUEUE, dumped(whole))
    with Celery("backend", broker=redis_server.url, set_as_current=False) as backend:
        for task, odd in ODD_IDS.items():
            backend.send_task(task, kwargs={"prompt": "x"} if task == OUR_TASK else {}, task_id=odd, queue=QUEUE)
        for task, kwargs in CALLS.items():
            backend.send_task(task, kwargs=kwargs, task_id=task, queue=QUEUE)
    folder = tmp_path_factory.mktemp("worker")
    process = run_worker(redis_server, folder)
    keys = [f"celery-task-meta-{each}" for each in [*good, *map(str, ODD_IDS.values()), *CALLS]]
    dead = open_dead_messages(redis_server.url)
    try:
        wait_until(lambda: process.poll() is not None or all(client.mget(keys)), "all good ones ran", 60)
        wait_until(lambda: process.poll() is not None or not client.hlen(unacked("key")), "nothing is held", 20)
    finally:
        found = Aftermath(
            dead={each.raw: each for each in dead.newest(1000)},
            counts=dict(dead.counts()),
            good=good,
            results=[value for value in client.mget(keys) if value],
            left=client.llen(QUEUE),
            unacked=client.hlen(unacked("key")),
            returncode=process.poll(),
            log=(folder / "worker.log").read_text(errors="replace"),
        )
        process.terminate()
        process.wait(120)
        dead.close()
    yield found


def test_the_worker_goes_on_and_runs_every_good_message(aftermath: Aftermath) -> None:
    assert aftermath.returncode is None, aftermath.log[-3000:]
    assert (len(aftermath.results), aftermath.left, aftermath.unacked) == (len(CASES) + len(ODD_IDS) + len(CALLS), 0, 0)


def test_an_id_that_is_no_text_is_taken_as_one(aftermath: Aftermath) -> None:
    assert all(any(str(odd).encode() in result for result in aftermath.results) for odd in ODD_IDS.values())


@pytest.mark.parametrize("case", [case for case in CASES if case.is_unreadable], ids=lambda case: case.name)
def test_it_is_set_aside_with_the_reason(aftermath: Aftermath, case: Case) -> None:
    raw = case.raw if len(case.raw) < 64_000 else case.raw[:64_000]
    assert raw in aftermath.dead, "it is not on the list"
    set_aside = aftermath.dead[raw]
    assert set_aside.reason and set_aside.queue == QUEUE


@pytest.mark.parametrize("tag", UNACKED)
def test_what_cannot_be_restored_at_the_start_is_set_aside(aftermath: Aftermath, tag: str) -> None:
    assert aftermath.dead[UNACKED[tag]].kind == "unacked"


@pytest.mark.parametrize("task", CALLS)
def test_a_job_that_is_called_as_a_function_is_refused_once(aftermath: Aftermath, task: str) -> None:
    """By a task of somebody's own, or by Celery's `map` and `starmap`: that task fails, and is not delivered again."""
    (result,) = (json.loads(each) for each in aftermath.results if json.loads(each)["task_id"] == task)
    assert (result["status"], result["result"]["exc_type"]) == ("FAILURE", "InvalidRequestError")
    assert "a job is sent, and not called" in str(result["result"])
    assert aftermath.log.count(f'"Task {task}[') == 1, "it fails once"


def test_they_are_counted(aftermath: Aftermath) -> None:
    assert sum(aftermath.counts.values()) == len([case for case in CASES if case.is_unreadable]) + len(UNACKED)
    assert len(aftermath.counts) < 8


def test_what_is_readable_is_not_set_aside(aftermath: Aftermath) -> None:
    assert not [case.name for case in CASES if not case.is_unreadable and case.raw in aftermath.dead]


def test_no_log_line_repeats_a_whole_message(aftermath: Aftermath) -> None:
    assert max(map(len, aftermath.log.splitlines())) < 10_000


async def test_the_gateway_counts_them(redis_url: str) -> None:
    dead, ledger = open_dead_messages(redis_url, "shop:"), open_redis_ledger(redis_url, "shop:")
    for kind in ("envelope", "fields", "fields"):
        dead.add(DeadMessage("q", kind, "why", b"x"))
    assert await ledger.messages_set_aside() == 3
    dead.close()
    await ledger.aclose()


def test_the_command_line_shows_and_drops_them(redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("KILNHAND_REDIS_URL", redis_url)
    dead = open_dead_messages(redis_url)
    dead.add(DeadMessage("q", "envelope", "no \x1b[31mJSON", b"\x1b[31m" + b"x" * 70_000))
    dead.close()
    list_messages(10, as_json=False, drop=False)
    shown = capsys.readouterr().out
    assert "envelope 1" in shown and "\x1b[31mJSON" not in shown
    list_messages(10, as_json=True, drop=False)
    (message,) = json.loads(capsys.readouterr().out)["messages"]
    assert (message["is_cut"], len(message["raw"])) == (True, 64_000)
    list_messages(10, as_json=False, drop=True)
    list_messages(10, as_json=True, drop=False)
    assert '"messages": []' in capsys.readouterr().out
