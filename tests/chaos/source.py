"""A copy of the source, from which a run works: edits made meanwhile do not reach it, and a sabotage stays in it.

The copy wins over the editable install because `PYTHONPATH` comes before its `.pth` file; a probe makes sure.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("config", "tasks", "worker", "twin", "tests")
INSIDE = "KILNHAND_CHAOS_INSIDE"  # set in the process that works from the copy: the copy's folder
_PROBE = "import worker.engine.dispatcher, tasks.generation, config.settings as c; print(worker.engine.dispatcher.__file__, c.__file__)"


class WrongSourceError(RuntimeError):
    """The processes would not run the copy."""


def copy_to(folder: Path) -> Path:
    """Copy the packages; returns the folder to import from."""
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier run in the same place
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    return folder


def environment(copy: Path) -> dict[str, str]:
    """This process's environment, with the copy first among what is imported."""
    return {**os.environ, "PYTHONPATH": str(copy), INSIDE: str(copy), "PYTHONDONTWRITEBYTECODE": "1"}


def probe(copy: Path) -> None:
    """Raise `WrongSourceError` when a process like a stack's would import something else."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", _PROBE],
        env=environment(copy),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0 or any(str(copy) not in path for path in ran.stdout.split()):
        raise WrongSourceError(f"the copy in {copy} is not what is imported: {ran.stdout or ran.stderr}")


def run_from(copy: Path, words: Sequence[str]) -> int:
    """Run this package from the copy, and return its exit status; Ctrl-C and SIGTERM are handed on."""
    command = [sys.executable, "-P", "-m", "tests.chaos", *words]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with subprocess.Popen(command, env=environment(copy), start_new_session=True) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                process.send_signal(signal.SIGINT)


def end_with_parent() -> None:
    """Stop as by Ctrl-C when the process that started this one is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()
