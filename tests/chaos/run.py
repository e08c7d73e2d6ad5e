"""One run: a stack, callers, disruptions and a recorder in parallel; then the wait, the collection, the checks, the report."""

import contextlib
import gc
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import httpx
import redis

from tests.chaos import collector, load, plan, report
from tests.chaos.audit import run_audit
from tests.chaos.caller import OldCaller, send
from tests.chaos.checks import check
from tests.chaos.collector import SECRETS
from tests.chaos.disruptions import Disruptor
from tests.chaos.forged_webhooks import WebhookForger, is_open
from tests.chaos.history import History, write
from tests.chaos.producer import Producer, use_stack
from tests.chaos.recorder import Recorder
from tests.chaos.sabotage import BROKEN_PROMISE
from tests.chaos.strangers import Strangers
from tests.chaos.versions import LEFT_OUT, NEW, OLD, OLD_WEIGHTS, Versions, draw_changes
from worker.cli.processes.stack import Stack, run_stack

SENDING_SHARE = 0.75  # the share of the time with load and disruptions; in the rest open jobs can end
MAX_QUIET_WAIT_S = 600.0  # the longest wait for the last job
STALLED_S = 130.0  # rows in reconcile or closing are claimed more often; a row that does not move for so long is lost
REDELIVERED_S = 80.0  # Celery brings the message of a dead worker back after its visibility timeout of 60 s
PROGRESS_EVERY_S = 5.0
BREAKER = {  # else ordered faults open fal's circuit, and jobs end that were never submitted
    "KILNHAND_BREAKER_FAILURES": "30",
    "KILNHAND_BREAKER_OPEN_MAX_S": "5",
}
LATER = 100_000  # the number of the first picture after the load
CALL_TIMEOUT_S = 20.0  # of a call that is answered at once; a lost one is known to be lost after this
COUNTED_DISRUPTIONS = (
    "stop",
    "freeze",
    "freeze redis",
    "restart redis",
    "pace",
    "forged",
    "stolen first",
    "stolen closing",
    "hostile",
    "break_row",
)


@dataclass(frozen=True)
class Options:
    """The options of a run."""

    seed: int
    jobs: int
    minutes: float
    workers: int
    folder: Path
    scale: plan.Scale
    keep: bool = False
    without: str | None = None  # the safety that was removed
    old: str | None = None  # the commit of the old version that runs beside this one
    old_folder: Path | None = None

    @property
    def seconds(self) -> float:
        """The time in which jobs are sent."""
        return self.minutes * 60 * SENDING_SHARE


@dataclass
class Harness:
    """The parts that work in parallel during a run."""

    stack: Stack
    client: redis.Redis
    producer: Producer
    recorder: Recorder
    disruptor: Disruptor
    forger: WebhookForger
    own: set[str]  # ids of our own requests at the twin
    strangers: Strangers | None = None
    is_one_version: bool = True
    later_numbers: Iterator[int] = field(default_factory=lambda: count(LATER))


def run(options: Options) -> bool:
    """Disrupt a stack and check the promises; True if all hold."""
    weights = OLD_WEIGHTS if options.old else load.WEIGHTS
    items = load.draw(Random(f"load {options.seed}"), options.jobs, options.seconds, weights)
    changes = draw_changes(Random(f"versions {options.seed}"), options.seconds, options.workers) if options.old else []
    disruptions = plan.draw(Random(f"plan {options.seed}"), options.scale, changes)
    _print(f"seed {options.seed}: {sum(len(item.parts) for item in items)} jobs in {options.seconds:.0f} s; the plan:")
    for disruption in disruptions:
        _print(f"  {disruption}")
    stack_folder = options.folder / "stack"
    env = {"FAL_KEY": SECRETS["the fal key"], "KILNHAND_SECRET": SECRETS["the secret"]}
    with run_stack(stack_folder, processes=("redis", "twin", "gateway"), env=env, persist=True) as stack:
        _print(f"stack in {stack_folder}; Redis: appendonly yes, {_fsync(stack)}")
        with _kill_on_interrupt(stack), _open_harness(stack, options, items, disruptions) as harness:
            _run_load_and_disruptions(harness)
            _wait_until_quiet(harness)
            history = _collect(harness)
            recoveries, faults_applied = harness.disruptor.watch.end(), harness.disruptor.faults_applied()
        problems = harness.producer.problems + harness.disruptor.problems
        gc.collect()  # results that are collected later would connect to a Redis that is gone
    history.leftovers += collector.processes_in(stack_folder)
    return _judge(options, harness, history, recoveries, faults_applied, problems)


@contextlib.contextmanager
def _kill_on_interrupt(stack: Stack) -> Iterator[None]:
    """Kill the stack after Ctrl-C, so that nothing waits for a graceful end."""
    try:
        yield
    except KeyboardInterrupt:
        stack.kill()
        raise


@contextlib.contextmanager
def _open_harness(
    stack: Stack, options: Options, items: list[load.LoadItem], disruptions: list[plan.Disruption]
) -> Iterator[Harness]:
    for name in ("google", "anthropic"):
        stack.environment[f"KILNHAND_{name.upper()}_BASE_URL"] = f"{stack.twin_url}/{name}"
        stack.environment[f"KILNHAND_{name.upper()}_TIMEOUT_S"] = f"{CALL_TIMEOUT_S:g}"
    stack.environment |= BREAKER
    versions = _versions(stack, options)
    for name in plan.worker_names(options.workers):
        stack.start_worker(name, env=versions.environment(OLD) if versions else None)
    if versions:
        versions.change("gateway", OLD)
    use_stack(stack)
    httpx.post(f"{stack.twin_url}/_twin/pace", json={"endpoints": load.PACE}).raise_for_status()
    client = redis.Redis.from_url(stack.redis_url, socket_timeout=15)
    caller = OldCaller(versions.old_folder, stack.environment) if versions else None
    producer = Producer(items, stack.redis_url, lambda: caller.send if caller and versions.callers == OLD else send)
    recorder = Recorder(stack.redis_url, stack.folder / "files", producer.ids)
    forger = WebhookForger(stack.twin_url, stack.gateway_url, Random(options.seed), lambda job: is_open(client, job))
    bare = {item.number for item in items if item.kind in {"bare", "invalid"}}
    strangers = None if versions else Strangers(stack, client, Random(f"strangers {options.seed}"))
    if strangers:
        strangers.shop.start()
    disruptor = Disruptor(stack, disruptions, client, forger, bare, versions, strangers)
    own = {forger.catch_one()}
    try:
        yield Harness(stack, client, producer, recorder, disruptor, forger, own, strangers, versions is None)
    finally:
        disruptor.resume_all()
        forger.close()
        recorder.stop()
        if caller:
            caller.close()


def _versions(stack: Stack, options: Options) -> Versions | None:
    """The two versions of a run with an old one. This process runs from the copy of the new one."""
    if options.old_folder is None:
        return None
    return Versions(stack, {OLD: options.old_folder, NEW: options.folder / "source"})


def _run_load_and_disruptions(harness: Harness) -> None:
    """Send the load and carry out the plan, in parallel, until both are done."""
    began, stop = time.monotonic(), threading.Event()
    harness.recorder.start()
    works = [
        threading.Thread(target=work.run, args=(began, stop.is_set), daemon=True)
        for work in (harness.producer, harness.disruptor)
    ]
    try:
        for work in works:
            work.start()
        if harness.strangers:
            threading.Thread(target=harness.strangers.shop.run, args=(stop.is_set,), daemon=True).start()
        while any(work.is_alive() for work in works):
            _progress(harness, began)
            _wait(PROGRESS_EVERY_S, lambda: not any(work.is_alive() for work in works))
    finally:
        stop.set()


def _wait_until_quiet(harness: Harness) -> None:
    """Wait until all jobs have ended and no message of a dead worker waits for its redelivery."""
    harness.disruptor.resume_all()
    began = time.monotonic()
    while time.monotonic() < began + MAX_QUIET_WAIT_S and not _has_ended(harness):
        if time.monotonic() > harness.recorder.moved_at + STALLED_S:
            _print(f"nothing has moved for {STALLED_S:.0f} s")
            break
        _progress(harness, began)
        harness.producer.send_one_more(next(harness.later_numbers))
        _wait(PROGRESS_EVERY_S, lambda: _has_ended(harness))
    while time.monotonic() < began + REDELIVERED_S + MAX_QUIET_WAIT_S and harness.client.zcard(
        "kilnhand:unacked_index"
    ):
        _progress(harness, began)
        _wait(PROGRESS_EVERY_S, lambda: not harness.client.zcard("kilnhand:unacked_index"))
    if harness.strangers:
        _wait(harness.strangers.shop.left_s(), lambda: False)
    _wait(3.0, lambda: False)  # a second ending would come in this time


def _has_ended(harness: Harness) -> bool:
    return not harness.recorder.open_rows() and set(harness.producer.ids()) <= harness.recorder.final


def _collect(harness: Harness) -> History:
    """Return the history of the run; the stack is still up."""
    _print("all quiet; fetching every file")
    stack, client = harness.stack, harness.client
    harness.recorder.stop()
    kills = sum(count for what, count in harness.disruptor.counts.items() if what.startswith("kill"))
    strangers = harness.strangers.problems(kills) if harness.strangers else []
    if harness.strangers:
        harness.strangers.vandal.clean_up()
    history = collector.history_of(stack, client, harness.producer.expected_jobs, harness.recorder, harness.own)
    history.fetched_forged = list(harness.forger.fetched)
    history.deaths = list(harness.disruptor.deaths)
    history.noted_cancels = dict(harness.producer.noted_cancels)
    history.is_one_version, history.strangers = harness.is_one_version, strangers
    history.audit = run_audit(stack.environment, stack.folder) if harness.is_one_version else None
    return history


def _judge(
    options: Options,
    harness: Harness,
    history: History,
    recoveries: list[Any],
    faults_applied: int,
    problems: list[str],
) -> bool:
    counts = harness.disruptor.counts
    for line in problems:
        _print(f"note: {line}")
    for sort, status in sorted(set(harness.forger.answers)):
        _print(f"forged webhook, {sort}: HTTP {status}, {harness.forger.answers.count((sort, status))} times")
    kills = counts["kill worker"] + counts["kill gateway"]
    found = check(history)
    summary = report.summary(
        history,
        found,
        recoveries,
        kills,
        faults_applied + sum(counts[what] for what in COUNTED_DISRUPTIONS),
        options.seed,
    )
    summary |= {"strikes": dict(counts), "twin_faults_struck": faults_applied, "cancels": harness.producer.cancelled}
    if harness.strangers:
        summary |= harness.strangers.counts()
    if options.without:
        promise = BROKEN_PROMISE[options.without]
        summary |= {"without": options.without, "breaks": promise, "seen": promise in summary["violations"]}
    if options.old:
        summary |= {"old": options.old, "left_out": LEFT_OUT}
    write(options.folder, history, recoveries, summary)
    _print(
        f"histories and logs: {options.folder}{'' if options.keep else ' (removed if the run succeeds, unless --keep is given)'}"
    )
    report.print_report(history, found, summary, _print)
    return report.is_successful(summary)


def _progress(harness: Harness, began: float) -> None:
    ids = harness.producer.ids()
    ended = sum(job in harness.recorder.final for job in ids)
    stages = " ".join(f"{name}={count}" for name, count in sorted(harness.recorder.stages().items()))
    up = sum(child.is_alive for child in harness.stack.children.values())
    kills = sum(count for what, count in harness.disruptor.counts.items() if what.startswith("kill"))
    _print(f"{time.monotonic() - began:5.0f} s  sent {len(ids)}  ended {ended}  up {up}  kills {kills}  {stages}")


def _wait(seconds: float, over: Any) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.1)
        with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
            if over():
                return


def _fsync(stack: Stack) -> str:
    with redis.Redis.from_url(stack.redis_url) as client:
        found: Any = client.config_get("appendfsync")
    return f"appendfsync {found['appendfsync']}; a restart is a SIGTERM, on which Redis syncs before it exits"


def _print(line: str) -> None:
    print(line, flush=True)
