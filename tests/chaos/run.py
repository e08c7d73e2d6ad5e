"""One run: a stack, callers, strikes and a recorder side by side; then quiet, the collection, the checks, the report."""

import contextlib
import dataclasses
import gc
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx
import redis

from tests.chaos import collector, load, plan, report
from tests.chaos.checks import check
from tests.chaos.collector import SECRETS
from tests.chaos.forgery import Forger
from tests.chaos.history import History
from tests.chaos.producer import Producer, point_at
from tests.chaos.recorder import Recorder
from tests.chaos.sabotage import SHOWN_BY
from tests.chaos.strikes import Striker
from worker.cli.processes.stack import Stack, run_stack

SENDING = 0.75  # the share of the time in which jobs are sent and strikes fall; the rest is for what is left to end
QUIET_S = 600.0  # the longest wait for the last job
STALLED_S = 130.0  # a row that is looked for, or closes, is claimed more often than that; what stands so long is lost
RESTORED_S = 80.0  # Celery brings the message of a dead worker back after its visibility timeout of 60 s
TOLD_EVERY_S = 5.0
STRIKES = ("stop", "freeze", "restart", "forged", "stolen first", "stolen closing")


@dataclass(frozen=True)
class Options:
    """What a run is made of."""

    seed: int
    jobs: int
    minutes: float
    workers: int
    folder: Path
    scale: plan.Scale
    keep: bool = False
    without: str | None = None  # the safety that was taken away

    @property
    def seconds(self) -> float:
        """For how long jobs are sent."""
        return self.minutes * 60 * SENDING


@dataclass
class Parts:
    """What works side by side in a run."""

    stack: Stack
    client: redis.Redis
    producer: Producer
    recorder: Recorder
    striker: Striker
    forger: Forger
    own: set[str]  # requests of our own at the twin


def run(options: Options) -> bool:
    """Hurt a stack, and prove the promises; True when all hold."""
    asks = load.draw(Random(f"load {options.seed}"), options.jobs, options.seconds)
    strikes = plan.draw(Random(f"plan {options.seed}"), options.scale)
    _say(f"seed {options.seed}: {sum(len(ask.parts) for ask in asks)} jobs in {options.seconds:.0f} s; the plan:")
    for strike in strikes:
        _say(f"  {strike}")
    stack_folder = options.folder / "stack"
    env = {"FAL_KEY": SECRETS["the fal key"], "KILNHAND_SECRET": SECRETS["the secret"]}
    with run_stack(stack_folder, processes=("redis", "twin", "gateway"), env=env, persist=True) as stack:
        _say(f"stack in {stack_folder}; Redis: appendonly yes, {_fsync(stack)}")
        with _impatient(stack), _parts(stack, options, asks, strikes) as parts:
            _hurt(parts)
            _wait_for_the_end(parts)
            seen = _collect(parts)
            recovered, struck = parts.striker.watch.end(), parts.striker.struck()
        problems = parts.producer.problems + parts.striker.problems
        gc.collect()  # results that are collected later would look for their Redis in vain
    seen.leftovers += collector.processes_in(stack_folder)
    return _judge(options, parts, seen, recovered, struck, problems)


@contextlib.contextmanager
def _impatient(stack: Stack) -> Iterator[None]:
    """Nobody waits for a graceful end after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        stack.kill()
        raise


@contextlib.contextmanager
def _parts(stack: Stack, options: Options, asks: list[load.Ask], strikes: list[plan.Strike]) -> Iterator[Parts]:
    for name in plan.names(options.workers):
        stack.start_worker(name)
    point_at(stack)
    httpx.post(f"{stack.twin_url}/_twin/pace", json={"endpoints": load.PACE}).raise_for_status()
    client = redis.Redis.from_url(stack.redis_url, socket_timeout=15)
    producer = Producer(asks, stack.redis_url)
    recorder = Recorder(stack.redis_url, stack.folder / "files", producer.ids)
    forger = Forger(stack.twin_url, stack.gateway_url, Random(options.seed), lambda job: is_open(client, job))
    bare = {ask.number for ask in asks if ask.kind in {"bare", "invalid"}}
    striker = Striker(stack, strikes, client, forger, bare)
    try:
        yield Parts(stack, client, producer, recorder, striker, forger, {forger.catch_one()})
    finally:
        striker.calm()
        forger.close()
        recorder.stop()


def is_open(client: redis.Redis, job: str) -> bool:
    """Whether a job's submission is not known by its ticket."""
    return client.hget(f"kilnhand:job:{job}", "stage") in {b"submitting", b"unknown", b"accepted", None}


def _hurt(parts: Parts) -> None:
    """Send and strike side by side until both are done."""
    began, stop = time.monotonic(), threading.Event()
    parts.recorder.start()
    works = [
        threading.Thread(target=work.run, args=(began, stop.is_set), daemon=True)
        for work in (parts.producer, parts.striker)
    ]
    try:
        for work in works:
            work.start()
        while any(work.is_alive() for work in works):
            _progress(parts, began)
            _pause(TOLD_EVERY_S, lambda: not any(work.is_alive() for work in works))
    finally:
        stop.set()


def _wait_for_the_end(parts: Parts) -> None:
    """Until everything has ended and no message of a dead worker waits to come back."""
    parts.striker.calm()
    began = time.monotonic()
    while time.monotonic() < began + QUIET_S and not _has_ended(parts):
        if time.monotonic() > parts.recorder.moved_at + STALLED_S:
            _say(f"nothing has moved for {STALLED_S:.0f} s")
            break
        _progress(parts, began)
        _pause(TOLD_EVERY_S, lambda: _has_ended(parts))
    while time.monotonic() < began + RESTORED_S + QUIET_S and parts.client.zcard("unacked_index"):
        _progress(parts, began)
        _pause(TOLD_EVERY_S, lambda: not parts.client.zcard("unacked_index"))
    _pause(3.0, lambda: False)  # a second ending would come now


def _has_ended(parts: Parts) -> bool:
    return not parts.recorder.open_rows() and set(parts.producer.ids()) <= parts.recorder.final


def _collect(parts: Parts) -> History:
    """Everything that was seen, with the stack still up."""
    _say("all quiet; fetching every file")
    stack, client = parts.stack, parts.client
    parts.recorder.stop()
    rows, results = collector.rows_of(client), collector.results_of(client)
    requests = collector.requests_of(stack.twin_url, parts.own)
    return History(
        wanted=parts.producer.wanted,
        rows=rows,
        sights=dict(parts.recorder.sights),
        states=dict(parts.recorder.states),
        results=results,
        requests=requests,
        files=collector.fetched(results),
        leaks=collector.leaks(client, stack.folder, json.dumps(requests), SECRETS),
        fetched_forged=list(parts.forger.fetched),
        leftovers=collector.leftovers(client, rows),
    )


def _judge(
    options: Options, parts: Parts, seen: History, recovered: list[Any], struck: int, problems: list[str]
) -> bool:
    counts = parts.striker.counts
    for line in problems:
        _say(f"note: {line}")
    for sort, status in sorted(set(parts.forger.answers)):
        _say(f"forged webhook, {sort}: HTTP {status}, {parts.forger.answers.count((sort, status))} times")
    kills = counts["kill worker"] + counts["kill gateway"]
    found = check(seen)
    told = report.summary(seen, found, recovered, kills, struck + sum(counts[what] for what in STRIKES), options.seed)
    told |= {"strikes": dict(counts), "twin_faults_struck": struck, "cancels": parts.producer.stopped}
    if options.without:
        promise = SHOWN_BY[options.without]
        told |= {"without": options.without, "breaks": promise, "seen": promise in told["violations"]}
    _write(options.folder, seen, recovered, told)
    _say(f"histories and logs: {options.folder}{'' if options.keep else ' (removed if all is well; --keep)'}")
    report.tell(seen, found, told, _say)
    return report.is_well(told)


def _write(folder: Path, seen: History, recovered: list[Any], told: dict[str, Any]) -> None:
    """The history as JSON lines, one file a list."""
    for name in ("wanted", "requests", "files", "leftovers"):
        _lines(folder / f"{name}.jsonl", getattr(seen, name))
    _lines(folder / "recoveries.jsonl", recovered)
    for name in ("rows", "sights", "states", "results"):
        _lines(folder / f"{name}.jsonl", ({"id": key, name: value} for key, value in getattr(seen, name).items()))
    (folder / "summary.json").write_text(json.dumps(told))


def _lines(path: Path, values: Any) -> None:
    with path.open("w") as file:
        for value in values:
            file.write(json.dumps(value, default=dataclasses.asdict) + "\n")


def _progress(parts: Parts, began: float) -> None:
    ids = parts.producer.ids()
    ended = sum(job in parts.recorder.final for job in ids)
    stages = " ".join(f"{name}={count}" for name, count in sorted(parts.recorder.stages().items()))
    up = sum(child.is_alive for child in parts.stack.children.values())
    kills = sum(count for what, count in parts.striker.counts.items() if what.startswith("kill"))
    _say(f"{time.monotonic() - began:5.0f} s  sent {len(ids)}  ended {ended}  up {up}  kills {kills}  {stages}")


def _pause(seconds: float, over: Any) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.1)
        with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
            if over():
                return


def _fsync(stack: Stack) -> str:
    with redis.Redis.from_url(stack.redis_url) as client:
        found: Any = client.config_get("appendfsync")
    return f"appendfsync {found['appendfsync']}; it is restarted by SIGTERM, which syncs before it goes"


def _say(line: str) -> None:
    print(line, flush=True)
