"""An outage of fal under a constant rate of jobs: which provider serves them, latencies, and submissions to fal.

    python -m benchmarks.fallback [--seconds 60] [--rate 20] [--around 30] [--fault 503]

Jobs are sent for `--around` seconds before the outage and twice as long after it. `503`: fal refuses submissions with
its own error, so no submission is unknown. `nginx`: the error page of a proxy, which does not show whether a submission
was accepted (none is). The last line is JSON; latencies are from acceptance to the decided ending.
"""

import argparse
import json
import math
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import redis

from worker.cli.processes.ports import free_port
from worker.cli.processes.specs import twin_spec
from worker.cli.processes.stack import Stack, run_stack
from worker.errors import SubmitUnknownError
from worker.jobs.job import Attempt, Job, Stage, load_job

FAULTS: dict[str, dict[str, Any]] = {
    "503": {"what": "http", "status": 503, "headers": {"X-Fal-Error-Type": "internal_error"}, "body": {"detail": "no"}},
    "nginx": {"what": "nginx", "status": 503, "accepted": False},
}
PACE = {"seconds": 0.5, "concurrency": 1000}


@dataclass(frozen=True)
class Outage:
    """Begin and end of the outage, in seconds since the epoch."""

    began: float
    ended: float

    def phase(self, at: float) -> str:
        """Return the phase of a time: before, during or after the outage."""
        return "before" if at < self.began else "during" if at < self.ended else "after"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--around", type=float, default=30.0)
    parser.add_argument("--fault", choices=sorted(FAULTS), default="503")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, run_stack(Path(folder), processes=("redis", "twin")) as stack:
        port = free_port()
        stack.add("twin-of-google", *twin_spec(port)).wait_ready()
        google = f"http://127.0.0.1:{port}"
        stack.start_worker("worker", env={"KILNHAND_GOOGLE_BASE_URL": f"{google}/google"})
        os.environ.update({name: value for name, value in stack.environment.items() if name.startswith("KILNHAND_")})
        print(json.dumps(measure(stack, google, options)))


def measure(stack: Stack, google: str, options: argparse.Namespace) -> dict[str, Any]:
    """Send jobs before, during and after an outage, wait for all, and return the figures."""
    fal = stack.twin_url
    for url in (fal, google):
        _twin(url, "pace", PACE)
    ids = _send(options.rate, options.around)
    _twin(fal, "script", {"provider": "fal", "call": "submit", "times": -1, **FAULTS[options.fault]})
    began = time.time()
    ids += _send(options.rate, options.seconds)
    taken = _accepted_count(fal)  # a reset ends the fault and the count; no submission is accepted during the fault
    _twin(fal, "reset", {})
    outage = Outage(began, time.time())
    _twin(fal, "pace", PACE)
    ids += _send(options.rate, 2 * options.around)
    jobs = _ended(stack, ids)
    counts = {"fal": taken + _accepted_count(fal), "vertex": _accepted_count(google)}
    outage_figures = {"fault": options.fault, "outage_s": round(outage.ended - began, 1)}
    return outage_figures | _figures(jobs, outage, _opened_at(stack) - began, counts)


def _figures(jobs: list[Job], outage: Outage, opened_s: float, taken: dict[str, int]) -> dict[str, Any]:
    done = [job for job in jobs if job.stage == Stage.COMPLETED]
    served = Counter(job.attempts[-1].provider for job in done)
    at_fal = sorted((a for job in jobs for a in job.attempts if a.provider == "fal"), key=lambda a: a.started_at)
    during_outage = [a for a in at_fal if outage.began <= a.started_at < outage.ended]
    probes = [a for a in during_outage if a.started_at > outage.began + opened_s]
    back = [a.started_at - outage.ended for a in at_fal if a.started_at >= outage.ended and not a.error]
    return {
        "jobs": len(jobs),
        "served_by": dict(served),
        "failed": len(jobs) - len(done),
        "latency_s": {phase: _latency(jobs, outage, phase) for phase in ("before", "during", "after")},
        "circuit_opened_after_s": round(opened_s, 1),
        "fal_asked_until_then": len(during_outage) - len(probes),
        "fal_asked_later_at_s": [round(a.started_at - outage.began, 1) for a in probes],
        "most_probes_at_once": max((sum(_overlap(a, b) for b in probes) for a in probes), default=0),
        "first_served_by_fal_after_s": round(min(back), 1) if back else None,
        "all_served_by_fal_after_s": _last_elsewhere(done, outage),
        "taken": taken,
        "paid_twice": sum(taken.values()) - len(done),
        "possible_duplicates": sum(job.attempts[-1].possible_duplicate for job in done),
    }


def _latency(jobs: Iterable[Job], outage: Outage, phase: str) -> dict[str, float]:
    """Return median and 95th percentile of jobs that were accepted in this phase."""
    found = sorted((j.closed_at or 0) - j.created_at for j in jobs if outage.phase(j.created_at) == phase)
    return {f"p{p}": round(found[math.ceil(len(found) * p / 100) - 1], 2) for p in (50, 95)} if found else {}


def _overlap(one: Attempt, other: Attempt) -> bool:
    """Whether `other` was open when `one` began. An unknown submission ended at once, with the proxy's page."""
    is_unknown = other.error is not None and other.error.code == SubmitUnknownError.code
    ended_at = other.started_at if is_unknown else other.ended_at or math.inf
    return other is one or other.started_at <= one.started_at < ended_at


def _last_elsewhere(done: Iterable[Job], outage: Outage) -> float | None:
    """Return the time after the outage at which the last job was sent that another provider served; None if none."""
    late = [
        j.created_at - outage.ended for j in done if j.attempts[-1].provider != "fal" and j.created_at > outage.ended
    ]
    return round(max(late), 1) if late else None


def _send(rate: float, seconds: float) -> list[str]:
    from tasks.generation import text_to_image

    began, ids = time.monotonic(), list[str]()
    for n in range(round(rate * seconds)):
        time.sleep(max(0.0, began + n / rate - time.monotonic()))
        ids.append(text_to_image.delay(prompt=f"job {n}", image_size="square", output_format="jpeg").id)
    return ids


def _ended(stack: Stack, ids: list[str], timeout_s: float = 300.0) -> list[Job]:
    """Wait until all jobs have ended, and return them."""
    deadline = time.monotonic() + timeout_s
    with redis.Redis.from_url(stack.redis_url) as client:
        while True:
            pipe = client.pipeline(transaction=False)
            for job_id in ids:
                pipe.hget(f"kilnhand:job:{job_id}", "doc")
            jobs = [load_job(row) for row in pipe.execute()]
            if all(job.is_final for job in jobs):
                return jobs
            if time.monotonic() > deadline:
                raise SystemExit(f"{sum(not job.is_final for job in jobs)} jobs had not ended after {timeout_s:.0f} s")
            time.sleep(1)


def _opened_at(stack: Stack) -> float:
    """Return when the first circuit opened, from the worker's log, in seconds since the epoch."""
    lines = [line for line in stack["worker"].log_text().splitlines() if '"circuit_opened"' in line]
    return datetime.fromisoformat(json.loads(lines[0])["timestamp"]).timestamp()


def _twin(url: str, call: str, body: dict[str, Any]) -> None:
    httpx.post(f"{url}/_twin/{call}", json=body).raise_for_status()


def _accepted_count(url: str) -> int:
    """Return how many submissions this twin has accepted since its reset."""
    return int(httpx.get(f"{url}/_twin/requests", params={"count": 1}).json()["count"])


if __name__ == "__main__":
    main()
