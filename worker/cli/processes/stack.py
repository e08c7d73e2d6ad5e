"""A stack: Redis, twin, worker, gateway and Flower as local processes. For `kilnhand up`, tests and benchmarks.

    with run_stack(tmp_path, processes=("redis", "twin", "worker", "gateway")) as stack:
        stack.redis_url, stack.twin_url, stack.gateway_url, stack["worker"].pid
        second = stack.start_worker("worker-2", queues="generation", env={"KILNHAND_LEASE_S": "2"})
        stack["worker"].kill()            # kill -9;  .start() and .wait_ready() start it again
        second.log_text()
        stack.environment                 # the variables that a producer needs to reach this stack

All files are in `folder`: `logs/<name>.log`, `files/` (the store), `redis/`. All processes end with the block; the
watchdog ends them when this process dies. `child` handles one process; `specs` has the commands.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from worker.cli.processes import watchdog
from worker.cli.processes.child import GRACE_S, Child, ChildFailedError
from worker.cli.processes.ports import free_port
from worker.cli.processes.specs import (
    Addresses,
    ProcessSpec,
    flower_spec,
    gateway_spec,
    heartbeat_file,
    redis_spec,
    twin_spec,
    worker_spec,
)

__all__ = ["Child", "ChildFailedError", "Stack", "run_stack"]

PROCESSES = ("redis", "twin", "worker", "gateway", "flower")
PORT_TAKEN = "Address already in use"
_NOT_INHERITED = ("KILNHAND_", "FAL_", "FLOWER_", "CELERY_", "GOOGLE_", "GEMINI_", "ANTHROPIC_")


class Stack:
    """Local processes that work together. `close` ends Redis last, because the others need it to end cleanly."""

    def __init__(
        self,
        folder: Path,
        addresses: Addresses,
        environment: Mapping[str, str],
        cwd: Path,
        *,
        persist: bool = False,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`environment` is the children's complete environment; `cwd` is where they look for `.env`.

        With `persist`, Redis writes to disk, so jobs survive its restart. `pause` sleeps between readiness checks.
        """
        self.folder, self.addresses, self.environment, self.cwd = folder, addresses, dict(environment), cwd
        self.persist, self._pause = persist, pause
        self.children: dict[str, Child] = {}
        self._watchdog = _start_watchdog()
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)

    redis_url = property(lambda self: self.addresses.redis_url)
    twin_url = property(lambda self: self.addresses.twin_url)
    gateway_url = property(lambda self: self.addresses.gateway_url)
    flower_url = property(lambda self: self.addresses.flower_url)
    flower_auth = property(lambda self: self.addresses.flower_auth)

    def __getitem__(self, name: str) -> Child:
        return self.children[name]

    def start(self, *names: str) -> None:
        """Start these processes and wait until all are ready: Redis, then the twin, then the rest in parallel."""
        for first in ("redis", "twin"):
            if first in names:
                self.add(first, *self._spec(first)).wait_ready(pause=self._pause)
        rest = [self.add(name, *self._spec(name)) for name in names if name not in {"redis", "twin"}]
        for child in rest:
            try:
                child.wait_ready(pause=self._pause)
            except ChildFailedError:
                if child.name != "flower" or child.is_alive or PORT_TAKEN not in child.log_text():
                    raise
                self._move_flower()

    def _move_flower(self) -> None:
        """Start Flower on another port: its port was free when it was chosen, and another program has taken it since.

        Only Flower can move now. The others know the addresses of Redis, twin and gateway already.
        """
        self.addresses = replace(self.addresses, flower_port=free_port())
        self.add("flower", *self._spec("flower")).wait_ready(pause=self._pause)

    def start_worker(self, name: str, *, queues: str | None = None, env: Mapping[str, str] | None = None) -> Child:
        """Start one more worker and wait until it takes jobs. `queues` is the value of Celery's -Q."""
        child = self.add(name, *worker_spec(self.folder, name, queues), env=env)
        child.wait_ready(pause=self._pause)
        return child

    def add(
        self, name: str, command: Sequence[str], is_ready: Callable[[float], bool], env: Mapping[str, str] | None = None
    ) -> Child:
        """Start a process with its own log, and end it with the stack. `env` is added to the stack's environment."""
        log = self.folder / "logs" / f"{name}.log"
        log.unlink(missing_ok=True)
        more = {"KILNHAND_HEARTBEAT_FILE": str(heartbeat_file(self.folder, name))} if name.startswith("worker") else {}
        full = {**self.environment, **more, **(env or {})}
        child = Child(name, command, full, log, is_ready, self.cwd, self._tell_watchdog)
        self.children[name] = child
        child.start()
        return child

    def ended(self) -> list[Child]:
        """The processes that have ended."""
        return [child for child in self.children.values() if not child.is_alive]

    def close(self, grace_s: float = GRACE_S) -> None:
        """End all: workers, gateway and Flower in parallel, then the twin, then Redis."""
        first = [child for name, child in self.children.items() if name not in {"redis", "twin"}]
        for child in reversed(first):
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        for child in reversed(first):
            child.wait(max(0.1, deadline - time.monotonic()))
        for name in ("twin", "redis"):
            if name in self.children:
                self.children[name].stop(grace_s)
        with contextlib.suppress(OSError):
            self._watchdog.communicate(timeout=watchdog.GRACE_S + 2)

    def kill(self) -> None:
        """Send SIGKILL to all at once. Call `close` afterwards."""
        for child in self.children.values():
            child.signal(signal.SIGKILL)

    def _spec(self, name: str) -> ProcessSpec:
        at = self.addresses
        match name:
            case "redis":
                return redis_spec(self.folder, at.redis_port or 0, self.persist)
            case "twin":
                return twin_spec(at.twin_port or 0)
            case "gateway":
                return gateway_spec(at.gateway_port)
            case "flower":
                return flower_spec(at.flower_port, at.flower_auth)
            case _:
                return worker_spec(self.folder, name)

    def _tell_watchdog(self, line: str) -> None:
        if self._watchdog.stdin and not self._watchdog.stdin.closed:
            with contextlib.suppress(OSError):
                self._watchdog.stdin.write(f"{line}\n".encode())
                self._watchdog.stdin.flush()


@contextlib.contextmanager
def run_stack(
    folder: Path, *, processes: Sequence[str] = PROCESSES, env: Mapping[str, str] | None = None, persist: bool = False
) -> Iterator[Stack]:
    """Run an isolated stack: free ports, a new secret, no KILNHAND_ or vendor variables of this process.

    `env` is added to every child's environment and wins. With `persist`, Redis writes to disk and may be restarted.
    Without a gateway nothing receives webhooks, so they are switched off.
    """
    own = env or {} if "gateway" in processes else {"KILNHAND_WEBHOOKS": "off", **(env or {})}
    addresses = free_addresses()
    stack = Stack(folder, addresses, isolated_environment(folder, addresses, own), cwd=folder, persist=persist)
    try:
        stack.start(*processes)
        yield stack
    finally:
        stack.close()


def free_addresses() -> Addresses:
    """Free ports and new secrets."""
    redis, twin, gateway, flower = (free_port() for _ in range(4))
    return Addresses(redis, twin, gateway, flower, secrets.token_hex(16), f"kilnhand:{secrets.token_hex(6)}")


def isolated_environment(folder: Path, addresses: Addresses, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment that reaches only this stack: no key, no other Redis, no other store."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    return {**own, "HOME": str(folder), **addresses.variables(folder), **(env or {})}


def _start_watchdog() -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-I", "-S", str(Path(watchdog.__file__))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603  # our own file
