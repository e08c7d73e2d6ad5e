"""The sweep: at every point of `worker.crash` a process kills itself once, and the same promises are proven after it.

One Redis, twin and gateway for all; workers come and go in batches, each armed for another point of the batch. Jobs of
every scenario that reaches those points are sent first, so that the armed have something to die of.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import redis

from tests.chaos import collector, load
from tests.chaos.checks import check
from tests.chaos.collector import SECRETS
from tests.chaos.history import FINAL_STAGES, History, Violation
from tests.chaos.load import Ask, Part
from tests.chaos.producer import Producer, point_at
from tests.chaos.recorder import Recorder
from tests.chaos.report import possible_duplicates, tell
from tests.chaos.scenarios import SCENARIOS, scenario_of
from worker import crash
from worker.cli.processes import House, open_house
from worker.client import cancel

TOGETHER = 6  # armed workers at a time
TRIES = 3  # in smaller and smaller company
DIE_WITHIN_S = 45.0
GO_ON_S = 15.0  # after a batch, before the next; what has not ended then ends later
END_WITHIN_S = 400.0  # an ending that was taken by a dead worker is free again after a minute
SLOW_S = 25.0  # of a run that is cancelled
SLOW_FIRST = ("before_post", "after_take", "before_confirm", "before_sent_row", "after_sent_row", "after_message")
CALLER = """
import json, sys
from worker import crash
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
    """The house, and all that was asked so far."""

    house: House
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
    with open_house(folder / "house", parts=("redis", "twin", "gateway"), env=env, keep=True) as house:
        point_at(house)
        pace = {"endpoints": load.PACE | {"fal-ai/flux/dev": SLOW_S}}
        httpx.post(f"{house.twin_url}/_twin/pace", json=pace).raise_for_status()
        work = Sweep(house, redis.Redis.from_url(house.redis_url, socket_timeout=15))
        recorder = Recorder(house.redis_url, house.folder / "files", work.ids)
        recorder.start()
        house.start_worker("worker-well")
        for batch in batches(points):
            _batch(work, batch)
        _until(lambda: _has_ended(work, recorder), END_WITHIN_S)
        recorder.stop()
        seen = _collect(work, recorder)
    seen.leftovers += collector.processes_in(folder / "house")
    return _judge(points, seen, folder, time.monotonic() - began)


def batches(points: list[Point]) -> Iterator[list[Point]]:
    """Points in groups; what was not reached comes again, in smaller ones."""
    together = TOGETHER
    for _ in range(TRIES):
        todo = [point for point in points if not point.died]
        for start in range(0, len(todo), together):
            yield todo[start : start + together]
        together = max(1, together // 3)


def _batch(work: Sweep, batch: list[Point]) -> None:
    """Send jobs while no worker is there, start the armed, see them die, and let a healthy worker go on."""
    began = time.monotonic()
    work.house["worker-well"].stop()
    producer = _send(work, sorted({point.scenario for point in batch}))
    for point in (point for point in batch if point.scenario == "a caller dies"):
        _caller(work, point)
    armed = {point.name: _arm(work, point) for point in batch if not point.died}
    doomed = [point for point in batch if point.name in armed]
    while time.monotonic() < began + DIE_WITHIN_S and any(not point.died for point in doomed):
        _cancel_some(work, producer)
        for point in doomed:
            if not point.died and work.house[armed[point.name]].returncode == -signal.SIGKILL:
                point.died, point.seconds = True, round(time.monotonic() - began, 1)
        time.sleep(0.1)
    for point in doomed:
        if not point.died:
            work.house[armed[point.name]].kill()
    work.house["worker-well"].start()
    work.house["worker-well"].wait_ready()
    _until(lambda: _all_final(work, producer.ids()), GO_ON_S)
    told = [point.name if point.died else f"{point.name} (not reached)" for point in batch]
    print(f"{time.monotonic() - began:5.1f} s  {', '.join(told)}", flush=True)


def _send(work: Sweep, scenarios: list[str]) -> Producer:
    """Jobs of these scenarios, and some pictures; messages that are to be lost are taken from the queue."""
    asks: list[Ask] = []
    for scenario in ["plain", *scenarios]:
        for kind in SCENARIOS[scenario].kinds:
            work.number += 1
            asks.append(Ask(work.number, 0.0, kind, _parts(kind, work.number)))
    for fault in (fault for scenario in scenarios for fault in SCENARIOS[scenario].faults):
        httpx.post(f"{work.house.twin_url}/_twin/script", json=fault).raise_for_status()
    producer = Producer(asks, work.house.redis_url)
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


def _caller(work: Sweep, point: Point) -> None:
    """A process that dies while it sends. Nobody knows what it sent; what arrived has to end."""
    work.number += 1
    fields = json.dumps(load.picture(work.number).fields)
    ran = subprocess.run(
        [sys.executable, "-P", "-c", CALLER, point.name, fields],
        env={**os.environ, **work.house.environment},
        cwd=work.house.folder,
        check=False,
        timeout=60,
    )
    point.died, point.seconds = ran.returncode == -signal.SIGKILL, 0.0


def _arm(work: Sweep, point: Point) -> str:
    """Start a worker that will die at this point; returns its name. It may die before it is ready."""
    from worker.cli import parts

    point.tries += 1
    name = f"worker-{point.name}-{point.tries}"
    command, is_ready = parts.worker(work.house.folder, name)
    work.house.add(name, command, is_ready, env={"KILNHAND_CRASH_AT": point.name})
    return name


def _cancel_some(work: Sweep, producer: Producer) -> None:
    """Cancel the slow ones that are at work."""
    for wanted in producer.wanted:
        row = f"kilnhand:job:{wanted.id}"
        if wanted.kind == "slow" and work.client.hget(row, "stage") == b"waiting":
            cancel(str(wanted.id))


def _all_final(work: Sweep, ids: list[str]) -> bool:
    stages = [work.client.hget(f"kilnhand:job:{job}", "stage") or b"" for job in ids]
    return all(stage.decode() in FINAL_STAGES for stage in stages)


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
    requests = collector.requests_of(work.house.twin_url, set())
    return History(
        wanted=[wanted for producer in work.producers for wanted in producer.wanted],
        rows=rows,
        sights=dict(recorder.sights),
        states=dict(recorder.states),
        results=results,
        requests=requests,
        files=collector.fetched(results),
        leaks=collector.leaks(client, work.house.folder, json.dumps(requests), SECRETS),
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
