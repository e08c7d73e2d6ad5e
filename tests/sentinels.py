"""A primary, its replica, and Sentinels that watch them, as processes. The server of our package can be all of them."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tests.conftest import RedisServer, server_binary, wait_until
from worker.cli.processes.ports import free_port

NAME = "kiln-main"
DOWN_MS = 1000


class Sentinel:
    """One Sentinel. `password` is its own, `server_password` that of the servers."""

    def __init__(self, folder: Path, primary: int, password: str = "", server_password: str = "") -> None:
        self.port = free_port()
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            "loglevel warning",
            f"sentinel monitor {NAME} 127.0.0.1 {primary} 1",
            f"sentinel down-after-milliseconds {NAME} {DOWN_MS}",
            f"sentinel failover-timeout {NAME} 5000",
        ]
        lines += [f"sentinel auth-pass {NAME} {server_password}"] if server_password else []
        lines += [f"requirepass {password}"] if password else []
        (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")
        with (folder / "sentinel.log").open("ab") as log:
            command = [server_binary(), str(folder / "sentinel.conf"), "--sentinel"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self.client = redis.Redis(port=self.port, password=password or None)
        wait_until(self._knows_the_replica, "the Sentinel has found the replica")

    def primary(self) -> int:
        return int(self.client.sentinel_get_master_addr_by_name(NAME)[1])

    def close(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(10)

    def _knows_the_replica(self) -> bool:
        try:
            return len(self.client.sentinel_slaves(NAME)) == 1
        except redis.ConnectionError:
            return False


@contextmanager
def watched_pair(
    folder: Path, *, password: str = "", sentinel_password: str = ""
) -> Iterator[tuple[RedisServer, RedisServer, Sentinel]]:
    """The primary, the replica in step, and the Sentinel, which elects alone: a quorum of one."""
    servers: list[RedisServer] = []
    login = ["--requirepass", password, "--masterauth", password] if password else []
    for name in ("primary", "replica", "sentinel"):
        (folder / name).mkdir()
    try:
        for name in ("primary", "replica"):
            servers.append(RedisServer(folder / name, login))
            servers[-1].start()
        with redis.Redis(port=servers[1].port, password=password or None) as replica:
            replica.replicaof("127.0.0.1", servers[0].port)
            wait_until(lambda: replica.info("replication")["master_link_status"] == "up", "the replica is in step")
        sentinel = Sentinel(folder / "sentinel", servers[0].port, sentinel_password, password)
        try:
            yield servers[0], servers[1], sentinel
        finally:
            sentinel.close()
    finally:
        for server in servers:
            server.stop()
