"""Many jobs in flight in one worker process: the time until all are done, and the worker's memory and CPU time.

    python -m benchmarks.in_flight [--jobs 500] [--seconds 10] [--polling]

The twin needs `--seconds` for each job. Webhooks go through a gateway, as in production; with `--polling` there is no
gateway. The last line is JSON. Figures can be compared within one machine only.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis

from worker.cli.processes.stack import Stack, run_stack


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--polling", action="store_true")
    options = parser.parse_args()
    processes = ("redis", "twin", "worker") if options.polling else ("redis", "twin", "worker", "gateway")
    with tempfile.TemporaryDirectory() as folder, run_stack(Path(folder), processes=processes) as stack:
        os.environ.update({name: value for name, value in stack.environment.items() if name.startswith("KILNHAND_")})
        print(json.dumps(measure(stack, options.jobs, options.seconds)))


def measure(stack: Stack, jobs: int, seconds: float) -> dict[str, Any]:
    """Enqueue the jobs, wait for all, and return the figures."""
    from tasks.generation import text_to_image

    httpx.post(f"{stack.twin_url}/_twin/pace", json={"seconds": 0.2}).raise_for_status()
    text_to_image.delay(prompt="warm", image_size="square").get(timeout=60)
    httpx.post(f"{stack.twin_url}/_twin/reset").raise_for_status()
    httpx.post(f"{stack.twin_url}/_twin/pace", json={"seconds": seconds, "concurrency": 2 * jobs}).raise_for_status()
    worker = psutil.Process(stack["worker"].pid)
    rss_before, cpu_before = worker.memory_info().rss, _cpu(worker)
    ids = [text_to_image.delay(prompt=f"job {n}", image_size="square").id for n in range(jobs)]
    rss_most = _wait(stack, ids, worker)
    ended = time.time()
    taken = httpx.get(f"{stack.twin_url}/_twin/requests").json()["requests"]
    return {
        "jobs": jobs,
        "seconds_each": seconds,
        "submissions": len(taken),
        "done_after_first_submit_s": round(ended - min(request["accepted_at"] for request in taken), 2),
        "worker_rss_growth_mb": round((rss_most - rss_before) / 1e6, 1),
        "worker_cpu_ms_per_job": round((_cpu(worker) - cpu_before) * 1000 / jobs, 1),
        "looks_per_job": round(sum(request["polls"] for request in taken) / jobs, 1),
    }


def _wait(stack: Stack, ids: list[str], worker: psutil.Process) -> int:
    """Wait until all jobs have succeeded; return the largest RSS of the worker in that time, in bytes."""
    most, deadline = 0, time.monotonic() + 300
    with redis.Redis.from_url(stack.redis_url) as client:
        while True:
            most = max(most, worker.memory_info().rss)
            metas = client.mget([f"celery-task-meta-{job_id}" for job_id in ids])
            done = sum(meta is not None and json.loads(meta)["status"] == "SUCCESS" for meta in metas)
            if done == len(ids):
                return most
            if time.monotonic() > deadline:
                raise SystemExit(f"only {done} of {len(ids)} jobs were done after 300 s")
            time.sleep(0.25)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    main()
