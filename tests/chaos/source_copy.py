"""The copy of the source that a run uses: edits during the run do not reach it, and a sabotage stays inside it.

Python imports the copy and not the editable install, because `PYTHONPATH` comes before its `.pth` file;
`check_imports` makes sure of that.
"""

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("config", "tasks", "worker", "twin", "tests")
COPY_VARIABLE = (
    "KILNHAND_CHAOS_INSIDE"  # set in the process that runs from the copy; the value is the folder of the copy
)
_PROBE = "import worker.engine.dispatcher, tasks.generation, config.settings as c; print(worker.engine.dispatcher.__file__, c.__file__)"


class WrongSourceError(RuntimeError):
    """The processes would not import the copy."""


def copy_to(folder: Path) -> Path:
    """Copy the packages; return the folder."""
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier run in the same folder
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    return folder


def archive_to(commit: str, folder: Path) -> Path:
    """Copy a commit's files; return the folder. Raises `WrongSourceError` if the git history does not have it."""
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier run in the same folder
    folder.mkdir(parents=True)
    packed = subprocess.run(["git", "-C", ROOT, "archive", commit, *PACKAGES], capture_output=True, check=False)
    if packed.returncode != 0:
        raise WrongSourceError(f"git has no commit {commit} here: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def environment(copy: Path) -> dict[str, str]:
    """Return this process's environment, with the copy first on the import path."""
    return {**os.environ, "PYTHONPATH": str(copy), COPY_VARIABLE: str(copy), "PYTHONDONTWRITEBYTECODE": "1"}


def check_imports(copy: Path) -> None:
    """Raise WrongSourceError if a process of a stack would not import the copy."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", _PROBE],
        env=environment(copy),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0 or any(str(copy) not in path for path in ran.stdout.split()):
        raise WrongSourceError(f"Python does not import the copy in {copy}: {ran.stdout or ran.stderr}")


def run_from(copy: Path, words: Sequence[str]) -> int:
    """Run this package from the copy and return its exit status; Ctrl-C and SIGTERM are passed on."""
    command = [sys.executable, "-P", "-m", "tests.chaos", *words]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with subprocess.Popen(command, env=environment(copy), start_new_session=True) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                process.send_signal(signal.SIGINT)


def stop_with_parent() -> None:
    """Send SIGINT to this process when the process that started it has ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
