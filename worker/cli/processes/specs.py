"""The processes of a stack: where each listens, the command that runs it, and the check that says it is ready.

Nothing is started here; `worker.cli.processes.stack` does that.
"""

import base64
import socket
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from worker.cli.processes.ports import HOST
from worker.cli.processes.redis_server import redis_server_binary

KILNHAND = [sys.executable, "-P", "-m", "worker.cli"]  # -P: no import of `worker` or `tasks` from the caller's folder


class ProcessSpec(NamedTuple):
    """A command, and a check whether it is ready. The check gets the start time, in seconds since the epoch."""

    command: list[str]
    is_ready: Callable[[float], bool]


@dataclass(frozen=True)
class Addresses:
    """Ports on loopback, and secrets. A port is None when this stack does not run that process."""

    redis_port: int | None
    twin_port: int | None
    gateway_port: int
    flower_port: int
    secret: str
    flower_auth: str  # user:password

    @property
    def redis_url(self) -> str:
        """This stack's Redis."""
        return f"redis://{HOST}:{self.redis_port}/0"

    @property
    def twin_url(self) -> str:
        """The twin, the local stand-in for fal.ai."""
        return f"http://{HOST}:{self.twin_port}"

    @property
    def gateway_url(self) -> str:
        """The gateway."""
        return f"http://{HOST}:{self.gateway_port}"

    @property
    def flower_url(self) -> str:
        """Flower; it asks for `flower_auth`."""
        return f"http://{HOST}:{self.flower_port}"

    def variables(self, folder: Path) -> dict[str, str]:
        """The environment variables that every process of the stack gets."""
        variables = {
            "KILNHAND_SECRET": self.secret,
            "KILNHAND_STORE_URL": (folder / "files").as_uri(),
            "KILNHAND_PUBLIC_URL": self.gateway_url,
            "KILNHAND_GATEWAY_HOST": HOST,
            "KILNHAND_GATEWAY_PORT": str(self.gateway_port),
            "FLOWER_BASIC_AUTH": self.flower_auth,
        }
        if self.redis_port is not None:
            names = ("REDIS_URL", "BROKER_URL", "RESULT_BACKEND", "LEDGER_URL")
            variables |= {f"KILNHAND_{name}": self.redis_url for name in names}
        if self.twin_port is not None:
            variables["KILNHAND_FAL_BASE_URL"] = self.twin_url
        return variables


def redis_spec(folder: Path, port: int, persist: bool = False) -> ProcessSpec:
    """A Redis on loopback only. With `persist` it writes an append-only file, so that jobs survive its restart."""
    data = folder / "redis"
    data.mkdir(parents=True, exist_ok=True)
    options = ["--bind", HOST, "--port", str(port), "--dir", str(data), "--save", "", "--loglevel", "warning"]
    keeping = ["--appendonly", "yes" if persist else "no", "--maxmemory-policy", "noeviction"]
    return ProcessSpec([redis_server_binary(), *options, *keeping], lambda _: _answers_ping(port))


def twin_spec(port: int) -> ProcessSpec:
    """The twin."""
    command = [*KILNHAND, "twin", "--port", str(port)]
    return ProcessSpec(command, lambda _: _answers(f"http://{HOST}:{port}/_twin/health"))


def gateway_spec(port: int) -> ProcessSpec:
    """The gateway. It reads its port from the environment."""
    return ProcessSpec([*KILNHAND, "gateway"], lambda _: _answers(f"http://{HOST}:{port}/readyz"))


def flower_spec(port: int, auth: str) -> ProcessSpec:
    """Flower. It reads its password from the environment, because a process list would show an argument."""
    command = [*KILNHAND, "flower", f"--address={HOST}", f"--port={port}"]
    return ProcessSpec(command, lambda _: _answers(f"http://{HOST}:{port}/api/task/types", auth))


def worker_spec(folder: Path, name: str, queues: str | None = None) -> ProcessSpec:
    """A worker. It is ready when it has touched its heartbeat file after the start."""
    beat = heartbeat_file(folder, name)
    command = [*KILNHAND, "worker", "--without-mingle", "--without-gossip", "--hostname", f"{name}@%h"]
    consumed = ["--queues", queues] if queues else []
    return ProcessSpec([*command, *consumed], lambda since: beat.exists() and beat.stat().st_mtime > since)


def heartbeat_file(folder: Path, name: str) -> Path:
    """The file that this worker touches while it is healthy."""
    return folder / "heartbeat" / name


def _answers(url: str, auth: str | None = None) -> bool:
    """Whether a GET of this loopback address returns 200."""
    request = urllib.request.Request(url)  # noqa: S310  # our own http addresses only
    if auth:
        request.add_header("Authorization", f"Basic {base64.b64encode(auth.encode()).decode()}")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _answers_ping(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
