"""`kilnhand submit`: send one job and follow it until it ends."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from worker.cli.errors import CliError
from worker.cli.follow import follow_one
from worker.cli.job_arguments import find_task, read_fields
from worker.cli.job_snapshot import FollowedJob
from worker.cli.local_files import attach_files
from worker.cli.redis_errors import report_redis_errors
from worker.cli.screen import terminal
from worker.cli.settings import read_settings
from worker.edge.job_task import JobTask

HOW_TO_FIND_THE_STORE = (
    "Start everything with `kilnhand up` in this folder. If it runs in another one, set KILNHAND_STORE_URL to "
    "file:// and the path of .kilnhand/files there."
)


def submit(name: str, pairs: Sequence[str], wait: bool, as_json: bool, timeout_s: float | None) -> int:
    """The exit status: 0 sent or succeeded, 1 failed, 2 refused, 124 timeout, 130 Ctrl-C while waiting."""
    job_id = _send(name, pairs, as_json, read_settings().store.max_file_mb * 1_000_000)
    if job_id is None:
        return 2
    if not wait:
        _show_id(job_id, as_json)
        return 0
    if not as_json:
        terminal.err().print(Text(f"job {job_id}", style="dim"))
    return follow_one(FollowedJob(name, job_id), as_json, timeout_s)


def _send(name: str, pairs: Sequence[str], as_json: bool, max_bytes: int) -> str | None:
    """The job's id; None when the request was refused. Prints the refusal."""
    from worker.errors import InvalidRequestError, KilnhandError

    task, request = _read(name, pairs, max_bytes)
    try:
        with report_redis_errors("the job was not sent"):
            return str(task.delay(**request).id)
    except InvalidRequestError as error:
        if as_json:
            terminal.print_json({"error": {"code": error.code, "message": error.message}})
        terminal.err().print(Text(f"{error.message}\nNothing was sent.", style="red"), soft_wrap=True)
        return None
    except KilnhandError as error:
        raise CliError(f"the job was not sent: {error.message}", code=error.code) from error


def _read(name: str, pairs: Sequence[str], max_bytes: int) -> tuple[JobTask, dict[str, Any]]:
    """The task and its request with its files. Raises a `CliError`."""
    task = find_task(name)
    return task, attach_files(task.asks, read_fields(task.asks, pairs), _store_file, max_bytes)


def _store_file(key: str, path: Path, content_type: str) -> None:
    """Put a file into the store that the workers read."""
    from worker.errors import KilnhandError
    from worker.files.store import open_for_writing
    from worker.files.upload import check_folder

    settings = read_settings()

    async def put() -> None:
        with path.open("rb") as file:
            await open_for_writing(settings.store).put(key, file, content_type)

    try:
        check_folder(settings.store)
        asyncio.run(put())
    except KilnhandError as error:
        message = f"{path} could not be put into the store: {error.message}\n{HOW_TO_FIND_THE_STORE}"
        raise CliError(message, code=error.code) from error


def _show_id(job_id: str, as_json: bool) -> None:
    if as_json:
        terminal.print_json({"job_id": job_id})
    else:
        print(job_id)
        terminal.err().print(Text(f"follow it with:  kilnhand status {job_id} --follow", style="dim"), soft_wrap=True)
