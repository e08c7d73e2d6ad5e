"""The folder `.kilnhand`, where `kilnhand up` keeps its lock, its secrets, and how other commands reach its stack."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TextIO

from worker.cli.errors import CliError

STATE_FOLDER = ".kilnhand"


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises a `CliError` when another `kilnhand up` holds it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CliError(
                f"another `kilnhand up` runs in this folder ({_holder(lock, folder)}); end it first"
            ) from None
        lock.truncate(0)
        print(os.getpid(), file=lock, flush=True)
        try:
            yield
        finally:
            (folder / "stack.json").unlink(missing_ok=True)


def write_environment(folder: Path, environment: Mapping[str, str]) -> None:
    """Write the stack's KILNHAND_ variables for the other commands of this folder. Only the owner can read them."""
    ours = {name: value for name, value in environment.items() if name.startswith("KILNHAND_")}
    write_secret(folder / "stack.json", json.dumps(ours, indent=1))


def use_running_stack(folder: Path) -> list[str]:
    """Set the variables of the stack that runs in this folder, and return their names. Variables already set win."""
    file = folder / "stack.json"
    if not file.exists() or not _is_locked(folder / "lock"):
        return []
    added = {name: value for name, value in json.loads(file.read_text()).items() if not os.environ.get(name)}
    os.environ.update(added)
    return list(added)


def read_or_create_secret(path: Path, fresh: str) -> str:
    """The secret in this file. A missing file is created with `fresh`."""
    if not path.exists():
        write_secret(path, fresh)
    return path.read_text().strip()


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from the moment it exists."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _holder(lock: TextIO, folder: Path) -> str:
    """Who holds the lock: its process, or the folder if that has not written its id yet."""
    lock.seek(0)
    pid = lock.read().strip()
    return f"pid {pid}" if pid else f"it holds the lock in {folder}"


def _is_locked(lock: Path) -> bool:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
