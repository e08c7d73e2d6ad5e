"""All the processes of a house on loopback ports: Redis, twin, worker, gateway, Flower. For `up`, tests and benchmarks.

    with open_house(tmp_path, parts=("redis", "twin", "worker", "gateway")) as house:
        house.redis_url, house.twin_url, house.gateway_url, house["worker"].pid
        second = house.start_worker("worker-2", queues="generation", env={"KILNHAND_LEASE_S": "2"})
        house["worker"].kill()            # kill -9;  .start() and .wait_ready() bring it back
        second.log_text()
        house.environment                 # what a producer needs to reach this house

Everything lies in `folder`: `logs/<name>.log`, `files/` (the store), `redis/`. No process outlives the block, nor the
parent. `child` starts and ends a single process; `parts` has their commands.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from worker.cli.processes import leash, parts
from worker.cli.processes.child import GRACE_S, Child, ChildFailedError
from worker.cli.processes.parts import Addresses, Part
from worker.cli.processes.ports import free_port

__all__ = ["Child", "ChildFailedError", "House", "open_house"]

PARTS = ("redis", "twin", "worker", "gateway", "flower")
_FOREIGN = ("KILNHAND_", "FAL_", "FLOWER_", "CELERY_", "GOOGLE_", "GEMINI_", "ANTHROPIC_")


class House:
    """Processes that belong together. Closing ends them in reverse order: those who need Redis first."""

    def __init__(
        self,
        folder: Path,
        addresses: Addresses,
        environment: Mapping[str, str],
        cwd: Path,
        *,
        keep: bool = False,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """`environment` is the whole one of the children; `cwd` is where they look for `.env`.

        With `keep` the jobs in our Redis outlive it. `pause` is how it sleeps while parts get ready.
        """
        self.folder, self.addresses, self.environment, self.cwd = folder, addresses, dict(environment), cwd
        self.keep, self._pause = keep, pause
        self.children: dict[str, Child] = {}
        self._leash = _start_leash()
        (self.folder / "logs").mkdir(parents=True, exist_ok=True)

    redis_url = property(lambda self: self.addresses.redis_url)
    twin_url = property(lambda self: self.addresses.twin_url)
    gateway_url = property(lambda self: self.addresses.gateway_url)
    flower_url = property(lambda self: self.addresses.flower_url)
    flower_auth = property(lambda self: self.addresses.flower_auth)

    def __getitem__(self, name: str) -> Child:
        return self.children[name]

    def start(self, *names: str) -> None:
        """Start these parts: Redis and the twin first, then the rest side by side; all are ready on return."""
        for first in ("redis", "twin"):
            if first in names:
                self.add(first, *self._part(first)).wait_ready(pause=self._pause)
        rest = [self.add(name, *self._part(name)) for name in names if name not in {"redis", "twin"}]
        for child in rest:
            child.wait_ready(pause=self._pause)

    def start_worker(self, name: str, *, queues: str | None = None, env: Mapping[str, str] | None = None) -> Child:
        """Start one more worker and wait until it takes jobs. `queues` as for Celery's -Q."""
        child = self.add(name, *parts.worker(self.folder, name, queues), env=env)
        child.wait_ready(pause=self._pause)
        return child

    def add(
        self, name: str, command: Sequence[str], is_ready: Callable[[float], bool], env: Mapping[str, str] | None = None
    ) -> Child:
        """Start a process that ends with the house, with a log of its own and variables of its own."""
        log = self.folder / "logs" / f"{name}.log"
        log.unlink(missing_ok=True)
        more = {"KILNHAND_HEARTBEAT_FILE": str(parts.heartbeat(self.folder, name))} if name.startswith("worker") else {}
        full = {**self.environment, **more, **(env or {})}
        child = Child(name, command, full, log, is_ready, self.cwd, self._tell_leash)
        self.children[name] = child
        child.start()
        return child

    def dead(self) -> list[Child]:
        """Those that have ended without being asked to."""
        return [child for child in self.children.values() if not child.is_alive]

    def close(self, grace_s: float = GRACE_S) -> None:
        """End everything: workers, gateway and Flower together, then the twin, then Redis."""
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
            self._leash.communicate(timeout=leash.GRACE_S + 2)

    def kill(self) -> None:
        """End everything at once, for the impatient; `close` follows."""
        for child in self.children.values():
            child.signal(signal.SIGKILL)

    def _part(self, name: str) -> Part:
        at = self.addresses
        match name:
            case "redis":
                return parts.redis(self.folder, at.redis_port or 0, self.keep)
            case "twin":
                return parts.twin(at.twin_port or 0)
            case "gateway":
                return parts.gateway(at.gateway_port)
            case "flower":
                return parts.flower(at.flower_port, at.flower_auth)
            case _:
                return parts.worker(self.folder, name)

    def _tell_leash(self, line: str) -> None:
        if self._leash.stdin and not self._leash.stdin.closed:
            with contextlib.suppress(OSError):
                self._leash.stdin.write(f"{line}\n".encode())
                self._leash.stdin.flush()


@contextlib.contextmanager
def open_house(
    folder: Path, *, parts: Sequence[str] = PARTS, env: Mapping[str, str] | None = None, keep: bool = False
) -> Iterator[House]:
    """A house of its own: free ports, a fresh secret, none of this process's KILNHAND_ and vendors' variables.

    `env` is added to every child's environment, and wins. With `keep`, Redis writes to disk and may be restarted.
    Without a gateway nobody hears webhooks, so none are asked for.
    """
    own = env or {} if "gateway" in parts else {"KILNHAND_WEBHOOKS": "off", **(env or {})}
    house = House(folder, addresses := sealed_addresses(), sealed(folder, addresses, own), cwd=folder, keep=keep)
    try:
        house.start(*parts)
        yield house
    finally:
        house.close()


def sealed_addresses() -> Addresses:
    """Any free ports and fresh secrets."""
    redis, twin, gateway, flower = (free_port() for _ in range(4))
    return Addresses(redis, twin, gateway, flower, secrets.token_hex(16), f"kilnhand:{secrets.token_hex(6)}")


def sealed(folder: Path, addresses: Addresses, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment that reaches nothing but this house: no key, no foreign Redis, no foreign store."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {**own, "HOME": str(folder), **addresses.variables(folder), **(env or {})}


def _start_leash() -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-I", "-S", str(Path(leash.__file__))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603  # our own file
