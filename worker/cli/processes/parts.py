"""The parts of a house: where each listens, the command that runs it, and the condition that says it works.

Nothing is started here; that is `worker.cli.processes.house`.
"""

import base64
import socket
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.cli.processes.ports import HOST
from worker.cli.processes.redis_server import redis_server_binary

Part = tuple[list[str], Callable[[float], bool]]
"""A command, and whether it works now, given when it was started (seconds since the epoch)."""

KILNHAND = [sys.executable, "-P", "-m", "worker.cli"]  # -P: a folder `worker` or `tasks` of the caller's stays out


@dataclass(frozen=True)
class Addresses:
    """Ports on loopback and what is secret. None for a part that somebody else runs, or nobody."""

    redis_port: int | None
    twin_port: int | None
    gateway_port: int
    flower_port: int
    secret: str
    flower_auth: str  # user:password

    @property
    def redis_url(self) -> str:
        """Our Redis."""
        return f"redis://{HOST}:{self.redis_port}/0"

    @property
    def twin_url(self) -> str:
        """The stand-in for fal.ai."""
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
        """What every process of the house has in its environment."""
        found = {
            "KILNHAND_SECRET": self.secret,
            "KILNHAND_STORE_URL": (folder / "files").as_uri(),
            "KILNHAND_PUBLIC_URL": self.gateway_url,
            "KILNHAND_GATEWAY_HOST": HOST,
            "KILNHAND_GATEWAY_PORT": str(self.gateway_port),
            "FLOWER_BASIC_AUTH": self.flower_auth,
        }
        if self.redis_port is not None:
            names = ("REDIS_URL", "BROKER_URL", "RESULT_BACKEND", "LEDGER_URL")
            found |= {f"KILNHAND_{name}": self.redis_url for name in names}
        if self.twin_port is not None:
            found["KILNHAND_FAL_BASE_URL"] = self.twin_url
        return found


def redis(folder: Path, port: int, keep: bool = False) -> Part:
    """A Redis that nobody else can reach; `keep` writes it to disk, so that jobs outlive it."""
    data = folder / "redis"
    data.mkdir(parents=True, exist_ok=True)
    options = ["--bind", HOST, "--port", str(port), "--dir", str(data), "--save", "", "--loglevel", "warning"]
    kept = ["--appendonly", "yes" if keep else "no", "--maxmemory-policy", "noeviction"]
    return [redis_server_binary(), *options, *kept], lambda _: _answers_ping(port)


def twin(port: int) -> Part:
    """The twin."""
    return [*KILNHAND, "twin", "--port", str(port)], lambda _: _answers(f"http://{HOST}:{port}/_twin/health")


def gateway(port: int) -> Part:
    """The gateway; its port is in the environment."""
    return [*KILNHAND, "gateway"], lambda _: _answers(f"http://{HOST}:{port}/readyz")


def flower(port: int, auth: str) -> Part:
    """Flower; its password is in the environment, where no process list shows it."""
    command = [*KILNHAND, "flower", f"--address={HOST}", f"--port={port}"]
    return command, lambda _: _answers(f"http://{HOST}:{port}/api/task/types", auth)


def worker(folder: Path, name: str, queues: str | None = None) -> Part:
    """A replica. It works once it touches its heartbeat file anew."""
    beat = heartbeat(folder, name)
    command = [*KILNHAND, "worker", "--without-mingle", "--without-gossip", "--hostname", f"{name}@%h"]
    queued = ["--queues", queues] if queues else []
    return [*command, *queued], lambda since: beat.exists() and beat.stat().st_mtime > since


def heartbeat(folder: Path, name: str) -> Path:
    """The file that this worker touches while it is well."""
    return folder / "heartbeat" / name


def _answers(url: str, auth: str | None = None) -> bool:
    """Whether a GET of this address on loopback gives 200."""
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
