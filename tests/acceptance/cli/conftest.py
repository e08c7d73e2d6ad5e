"""Runs `kilnhand` as a process in its own folder, with an environment without keys and Redis."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import wait_until

KILNHAND = [sys.executable, "-P", "-m", "worker.cli"]
READY = "Ctrl-C ends everything"


@dataclass(frozen=True)
class Finished:
    """The exit status and the output of a finished command."""

    status: int
    out: str
    err: str


def environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings and keys, with `folder` as home."""
    foreign = ("KILNHAND_", "FAL_", "FLOWER_", "CELERY_", "COLUMNS", "GOOGLE_", "GEMINI_", "ANTHROPIC_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**inherited, "HOME": str(folder), **(more or {})}


@pytest.fixture
def kilnhand(tmp_path: Path) -> Callable[..., Finished]:
    """Runs a command and waits for its end."""

    def run(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path = tmp_path) -> Finished:
        done = subprocess.run(
            [*KILNHAND, *arguments],
            env=environment(tmp_path, env),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


class RunningCommand:
    """A running command, and the processes that it has started."""

    def __init__(self, folder: Path, *arguments: str, env: Mapping[str, str] | None = None, tty: int | None = None):
        self.folder, self.log = folder, folder / f"{'-'.join(arguments[:2])}.out"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*KILNHAND, *arguments],
                env=environment(folder, env),
                cwd=folder,
                stdin=subprocess.DEVNULL if tty is None else tty,
                stdout=log if tty is None else tty,
                stderr=log if tty is None else tty,
                start_new_session=True,
            )
        self.started: set[psutil.Process] = set()

    def text(self) -> str:
        return self.log.read_text()

    def says(self, words: str, timeout_s: float = 120.0) -> None:
        """Wait until its output contains these words."""
        wait_until(lambda: words in self.text() or self.ended(), f"it says {words!r}", timeout_s)
        assert words in self.text(), self.text()

    def children(self) -> set[psutil.Process]:
        """All processes that it has started so far."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.started |= set(psutil.Process(self.process.pid).children(recursive=True))
        return self.started

    def child(self, word: str) -> psutil.Process:
        """The running process with this word on its command line. Others may end at any moment."""
        for process in self.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if word in process.cmdline():
                    return process
        raise AssertionError(f"no process {word}")

    def ended(self) -> bool:
        self.children()
        return self.process.poll() is not None

    def end(self, number: int = signal.SIGINT, timeout_s: float = 120.0) -> int:
        """Send a signal and wait for the exit status."""
        self.children()
        self.process.send_signal(number)
        return self.process.wait(timeout_s)

    def left(self) -> list[psutil.Process]:
        """The processes that it has started and that still run."""
        return [process for process in self.started if _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., RunningCommand]]:
    """Starts a command and returns at once. After the test, it and its processes are killed."""
    found: list[RunningCommand] = []

    def start(*arguments: str, env: Mapping[str, str] | None = None, tty: int | None = None) -> RunningCommand:
        found.append(RunningCommand(tmp_path, *arguments, env=env, tty=tty))
        return found[-1]

    yield start
    for one in found:
        if one.process.poll() is None:
            one.children()
            one.process.kill()
            one.process.wait()
        for process in one.left():
            process.kill()
