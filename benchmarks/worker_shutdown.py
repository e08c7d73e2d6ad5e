"""The time from SIGTERM to the end of a worker with jobs in flight, and the time until the next worker is ready.

    python -m benchmarks.worker_shutdown [--jobs 1000]

The last line is JSON. The shutdown does not wait for the jobs, because they are rows.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import redis

from worker.cli.processes.stack import Stack, run_stack
from worker.jobs.job import Stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        run_stack(Path(folder), processes=("redis", "twin", "worker")) as stack,
    ):
        os.environ.update({name: value for name, value in stack.environment.items() if name.startswith("KILNHAND_")})
        print(json.dumps(measure(stack, options.jobs)))


def measure(stack: Stack, jobs: int) -> dict[str, Any]:
    """Send jobs until all wait at the provider, stop the worker, and start another; return the figures."""
    from tasks.generation import text_to_image

    httpx.post(f"{stack.twin_url}/_twin/pace", json={"seconds": 60, "concurrency": 2 * jobs}).raise_for_status()
    ids = [text_to_image.delay(prompt=f"job {n}", image_size="square").id for n in range(jobs)]
    with redis.Redis.from_url(stack.redis_url, decode_responses=True) as client:
        _until(lambda: _at(client, ids, Stage.WAITING) == jobs)
        began = time.monotonic()
        stack["worker"].stop(grace_s=60)
        gone_s = time.monotonic() - began
        began = time.monotonic()
        stack.start_worker("worker-2")
        ready_s = time.monotonic() - began
        _until(lambda: _at(client, ids, Stage.COMPLETED) == jobs)
    taken = httpx.get(f"{stack.twin_url}/_twin/requests", params={"count": 1}).json()["count"]
    return {"jobs": jobs, "gone_s": round(gone_s, 2), "next_ready_s": round(ready_s, 2), "submissions": taken}


def _at(client: Any, ids: list[str], stage: Stage) -> int:
    pipe = client.pipeline(transaction=False)
    for job_id in ids:
        pipe.hget(f"kilnhand:job:{job_id}", "stage")
    return sum(found == stage for found in pipe.execute())


def _until(met: Any, timeout_s: float = 300.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not met():
        assert time.monotonic() < deadline, f"not met within {timeout_s:.0f} s"
        time.sleep(0.2)


if __name__ == "__main__":
    main()
