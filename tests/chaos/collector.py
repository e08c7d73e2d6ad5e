"""Reads everything after a run: rows, results, the twin's requests, files, leaked secrets, leftovers."""

import contextlib
import hashlib
import io
import json
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import httpx
import psutil
import redis
from PIL import Image

from tests.chaos.history import FINAL_STAGES, ExpectedJob, FetchedFile, FinalRow, History
from tests.chaos.input_marks import link_files
from tests.chaos.pipelines import with_steps
from tests.chaos.recorder import META, ROW, Recorder, files_of
from worker.cli.processes.stack import Stack

SECRETS = {
    "the fal key": "chaos-key-id:c5b1f2a98d0e4c7b",
    "the secret": "chaos-secret-0123456789abcdef",
}  # of every stack
PERMANENT_KEYS = (  # keys that have no expiry on purpose
    "_kombu.binding",
    "kilnhand:due:",
    "kilnhand:ended",
    "kilnhand:dead_messages_count",
    "unacked",  # of the shop's worker: ours are in keys of our own
)


def history_of(
    stack: Stack,
    client: redis.Redis,
    sent: Iterable[ExpectedJob],
    recorder: Recorder,
    but: Collection[str] = (),
) -> History:
    """Return what can be read after a run, while its stack is up; `but` are ids of requests that are not its own."""
    rows, results = rows_of(client), results_of(client)
    expected_jobs = with_steps(sent, rows, results)
    requests = requests_of(stack.twin_url, but)
    link_files(requests, expected_jobs, results)
    return History(
        expected_jobs=expected_jobs,
        rows=rows,
        row_versions=dict(recorder.row_versions),
        states=dict(recorder.states),
        results=results,
        requests=requests,
        files=fetch_files(results),
        leaks=leaks(client, stack.folder, json.dumps(requests), SECRETS),
        leftovers=leftovers(client, rows),
    )


def rows_of(client: redis.Redis) -> dict[str, FinalRow]:
    """Return all rows."""
    found = {}
    for key in client.scan_iter(f"{ROW}*", count=2000):
        row: Any = client.hgetall(key)
        job, ttl = key.decode().removeprefix(ROW), client.pttl(key)
        due = client.zscore(f"kilnhand:due:{row[b'queue'].decode()}", job) is not None
        found[job] = FinalRow(row[b"stage"].decode(), json.loads(row[b"doc"]), ttl / 1000 if ttl >= 0 else None, due)
    return found


def results_of(client: redis.Redis) -> dict[str, dict[str, Any]]:
    """Return state and result of every task that has a result."""
    found = {}
    for key in client.scan_iter(f"{META}*", count=2000):
        if raw := client.get(key):
            meta = json.loads(raw)
            found[key.decode().removeprefix(META)] = {"state": meta["status"], "result": meta["result"]}
    return found


def requests_of(twin_url: str, but: Collection[str]) -> list[dict[str, Any]]:
    """Return all requests that the twin accepted, except those in `but`."""
    requests = httpx.get(f"{twin_url}/_twin/requests", timeout=60).json()["requests"]
    return [request for request in requests if request["request_id"] not in but]


def fetch_files(results: dict[str, dict[str, Any]]) -> list[FetchedFile]:
    """Fetch all files of all successes through the gateway, and decode them."""
    named = [
        (job, file)
        for job, result in results.items()
        if result["state"] == "SUCCESS"
        for file in files_of(result["result"])
    ]
    with httpx.Client(timeout=60) as http, ThreadPoolExecutor(4) as threads:
        return list(threads.map(lambda each: FetchedFile(each[0], each[1]["url"], problem_of(http, each[1])), named))


def problem_of(http: httpx.Client, file: dict[str, Any]) -> str:
    """Return what is wrong with a file; empty if it is complete."""
    try:
        answer = http.get(file["url"])
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    if answer.status_code != 200:
        return f"HTTP {answer.status_code}"
    if len(answer.content) != file["bytes"] or hashlib.sha256(answer.content).hexdigest() != file["sha256"]:
        return f"{len(answer.content)} bytes, which are not the {file['bytes']} bytes of the result"
    try:
        return decoding_problem(answer.content, file["content_type"])
    except Exception as error:  # noqa: BLE001  # a decoder may raise anything
        return f"does not decode: {type(error).__name__}: {error}"


def decoding_problem(content: bytes, content_type: str) -> str:
    """Return what is wrong with the content; empty if it decodes. Raises what the decoder raises."""
    if content_type.startswith("image/"):
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return "" if image.convert("L").getextrema()[1] > 0 else "is black"
    if content_type.startswith("video/"):
        with av.open(io.BytesIO(content)) as container:
            return "" if sum(1 for _ in container.decode(video=0)) > 1 else "has less than two frames"
    if content_type.startswith("audio/"):
        with av.open(io.BytesIO(content)) as container:
            return "" if any(frame.samples for frame in container.decode(audio=0)) else "has no sound"
    if content_type == "application/json":
        json.loads(content)
    elif int.from_bytes(content[:8], "little") > len(content):
        return "is not a safetensors file"
    return ""


def leftovers(client: redis.Redis, rows: dict[str, FinalRow]) -> list[str]:
    """Return keys without expiry, open rows that are not due, final rows that are, and due entries without a row."""
    found = [f"row {job}: {row.stage} and in no due set" for job, row in rows.items() if _is_orphan(row)]
    found += [f"row {job}: final and still due" for job, row in rows.items() if row.stage in FINAL_STAGES and row.due]
    for key in client.scan_iter("kilnhand:due:*"):
        found += [
            f"{key.decode()}: {job.decode()} has no row"
            for job in client.zrange(key, 0, -1)
            if job.decode() not in rows
        ]
    for key in client.scan_iter("*", count=2000):
        name = key.decode()
        is_open = name.startswith(ROW) and rows.get(name.removeprefix(ROW), FinalRow("?", {})).stage not in FINAL_STAGES
        if client.pttl(key) == -1 and not name.startswith(PERMANENT_KEYS) and not is_open:
            found.append(f"{name}: has no expiry ({client.type(key).decode()})")
    return found


def _is_orphan(row: FinalRow) -> bool:
    return row.stage not in FINAL_STAGES and not row.due


def leaks(client: redis.Redis, folder: Path, more: str, secrets: dict[str, str]) -> list[str]:
    """Return where a secret is: in a log, in Redis's file, in a value, in the twin's record (`more`)."""
    found = [f"{name} in the twin's record" for name, secret in secrets.items() if secret in more]
    for path in [*(folder / "logs").glob("*.log"), *(folder / "redis").rglob("*.aof")]:
        raw = path.read_bytes()
        found += [f"{name} in {path.name}" for name, secret in secrets.items() if secret.encode() in raw]
    for key in client.scan_iter("*", count=2000):
        raw = value_of(client, key)
        found += [f"{name} in the key {key.decode()}" for name, secret in secrets.items() if secret.encode() in raw]
    return found


def value_of(client: Any, key: bytes) -> bytes:
    """Return the whole value of a key of any type."""
    match client.type(key):
        case b"string":
            return client.get(key) or b""
        case b"hash":
            return repr(client.hgetall(key)).encode()
        case b"list":
            return repr(client.lrange(key, 0, -1)).encode()
        case b"set":
            return repr(client.smembers(key)).encode()
        case b"zset":
            return repr(client.zrange(key, 0, -1)).encode()
    return b""


def processes_in(folder: Path) -> list[str]:
    """Return processes of the stack with this folder that are still alive."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        with contextlib.suppress(psutil.Error):
            words = [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
            if any(str(folder) in word for word in words):
                found.append(f"process {process.info['pid']}: {' '.join(process.info['cmdline'])[:200]}")
    return found
