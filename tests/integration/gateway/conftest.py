"""A gateway process on a free loopback port, over a folder store and a real Redis."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from config.settings import GatewaySettings, StoreSettings
from tests.conftest import RedisServer
from worker.files.base import Store
from worker.files.store import open_store

SECRET = "a secret of the tests"
COMMAND = "from config.settings import Settings; from worker.gateway.serve import serve; serve(Settings())"
Start = Callable[..., "subprocess.Popen[str]"]


@contextmanager
def starting(folder: Path, redis_url: str) -> Iterator[Start]:
    """Starts gateway processes on this folder and Redis, with environment variables by keyword, and ends them."""
    started: list[subprocess.Popen[str]] = []

    def begin(**environment: str) -> "subprocess.Popen[str]":
        ours = {
            "KILNHAND_REDIS_URL": redis_url,
            "KILNHAND_STORE_URL": folder.as_uri(),
            "KILNHAND_SECRET": SECRET,
            "KILNHAND_GATEWAY_PORT": "0",
        }
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND],
            env={**os.environ, "PYTHONPATH": str(Path.cwd()), **ours, **environment},
            cwd=folder.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    try:
        yield begin
    finally:
        for process in started:
            process.kill()
            process.communicate()


@pytest.fixture
def start(tmp_path: Path, redis_url: str) -> Iterator[Start]:
    """Start gateways of the test's own, over `tmp_path / "files"`."""
    with starting(tmp_path / "files", redis_url) as begin:
        yield begin


def address_of(process: "subprocess.Popen[str]") -> str:
    """The address that it prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("gateway listening on http://127.0.0.1:"), line
    return line.split()[-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's gateway has its files."""
    return tmp_path_factory.mktemp("gateway") / "files"


@pytest.fixture(scope="module")
def _gateway(folder: Path, redis_server: RedisServer) -> Iterator[httpx.Client]:
    with (
        starting(folder, redis_server.url) as begin,
        httpx.Client(base_url=address_of(begin()), trust_env=False) as client,
    ):
        yield client


@pytest.fixture
def gateway(_gateway: httpx.Client, redis_url: str) -> httpx.Client:
    """The module's gateway, over an empty Redis."""
    return _gateway


@pytest.fixture
def store(folder: Path, gateway: httpx.Client) -> Store:
    """The store as a worker opens it; its URLs lead to this gateway."""
    settings = GatewaySettings(_env_file=None, secret=SECRET, public_url=str(gateway.base_url).rstrip("/"))
    return open_store(StoreSettings(_env_file=None, store_url=folder.as_uri()), settings)
