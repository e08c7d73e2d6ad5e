"""A gateway process on a free loopback port, over a folder store and a real Redis."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from config.settings import GatewaySettings, StoreSettings
from worker.files.base import Store
from worker.files.store import open_store

SECRET = "a secret of the tests"
COMMAND = "from config.settings import Settings; from worker.gateway.serve import serve; serve(Settings())"
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
def start(folder: Path, redis_url: str, tmp_path: Path) -> Iterator[Start]:
    """Start a gateway process, with environment variables by keyword."""
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
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def address_of(process: "subprocess.Popen[str]") -> str:
    """The address that it prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("gateway listening on http://127.0.0.1:"), line
    return line.split()[-1]


@pytest.fixture
def gateway(start: Start) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address_of(start()), trust_env=False) as client:
        yield client


@pytest.fixture
def store(folder: Path, gateway: httpx.Client) -> Store:
    """The store as a worker opens it; its URLs lead to this gateway."""
    settings = GatewaySettings(_env_file=None, secret=SECRET, public_url=str(gateway.base_url).rstrip("/"))
    return open_store(StoreSettings(_env_file=None, store_url=folder.as_uri()), settings)
