"""Records rows of an older version: the fixtures of `test_rows`. `python -m tests.contract.rows.record COMMIT` makes them again.

A copy of that commit runs jobs against the twin. Redis's append-only file then has every version of every row, as that
version wrote it. The module of rows of that version is stored beside them, so that tests need no git history.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "version_before"
MODULES = {"job.py": "worker/jobs/job.py", "signals.py": "worker/jobs/signals.py"}
INSIDE = "--inside"  # this file then runs in the old copy, and imports nothing that is newer
ENDED = {b"completed", b"failed", b"cancelled"}


def record(commit: str) -> None:
    """Write the fixtures."""
    from tests.chaos.source_copy import archive_to, environment

    with tempfile.TemporaryDirectory() as folder:
        copy = archive_to(commit, Path(folder) / "source")
        command = [sys.executable, "-P", __file__, INSIDE, folder]
        subprocess.run(command, env=environment(copy), cwd=folder, check=True)
        for name, path in MODULES.items():
            (FOLDER / name).write_bytes((copy / path).read_bytes())
    (FOLDER / "commit.txt").write_text(f"{commit}\n")


def run_jobs(folder: Path) -> list[dict[str, str]]:
    """Run jobs that pass every stage; return the hash of each row, once for each stage."""
    from worker.cli.processes.stack import run_stack

    with run_stack(folder / "stack", processes=("redis", "twin", "worker"), persist=True) as stack:
        _send_jobs(stack)
    (log,) = (folder / "stack" / "redis").rglob("*.incr.aof")
    return list(rows_in(commands_in(log.read_bytes())))


def _send_jobs(stack: Any) -> None:
    import httpx
    import redis
    from celery import chain

    from tasks.generation import text_to_image
    from tasks.video import image_to_video
    from tests.chaos.producer import use_stack
    from worker.client import cancel

    use_stack(stack)
    slow = {"endpoints": {"fal-ai/flux/dev": 60, "fal-ai/flux/schnell": 1.0, "fal-ai/veo3.1/fast/image-to-video": 3.0}}
    httpx.post(f"{stack.twin_url}/_twin/pace", json=slow).raise_for_status()
    lost = {"call": "submit", "what": "drop", "times": 1, "endpoint": "fal-ai/flux/schnell"}
    httpx.post(f"{stack.twin_url}/_twin/script", json=lost).raise_for_status()
    first = text_to_image.s(prompt="a fox", image_size="landscape_16_9", num_images=2, tenant="t", labels={"a": "b"})
    sent = chain(first, image_to_video.s(prompt="a fox runs", duration_s=4)).apply_async()
    jobs = [sent.parent.id, sent.id, text_to_image.delay(prompt="nothing", model="flux-lora", extra=_doomed()).id]
    stopped = text_to_image.delay(prompt="a slow fox", model="flux-dev", idempotency_key="once")
    with redis.Redis.from_url(stack.redis_url) as client:
        _until(lambda: client.hget(f"kilnhand:job:{stopped.id}", "stage") == b"waiting")
        cancel(stopped.id)
        _until(lambda: all(client.hget(f"kilnhand:job:{job}", "stage") in ENDED for job in [*jobs, stopped.id]))


def _doomed() -> dict[str, Any]:
    """Arguments that fal accepts, for a run that fails."""
    return {"image_url": "http://127.0.0.1:9/nothing.png"}


def _until(met: Any, timeout_s: float = 240.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not met():
        if time.monotonic() > deadline:
            raise TimeoutError("the jobs have not ended")
        time.sleep(0.2)


def commands_in(log: bytes) -> Iterator[list[bytes]]:
    """Return the commands of an append-only file."""
    at = 0
    while at < len(log):
        end = log.index(b"\r\n", at)
        at, count = end + 2, int(log[at + 1 : end]) if log[at : at + 1] == b"*" else 0
        words = []
        for _ in range(count):
            end = log.index(b"\r\n", at)
            size = int(log[at + 1 : end])
            words.append(log[end + 2 : end + 2 + size])
            at = end + 2 + size + 2
        if words:
            yield words


def rows_in(commands: Iterator[list[bytes]]) -> Iterator[dict[str, str]]:
    """Return the hash of each row after its last write at each stage, with the row's id."""
    rows: dict[str, dict[str, str]] = {}
    kept: dict[tuple[str, str], dict[str, str]] = {}
    for name, *words in commands:
        if name.upper() == b"HSET" and words[0].startswith(b"kilnhand:job:"):
            job, values = words[0].decode().removeprefix("kilnhand:job:"), [word.decode() for word in words[1:]]
            row = rows.setdefault(job, {"id": job})
            row |= dict(zip(values[::2], values[1::2], strict=True))
            kept[job, row["stage"]] = dict(row)
    yield from kept.values()


def main(words: list[str]) -> None:
    """Record a commit; or, in its copy, write its names, run the jobs and write the rows."""
    if words[0] == INSIDE:
        sys.path.append(str(Path(__file__).parent))
        from row_names import all_names

        (FOLDER / "names.txt").write_text("".join(f"{name}\n" for name in sorted(all_names())))
        rows = run_jobs(Path(words[1]))
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (FOLDER / "rows.jsonl").write_text(text.replace(f"@{socket.gethostname()}", "@host"))
    else:
        record(words[0])


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # else Celery's results connect to Redis while Python shuts down
