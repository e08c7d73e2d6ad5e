"""`kilnhand submit`: send one job, and follow it to its end."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from worker.cli.commands.job_arguments import find_task, read_fields
from worker.cli.commands.local_files import with_files
from worker.cli.commands.redis_reach import redis_needed
from worker.cli.commands.settings import read_settings
from worker.cli.screen import terminal
from worker.cli.screen.complaint import Complaint
from worker.cli.screen.follow import follow
from worker.cli.screen.jobs import open_screen
from worker.cli.screen.results import show_result, show_served
from worker.cli.screen.watch import Seen, Watched, see
from worker.edge.task import JobTask

TIMED_OUT, INTERRUPTED = 124, 130


def submit(name: str, pairs: Sequence[str], wait: bool, as_json: bool, timeout_s: float | None) -> int:
    """The exit status: 0 sent or succeeded, 1 failed, 2 refused, 124 not over in time, 130 left by Ctrl-C."""
    job_id = _send(name, pairs, as_json, read_settings().store.max_file_mb * 1_000_000)
    if job_id is None:
        return 2
    if not wait:
        _say_id(job_id, as_json)
        return 0
    if not as_json:
        terminal.err().print(Text(f"job {job_id}", style="dim"))
    return wait_for(Watched(name, job_id), as_json, timeout_s)


def _keep(key: str, path: Path, content_type: str) -> None:
    """Put a file into the store that the workers read."""
    from worker.errors import KilnhandError
    from worker.files.store import open_store

    settings = read_settings()

    async def put() -> None:
        with path.open("rb") as file:
            await open_store(settings.store, settings.gateway).put(key, file, content_type)

    try:
        asyncio.run(put())
    except KilnhandError as error:
        raise Complaint(f"{path} could not be put into the store: {error.message}") from error


def wait_for(job: Watched, as_json: bool, timeout_s: float | None) -> int:
    """Follow a job that was sent, show its ending, and return the exit status."""
    from worker.edge.app import app

    err = terminal.err()
    follow_on = f"kilnhand status {job.job_id} --follow"
    try:
        with redis_needed("the job cannot be followed (it goes on by itself)"):
            seen = follow([job], lambda job_id: see(app, job_id), open_screen(err, as_json), timeout_s=timeout_s)
    except KeyboardInterrupt:
        err.print(f"\nThe job goes on without you. Follow it with:  {follow_on}", soft_wrap=True)
        return INTERRUPTED
    last = seen[job.job_id]
    if not last.has_ended:
        _tell(job, {"error": _late(job.job_id, last, timeout_s or 0, follow_on)}, as_json)
        return TIMED_OUT
    return show_ending(job, last, as_json)


def show_ending(job: Watched, seen: Seen, as_json: bool) -> int:
    """The result on stdout, or the error; 0 or 1."""
    if seen.result is None:
        _tell(job, {"error": seen.error}, as_json)
        return 1
    if as_json:
        _tell(job, dict(seen.result), as_json)
    else:
        show_served(terminal.err(), seen.result)
        show_result(terminal.out(), seen.result)
    return 0


def _send(name: str, pairs: Sequence[str], as_json: bool, most_bytes: int) -> str | None:
    """The job's id; None when the request was refused, which is said."""
    from worker.errors import InvalidRequestError

    task, request = _read(name, pairs, as_json, most_bytes)
    try:
        with redis_needed("the job was not sent"):
            return str(task.delay(**request).id)
    except InvalidRequestError as error:
        if as_json:
            _print_json({"error": {"code": error.code, "message": error.message}})
        terminal.err().print(Text(f"{error.message}\nNothing was sent.", style="red"), soft_wrap=True)
        return None


def _read(name: str, pairs: Sequence[str], as_json: bool, most_bytes: int) -> tuple[JobTask, dict[str, Any]]:
    """The task and its request, files and all. Raises a `Complaint`, and says it as JSON too where that is wanted."""
    try:
        given, task = read_fields(pairs), find_task(name)
        return task, with_files(task.asks, given, _keep, most_bytes)
    except Complaint as complaint:
        if as_json:
            code = getattr(complaint.__cause__, "code", "invalid_request")
            _print_json({"error": {"code": code, "message": complaint.message}})
        raise


def _say_id(job_id: str, as_json: bool) -> None:
    if as_json:
        _print_json({"job_id": job_id})
    else:
        print(job_id)
        terminal.err().print(Text(f"follow it with:  kilnhand status {job_id} --follow", style="dim"), soft_wrap=True)


def _late(job_id: str, seen: Seen, timeout_s: float, follow_on: str) -> dict[str, str]:
    message = f"not over after {timeout_s:g} s (state {seen.state}); it goes on. Follow it with: {follow_on}; "
    message += f"what it waits for: kilnhand why {job_id}"
    return {"code": "timeout", "message": message}


def _tell(job: Watched, answer: dict[str, Any], as_json: bool) -> None:
    """One JSON object on stdout, or the error's message on stderr."""
    if as_json:
        _print_json(answer if "error" not in answer else {"job_id": job.job_id, **answer})
    else:
        terminal.err().print(Text(f"{job.name}: {answer['error']['message']}", style="red"), soft_wrap=True)


def _print_json(answer: dict[str, Any]) -> None:
    print(json.dumps(answer, ensure_ascii=False, indent=2))
