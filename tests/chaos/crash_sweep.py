"""The sweep: at every point of `worker.testing.crash` one process kills itself; then the same promises are checked.

All points share one Redis, twin and gateway. For each point the jobs of its scenario are sent while no worker is up;
then one worker starts that kills itself at the point. The next worker continues its jobs, and at the end a healthy one.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import redis

from tests.chaos import collector, load
from tests.chaos.checks import check
from tests.chaos.collector import SECRETS
from tests.chaos.crash_scenarios import SCENARIOS, scenario_of
from tests.chaos.history import History, Violation
from tests.chaos.load import JobSpec, LoadItem
from tests.chaos.producer import Producer, use_stack
from tests.chaos.recorder import Recorder
from tests.chaos.report import possible_duplicates, print_report
from worker.cli.processes.specs import worker_spec
from worker.cli.processes.stack import Stack, run_stack
from worker.client import cancel
from worker.testing import crash

MAX_TRIES = 3
CRASH_WITHIN_S = 30.0
END_WITHIN_S = 400.0  # the ending that a dead worker had taken is available again after a minute
SLOW_S = 25.0  # the duration of a run that is cancelled
SLOW_FIRST = ("before_post", "after_take", "before_confirm", "before_sent_row", "after_sent_row", "after_message")
CALLER = """
import json, sys
from worker.testing import crash
crash.arm(sys.argv[1])
from tasks.generation import text_to_image
text_to_image.delay(**json.loads(sys.argv[2]))
"""


@dataclass
class PointResult:
    """A crash point, and whether a process died there."""

    name: str
    scenario: str
    died: bool = False
    seconds: float | None = None
    tries: int = 0


@dataclass
class Sweep:
    """The stack, and all items that were sent."""

    stack: Stack
    client: redis.Redis
    items: list[LoadItem] = field(default_factory=list)
    producers: list[Producer] = field(default_factory=list)
    number: int = 0

    def ids(self) -> list[str]:
        """Return the ids of all jobs until now."""
        return [job for producer in self.producers for job in producer.ids()]


def sweep(folder: Path) -> bool:
    """Crash at every point; True if each was reached and all promises hold."""
    points = [
        PointResult(name, scenario_of(name)) for name in sorted(crash.POINTS, key=lambda name: name not in SLOW_FIRST)
    ]
    began = time.monotonic()
    env = {"FAL_KEY": SECRETS["the fal key"], "KILNHAND_SECRET": SECRETS["the secret"]}
    with run_stack(folder / "stack", processes=("redis", "twin", "gateway"), env=env, persist=True) as stack:
        use_stack(stack)
        pace = {"endpoints": load.PACE | {"fal-ai/flux/dev": SLOW_S}}
        httpx.post(f"{stack.twin_url}/_twin/pace", json=pace).raise_for_status()
        sweep_state = Sweep(stack, redis.Redis.from_url(stack.redis_url, socket_timeout=15))
        recorder = Recorder(stack.redis_url, stack.folder / "files", sweep_state.ids)
        recorder.start()
        for point in points:
            _crash_at(sweep_state, point)
        stack.start_worker("worker-well")
        _wait_for_end(sweep_state, recorder)
        recorder.stop()
        history = _collect(sweep_state, recorder)
    history.leftovers += collector.processes_in(folder / "stack")
    return _judge(points, history, folder, time.monotonic() - began)


def _wait_for_end(sweep_state: Sweep, recorder: Recorder) -> None:
    """Send a picture every few seconds: a lost submission is known to be absent once the list shows a later request."""
    deadline = time.monotonic() + END_WITHIN_S
    while time.monotonic() < deadline and not _has_ended(sweep_state, recorder):
        _send(sweep_state, "a caller dies")
        _until(lambda: _has_ended(sweep_state, recorder), 5.0)


def _crash_at(sweep_state: Sweep, point: PointResult) -> None:
    """Let a process die at this point, with several tries, because the dispatcher may take other rows first."""
    began = time.monotonic()
    while not point.died and point.tries < MAX_TRIES:
        point.tries += 1
        if point.scenario == "a caller dies":
            point.died = _crash_caller(sweep_state, point)
        else:
            point.died = _crash_worker(sweep_state, point)
    point.seconds = round(time.monotonic() - began, 1)
    print(f"{point.name}: {f'{point.seconds} s' if point.died else 'not reached'}", flush=True)


def _crash_worker(sweep_state: Sweep, point: PointResult) -> bool:
    """Send jobs and start a worker that kills itself at the point; True if it died there."""
    producer = _send(sweep_state, point.scenario)
    name = f"worker-{point.name}-{point.tries}"
    command, is_ready = worker_spec(sweep_state.stack.folder, name)
    child = sweep_state.stack.add(name, command, is_ready, env={"KILNHAND_CRASH_AT": point.name})
    deadline = time.monotonic() + CRASH_WITHIN_S
    while child.is_alive and time.monotonic() < deadline:
        _cancel_some(sweep_state, producer)
        time.sleep(0.05)
    died = child.returncode == -signal.SIGKILL
    child.kill()
    return died


def _send(sweep_state: Sweep, scenario: str) -> Producer:
    """Send the jobs of a scenario and one picture; remove messages of the kind `lost` from the queue."""
    items: list[LoadItem] = []
    for kind in ("picture", *SCENARIOS[scenario].kinds):
        sweep_state.number += 1
        items.append(LoadItem(sweep_state.number, 0.0, kind, _parts(kind, sweep_state.number)))
    for fault in SCENARIOS[scenario].faults:
        httpx.post(f"{sweep_state.stack.twin_url}/_twin/script", json=fault).raise_for_status()
    producer = Producer(items, sweep_state.stack.redis_url)
    sweep_state.producers.append(producer)
    producer.run(time.monotonic(), lambda: False)
    for expected in producer.expected_jobs:
        if expected.kind == "lost":
            _remove_message(sweep_state, str(expected.id))
    return producer


def _parts(kind: str, number: int) -> tuple[JobSpec, ...]:
    match kind:
        case "chain":
            return (load.picture(number, image_size="landscape_16_9"), load.video(number, 2))
        case "training":
            return (load.training(number),)
        case "slow":
            return (load.picture(number, model="flux-dev"),)
        case "sticker" | "equal":
            return (load.of_task(kind, number),)
    return (load.picture(number),)


def _remove_message(sweep_state: Sweep, job: str) -> None:
    for message in sweep_state.client.lrange("generation", 0, -1):
        if json.loads(message)["headers"]["id"] == job:
            sweep_state.client.lrem("generation", 1, message)


def _crash_caller(sweep_state: Sweep, point: PointResult) -> bool:
    """Run a caller that kills itself while it sends. What it sent is unknown; a job that did arrive must end."""
    sweep_state.number += 1
    fields = json.dumps(load.picture(sweep_state.number).fields)
    ran = subprocess.run(
        [sys.executable, "-P", "-c", CALLER, point.name, fields],
        env={**os.environ, **sweep_state.stack.environment},
        cwd=sweep_state.stack.folder,
        check=False,
        timeout=60,
    )
    return ran.returncode == -signal.SIGKILL


def _cancel_some(sweep_state: Sweep, producer: Producer) -> None:
    """Cancel the slow jobs that are waiting at the provider."""
    for expected in producer.expected_jobs:
        row = f"kilnhand:job:{expected.id}"
        if expected.kind == "slow" and sweep_state.client.hget(row, "stage") == b"waiting":
            cancel(str(expected.id))


def _has_ended(sweep_state: Sweep, recorder: Recorder) -> bool:
    is_over = not recorder.open_rows() and set(sweep_state.ids()) <= recorder.final
    return is_over and not sweep_state.client.zcard("kilnhand:unacked_index")


def _until(met, timeout_s: float) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and not met():
        time.sleep(0.2)


def _collect(sweep_state: Sweep, recorder: Recorder) -> History:
    sent = [expected for producer in sweep_state.producers for expected in producer.expected_jobs]
    return collector.history_of(sweep_state.stack, sweep_state.client, sent, recorder)


def _judge(points: list[PointResult], history: History, folder: Path, seconds: float) -> bool:
    found: dict[str, list[Violation]] = check(history)
    print(f"{'point':28} {'reached by':24} died after")
    for point in points:
        print(f"{point.name:28} {point.scenario:24} {f'{point.seconds} s' if point.died else 'NEVER REACHED'}")
    unreached = [point.name for point in points if not point.died]
    violations = {name: len(many) for name, many in found.items() if many}
    summary = {
        "points": len(points),
        "unreached": unreached,
        "jobs": len(history.expected_jobs),
        "submissions": len(history.requests),
        "possible_duplicates": possible_duplicates(history),
        "orphans": len(history.leftovers),
        "violations": violations,
        "seconds": round(seconds),
    }
    (folder / "rows.json").write_text(json.dumps({job: dataclasses.asdict(row) for job, row in history.rows.items()}))
    print(f"histories and logs: {folder}")
    print_report(history, found, summary, lambda line: print(line, flush=True))
    return not (unreached or violations or history.leftovers)
