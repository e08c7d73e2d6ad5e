"""A tenant that drips, floods, bombs and fails at full force: what do everybody else's jobs notice?

    python -m benchmarks.noisy_neighbour [--seconds 60] [--rate 2] [--workers 2] [--without drip ...]

Jobs of a good tenant are sent at a constant rate, first alone, then beside the noisy one: single pictures, and among
them jobs that are cancelled and jobs with a short deadline. The noisy tenant sends at the same time

* drip: pictures whose files come at one byte in two seconds, and answers that come as slowly;
* flood: 20 jobs a second, with requests of 100 kB;
* bomb: captions of black pictures of 100 megapixels;
* fail: an app that is not in the catalogue, and fails.

The last line is JSON. Latencies are from `delay()` to the decided ending; `heard` is the time from a cancel or a
deadline to the ending.
"""

import argparse
import base64
import io
import json
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis
from PIL import Image

from worker.cli.processes.stack import Stack, run_stack
from worker.jobs.job import Job, Stage, load_job

NOISES = ("drip", "flood", "bomb", "fail")
FLOOD_PER_S, FLOOD_BYTES = 20.0, 100_000
BOMB_SIDE = 10_000  # pixels
DEADLINE_S, CANCEL_AFTER_S = 4.0, 2.0
PACE = {
    "concurrency": 10_000,
    "endpoints": {"fal-ai/flux/schnell": 0.6, "fal-ai/flux/dev": 30.0, "fal-ai/flux-lora": 0.6, "acme/broken": 0.2},
}
DRIPPING = "fal-ai/flux-lora"  # only the noisy tenant uses it


@dataclass
class Sent:
    """A job, when `delay()` was called, and when it should have ended."""

    id: str
    at: float
    kind: str
    due_at: float | None = None


@dataclass
class Phase:
    """What the good tenant has sent in it."""

    jobs: list[Sent] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=2.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--without", choices=NOISES, nargs="*", default=[], help="kinds of noise that are left out")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        run_stack(Path(folder), processes=("redis", "twin", "gateway")) as stack,
    ):
        stack.environment["KILNHAND_ANTHROPIC_BASE_URL"] = f"{stack.twin_url}/anthropic"
        for n in range(options.workers):
            stack.start_worker(f"worker-{n + 1}")
        os.environ.update({name: value for name, value in stack.environment.items() if name.startswith("KILNHAND_")})
        _twin(stack, "pace", PACE)
        _twin(stack, "platform", {"any_endpoint": True})  # acme/broken
        print(json.dumps(measure(stack, options)))


def measure(stack: Stack, options: argparse.Namespace) -> dict[str, Any]:
    """Send the good jobs alone, then beside the noise, and return the figures of both."""
    _send_good(options.rate, 5.0)  # workers and connections are warm after this
    alone = _send_good(options.rate, options.seconds)
    _ended(stack, alone)
    with _Noise(stack, [noise for noise in NOISES if noise not in options.without]) as noise:
        time.sleep(5.0)
        beside = _send_good(options.rate, options.seconds)
        jobs = _ended(stack, beside)
    figures = {"alone": _figures(alone, _ended(stack, alone)), "beside": _figures(beside, jobs)}
    ratio = figures["beside"]["p95_s"] / figures["alone"]["p95_s"]
    return {**figures, "p95_ratio": round(ratio, 2), "noisy_jobs": dict(noise.counts), "problems": noise.problems[:3]}


def _send_good(rate: float, seconds: float) -> Phase:
    """Of twelve jobs one is cancelled and one has a short deadline; both run at a slow model."""
    from tasks.generation import text_to_image
    from worker.client import cancel

    phase, began = Phase(), time.monotonic()
    cancels = list[threading.Timer]()
    for n in range(round(rate * seconds)):
        time.sleep(max(0.0, began + n / rate - time.monotonic()))
        kind = {3: "cancelled", 9: "deadline"}.get(n % 12, "picture")
        request: dict[str, Any] = {"prompt": f"good {n}", "image_size": "square", "fallback": False, "tenant": "good"}
        if kind != "picture":
            request |= {"model": "flux-dev"}
        if kind == "deadline":
            request |= {"deadline_s": DEADLINE_S}
        at = time.time()
        job_id = text_to_image.delay(**request).id
        due = {"cancelled": at + CANCEL_AFTER_S, "deadline": at + DEADLINE_S}.get(kind)
        phase.jobs.append(Sent(job_id, at, kind, due))
        if kind == "cancelled":
            cancels.append(threading.Timer(CANCEL_AFTER_S, cancel, [job_id]))
            cancels[-1].start()
    for timer in cancels:
        timer.join()
    return phase


class _Noise:
    """The noisy tenant: one thread for each kind, until the end of the `with` block."""

    def __init__(self, stack: Stack, kinds: list[str]) -> None:
        self._stack, self._over = stack, threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(kind,), daemon=True) for kind in kinds]
        self.counts, self.problems = dict.fromkeys(kinds, 0), list[str]()

    def __enter__(self) -> "_Noise":
        drip = {"provider": "fal", "endpoint": DRIPPING, "what": "drip", "seconds": 2, "times": -1}
        broken = {"provider": "fal", "endpoint": "acme/broken", "what": "error", "call": "run", "times": -1}
        for fault in ({**drip, "call": "file"}, {**drip, "call": "result", "times": 20}, broken):
            _twin(self._stack, "script", fault)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, kind: str) -> None:
        send: Callable[[int], Any] = getattr(self, f"_{kind}")
        pause_s = {"drip": 0.25, "flood": 1 / FLOOD_PER_S, "bomb": 2.0, "fail": 0.2}[kind]
        while not self._over.is_set():
            try:
                send(self.counts[kind])
                self.counts[kind] += 1
            except Exception as error:  # noqa: BLE001  # a refusal is an answer to noise
                self.problems.append(f"{kind}: {type(error).__name__}: {error}"[:200])
            self._over.wait(pause_s)

    def _drip(self, n: int) -> None:
        from tasks.generation import text_to_image

        text_to_image.delay(prompt=f"drip {n}", model="flux-lora", tenant="noisy", fallback=False)

    def _flood(self, n: int) -> None:
        from tasks.generation import text_to_image

        note = {"note": "x" * FLOOD_BYTES}
        text_to_image.delay(prompt=f"flood {n}", image_size="square", extra=note, tenant="noisy", fallback=False)

    def _bomb(self, n: int) -> None:
        from tasks.language import caption

        caption.delay(images=[_bomb()] * 2, about=f"bomb {n}", tenant="noisy", model="claude-haiku-5-5", fallback=False)

    def _fail(self, n: int) -> None:
        from tasks.generation import text_to_image

        text_to_image.delay(prompt=f"fail {n}", model="acme/broken", tenant="noisy", fallback=False)


_BOMBS: list[str] = []


def _bomb() -> str:
    if not _BOMBS:
        buffer = io.BytesIO()
        Image.new("L", (BOMB_SIDE, BOMB_SIDE)).save(buffer, "PNG")
        _BOMBS.append("data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode())
    return _BOMBS[0]


def _figures(phase: Phase, jobs: dict[str, Job]) -> dict[str, Any]:
    pictures = [sent for sent in phase.jobs if sent.kind == "picture"]
    latencies = sorted((jobs[sent.id].closed_at or math.inf) - sent.at for sent in pictures)
    heard = {
        kind: round(
            max(
                ((jobs[s.id].closed_at or math.inf) - (s.due_at or 0.0) for s in phase.jobs if s.kind == kind),
                default=0.0,
            ),
            2,
        )
        for kind in ("cancelled", "deadline")
    }
    return {
        "jobs": len(phase.jobs),
        "failed": sum(jobs[sent.id].stage != Stage.COMPLETED for sent in pictures),
        "p50_s": round(latencies[len(latencies) // 2], 2),
        "p95_s": round(_p95(latencies), 2),
        "slowest_s": round(latencies[-1], 2),
        "most_s_until_heard": heard,
        "steps_p95_s": _steps([(sent, jobs[sent.id]) for sent in pictures]),
    }


def _steps(done: list[tuple[Sent, Job]]) -> dict[str, float]:
    """Where the time goes, as 95th percentiles."""
    steps: dict[str, list[float]] = {"until accepted": [], "until begun": [], "until the ticket": [], "the rest": []}
    for sent, job in done:
        if not job.attempts or job.closed_at is None:
            continue
        attempt = job.attempts[-1]
        submitted_at = attempt.submitted_at or attempt.started_at
        times = [sent.at, job.created_at, attempt.started_at, submitted_at, job.closed_at]
        for name, before, after in zip(steps, times, times[1:], strict=False):
            steps[name].append(after - before)
    return {name: round(_p95(found), 2) for name, found in steps.items() if found}


def _p95(values: list[float]) -> float:
    return sorted(values)[math.ceil(len(values) * 0.95) - 1]


def _ended(stack: Stack, phase: Phase, timeout_s: float = 300.0) -> dict[str, Job]:
    """Wait until all jobs of a phase have ended, and return them by id."""
    deadline = time.monotonic() + timeout_s
    with redis.Redis.from_url(stack.redis_url) as client:
        while True:
            pipe = client.pipeline(transaction=False)
            for sent in phase.jobs:
                pipe.hget(f"kilnhand:job:{sent.id}", "doc")
            jobs = [load_job(row) for row in pipe.execute()]
            left = sum(not job.is_final for job in jobs)
            if not left or time.monotonic() > deadline:
                if left:
                    print(f"{left} good jobs had not ended after {timeout_s:.0f} s")
                return {job.id: job for job in jobs}
            time.sleep(0.5)


def _twin(stack: Stack, call: str, body: dict[str, Any]) -> None:
    httpx.post(f"{stack.twin_url}/_twin/{call}", json=body).raise_for_status()


if __name__ == "__main__":
    main()
