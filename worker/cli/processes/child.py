"""A child process in its own session, with a log file, a readiness check, and a reliable stop."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

GRACE_S = 10.0  # from SIGTERM to SIGKILL


class ChildFailedError(RuntimeError):
    """A child process ended, or was not ready in time."""


class Child:
    """A process that can be started, stopped, killed and started again. A new start appends to the same log."""

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
        """`on_change` gets `+pid` after each start and `-pid` after each end."""
        self.name, self.command, self.env, self.log, self.cwd = name, list(command), dict(env), log, cwd
        self._is_ready, self._on_change = is_ready, on_change
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group."""
        if self._process is None:
            raise ChildFailedError(f"{self.name} was not started")
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll() if self._process else None

    @property
    def is_alive(self) -> bool:
        """True while it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it in a new session, so that Ctrl-C in the terminal does not reach it. Does not wait."""
        self._started_at = time.time()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # only our own programs
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,
            )
        self._on_change(f"+{self.pid}")

    def wait_ready(self, timeout_s: float = 60.0, pause: Callable[[float], None] = time.sleep) -> None:
        """Wait until it is ready. Raises `ChildFailedError` with the end of its log if it ends or takes too long."""
        deadline = time.monotonic() + timeout_s
        while not self._is_ready(self._started_at):
            if not self.is_alive:
                raise ChildFailedError(self.exit_report())
            if time.monotonic() > deadline:
                raise ChildFailedError(f"{self.name} was not ready after {timeout_s:g} s; {self._end_of_log()}")
            pause(0.05)

    def signal(self, number: int) -> None:
        """Send a signal to its process group. Does nothing after its end."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL and wait for the end."""
        self.signal(signal.SIGKILL)
        self.wait(GRACE_S)

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Send SIGTERM; send SIGKILL if it still runs after the grace period."""
        self.signal(signal.SIGTERM)
        self.wait(grace_s)

    def wait(self, timeout_s: float) -> None:
        """Wait for its end, and send SIGKILL after the timeout."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self._process.wait()
        with contextlib.suppress(OSError):  # its own children may still run
            os.killpg(self.pid, signal.SIGKILL)
        self._on_change(f"-{self.pid}")

    def log_text(self) -> str:
        """Its whole log."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        return "\n".join(self.log_text().splitlines()[-lines:])

    def exit_report(self) -> str:
        """How it ended, and the end of its log."""
        code = self.returncode or 0
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        return f"{self.name} {how}; {self._end_of_log()}"

    def _end_of_log(self) -> str:
        return f"the end of {self.log}:\n{self.tail() or '(empty)'}"
