"""The house that `kilnhand up` keeps in a folder: one at a time, and found by the other commands of that folder."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from worker.cli.screen.complaint import Complaint

FOLDER = ".kilnhand"


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises a `Complaint` when another `kilnhand up` has it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / ".gitignore").write_text("*\n")
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Complaint(f"another `kilnhand up` runs in this folder (it holds {folder}); end it first") from None
        try:
            yield
        finally:
            (folder / "house.json").unlink(missing_ok=True)


def announce(folder: Path, environment: Mapping[str, str]) -> None:
    """Tell the other commands of this folder how to reach the house. For the owner's eyes only."""
    ours = {name: value for name, value in environment.items() if name.startswith("KILNHAND_")}
    write_secret(folder / "house.json", json.dumps(ours, indent=1))


def join(folder: Path) -> list[str]:
    """Take over the variables of the house that runs in this folder, and name them; those already set win."""
    told = folder / "house.json"
    if not told.exists() or not _is_held(folder / "lock"):
        return []
    taken = {name: value for name, value in json.loads(told.read_text()).items() if not os.environ.get(name)}
    os.environ.update(taken)
    return list(taken)


def kept(path: Path, fresh: str) -> str:
    """The secret kept in this file, which is made with `fresh` when there is none."""
    if not path.exists():
        write_secret(path, fresh)
    return path.read_text().strip()


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first moment."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _is_held(lock: Path) -> bool:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
