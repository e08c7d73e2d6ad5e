"""A child process: its own session, a log file, a condition that says when it is ready, and a sure end."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

GRACE_S = 10.0  # from SIGTERM to SIGKILL


class ChildFailedError(RuntimeError):
    """A child process ended, or did not get ready."""


class Child:
    """A process that can be started, ended, killed and started again. Its log is kept over starts."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        is_ready: Callable[[float], bool],
        cwd: Path | None = None,
        on_change: Callable[[str], None] = lambda line: None,
    ) -> None:
        """`on_change` is told `+pid` after a start and `-pid` after the end was seen."""
        self.name, self.command, self.env, self.log, self.cwd = name, list(command), dict(env), log, cwd
        self._is_ready, self._tell = is_ready, on_change
        self._process: subprocess.Popen[bytes] | None = None
        self._since = 0.0

    @property
    def pid(self) -> int:
        """The process id, which is its process group too."""
        if self._process is None:
            raise ChildFailedError(f"{self.name} was not started")
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll() if self._process else None

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, away from the terminal's Ctrl-C; `wait_ready` tells when it works."""
        self._since = time.time()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own programs
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,
            )
        self._tell(f"+{self.pid}")

    def wait_ready(self, timeout_s: float = 60.0, pause: Callable[[float], None] = time.sleep) -> None:
        """Return when it works. Raises `ChildFailedError` with the end of its log when it dies or takes too long."""
        deadline = time.monotonic() + timeout_s
        while not self._is_ready(self._since):
            if not self.is_alive:
                raise ChildFailedError(self.obituary())
            if time.monotonic() > deadline:
                raise ChildFailedError(f"{self.name} was not ready after {timeout_s:g} s; {self._end_of_log()}")
            pause(0.05)

    def signal(self, number: int) -> None:
        """Send a signal to its whole process group; nothing when it has ended."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait(GRACE_S)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """SIGTERM, and SIGKILL when it is there after the grace."""
        self.signal(signal.SIGTERM)
        self.wait(grace_s)

    def wait(self, timeout_s: float) -> None:
        """Wait for its end; whoever stays longer is killed."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self._process.wait()
        with contextlib.suppress(OSError):  # a grandchild that outlived it
            os.killpg(self.pid, signal.SIGKILL)
        self._tell(f"-{self.pid}")

    def log_text(self) -> str:
        """Everything it has written."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log_text().splitlines()[-lines:])

    def obituary(self) -> str:
        """How it ended and what it said last."""
        code = self.returncode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return f"{self.name} {how}; {self._end_of_log()}"

    def _end_of_log(self) -> str:
        return f"the end of {self.log}:\n{self.tail() or '(empty)'}"
