"""The sweep: at every point of `worker.testing.crash` a process kills itself once, and the same promises are proven after it.

One Redis, twin and gateway for all. For each point, jobs of the scenario that reaches it are sent while no worker is
there; then one comes that is armed for it, alone, and dies. What it leaves is the next one's, and a healthy one's at the end.
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
from tests.chaos.history import History, Violation
from tests.chaos.load import Ask, Part
from tests.chaos.producer import Producer, point_at
from tests.chaos.recorder import Recorder
from tests.chaos.report import possible_duplicates, tell
from tests.chaos.scenarios import SCENARIOS, scenario_of
from worker.cli.processes.specs import worker_spec
from worker.cli.processes.stack import Stack, run_stack
from worker.client import cancel
from worker.testing import crash

TRIES = 3
DIE_WITHIN_S = 30.0
END_WITHIN_S = 400.0  # an ending that was taken by a dead worker is free again after a minute
SLOW_S = 25.0  # of a run that is cancelled
SLOW_FIRST = ("before_post", "after_take", "before_confirm", "before_sent_row", "after_sent_row", "after_message")
CALLER = """
import json, sys
from worker.testing import crash
crash.arm(sys.argv[1])
from tasks.generation import text_to_image
text_to_image.delay(**json.loads(sys.argv[2]))
"""


@dataclass
class Point:
    """A crash point, and whether a process died there."""

    name: str
    scenario: str
    died: bool = False
    seconds: float | None = None
    tries: int = 0


@dataclass
class Sweep:
    """The stack, and all that was asked so far."""

    stack: Stack
    client: redis.Redis
    asks: list[Ask] = field(default_factory=list)
    producers: list[Producer] = field(default_factory=list)
    number: int = 0

    def ids(self) -> list[str]:
        """All jobs so far."""
        return [job for producer in self.producers for job in producer.ids()]


def sweep(folder: Path) -> bool:
    """Crash at every point; True when each was reached and every promise holds."""
    points = [Point(name, scenario_of(name)) for name in sorted(crash.POINTS, key=lambda name: name not in SLOW_FIRST)]
    began = time.monotonic()
    env = {"FAL_KEY": SECRETS["the fal key"], "KILNHAND_SECRET": SECRETS["the secret"]}
    with run_stack(folder / "stack", processes=("redis", "twin", "gateway"), env=env, persist=True) as stack:
        point_at(stack)
        pace = {"endpoints": load.PACE | {"fal-ai/flux/dev": SLOW_S}}
        httpx.post(f"{stack.twin_url}/_twin/pace", json=pace).raise_for_status()
        work = Sweep(stack, redis.Redis.from_url(stack.redis_url, socket_timeout=15))
        recorder = Recorder(stack.redis_url, stack.folder / "files", work.ids)
        recorder.start()
        for point in points:
            _reach(work, point)
        stack.start_worker("worker-well")
        _until(lambda: _has_ended(work, recorder), END_WITHIN_S)
        recorder.stop()
        seen = _collect(work, recorder)
    seen.leftovers += collector.processes_in(folder / "stack")
    return _judge(points, seen, folder, time.monotonic() - began)


def _reach(work: Sweep, point: Point) -> None:
    """Have a process die at this point, with a few tries: what it should die of may have been another row's turn."""
    began = time.monotonic()
    while not point.died and point.tries < TRIES:
        point.tries += 1
        if point.scenario == "a caller dies":
            point.died = _caller(work, point)
        else:
            point.died = _worker(work, point)
    point.seconds = round(time.monotonic() - began, 1)
    print(f"{point.name}: {f'{point.seconds} s' if point.died else 'not reached'}", flush=True)


def _worker(work: Sweep, point: Point) -> bool:
    """Send jobs, start an armed worker, and see it die; True when it did."""
    producer = _send(work, point.scenario)
    name = f"worker-{point.name}-{point.tries}"
    command, is_ready = worker_spec(work.stack.folder, name)
    child = work.stack.add(name, command, is_ready, env={"KILNHAND_CRASH_AT": point.name})
    deadline = time.monotonic() + DIE_WITHIN_S
    while child.is_alive and time.monotonic() < deadline:
        _cancel_some(work, producer)
        time.sleep(0.05)
    died = child.returncode == -signal.SIGKILL
    child.kill()
    return died


def _send(work: Sweep, scenario: str) -> Producer:
    """Jobs of this scenario, and one picture; messages that are to be lost are taken from the queue."""
    asks: list[Ask] = []
    for kind in ("picture", *SCENARIOS[scenario].kinds):
        work.number += 1
        asks.append(Ask(work.number, 0.0, kind, _parts(kind, work.number)))
    for fault in SCENARIOS[scenario].faults:
        httpx.post(f"{work.stack.twin_url}/_twin/script", json=fault).raise_for_status()
    producer = Producer(asks, work.stack.redis_url)
    work.producers.append(producer)
    producer.run(time.monotonic(), lambda: False)
    for wanted in producer.wanted:
        if wanted.kind == "lost":
            _lose(work, str(wanted.id))
    return producer


def _parts(kind: str, number: int) -> tuple[Part, ...]:
    match kind:
        case "chain":
            return (load.picture(number, image_size="landscape_16_9"), load.video(number, 2))
        case "training":
            return (load.training(number),)
        case "slow":
            return (load.picture(number, model="flux-dev"),)
    return (load.picture(number),)


def _lose(work: Sweep, job: str) -> None:
    for message in work.client.lrange("generation", 0, -1):
        if json.loads(message)["headers"]["id"] == job:
            work.client.lrem("generation", 1, message)


def _caller(work: Sweep, point: Point) -> bool:
    """A process that dies while it sends. Nobody knows what it sent; what arrived has to end."""
    work.number += 1
    fields = json.dumps(load.picture(work.number).fields)
    ran = subprocess.run(
        [sys.executable, "-P", "-c", CALLER, point.name, fields],
        env={**os.environ, **work.stack.environment},
        cwd=work.stack.folder,
        check=False,
        timeout=60,
    )
    return ran.returncode == -signal.SIGKILL


def _cancel_some(work: Sweep, producer: Producer) -> None:
    """Cancel the slow ones that are at work."""
    for wanted in producer.wanted:
        row = f"kilnhand:job:{wanted.id}"
        if wanted.kind == "slow" and work.client.hget(row, "stage") == b"waiting":
            cancel(str(wanted.id))


def _has_ended(work: Sweep, recorder: Recorder) -> bool:
    is_over = not recorder.open_rows() and set(work.ids()) <= recorder.final
    return is_over and not work.client.zcard("unacked_index")


def _until(met, timeout_s: float) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and not met():
        time.sleep(0.2)


def _collect(work: Sweep, recorder: Recorder) -> History:
    client = work.client
    rows, results = collector.rows_of(client), collector.results_of(client)
    requests = collector.requests_of(work.stack.twin_url, set())
    return History(
        wanted=[wanted for producer in work.producers for wanted in producer.wanted],
        rows=rows,
        sights=dict(recorder.sights),
        states=dict(recorder.states),
        results=results,
        requests=requests,
        files=collector.fetched(results),
        leaks=collector.leaks(client, work.stack.folder, json.dumps(requests), SECRETS),
        leftovers=collector.leftovers(client, rows),
    )


def _judge(points: list[Point], seen: History, folder: Path, seconds: float) -> bool:
    found: dict[str, list[Violation]] = check(seen)
    print(f"{'point':28} {'reached by':24} died after")
    for point in points:
        print(f"{point.name:28} {point.scenario:24} {f'{point.seconds} s' if point.died else 'NEVER REACHED'}")
    unreached = [point.name for point in points if not point.died]
    violations = {name: len(many) for name, many in found.items() if many}
    told = {
        "points": len(points),
        "unreached": unreached,
        "jobs": len(seen.wanted),
        "submissions": len(seen.requests),
        "possible_duplicates": possible_duplicates(seen),
        "orphans": len(seen.leftovers),
        "violations": violations,
        "seconds": round(seconds),
    }
    (folder / "rows.json").write_text(json.dumps({job: dataclasses.asdict(row) for job, row in seen.rows.items()}))
    print(f"histories and logs: {folder}")
    tell(seen, found, told, lambda line: print(line, flush=True))
    return not (unreached or violations or seen.leftovers)
