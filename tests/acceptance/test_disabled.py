"""Without a key nothing is asked of fal: the worker says so once, and a job that needs it fails at once."""

import time
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.generation import text_to_image
from tests.acceptance.conftest import point_producer_at
from worker.cli.processes.stack import run_stack
from worker.errors import ProviderDisabledError


def test_a_job_without_a_key_fails_at_once_and_names_the_variables(tmp_path: Path, _patch: pytest.MonkeyPatch) -> None:
    with run_stack(tmp_path, processes=("redis", "worker"), env={"KILNHAND_FAL_BASE_URL": ""}) as stack:
        point_producer_at(stack, _patch)
        began = time.monotonic()
        for _ in range(2):
            with pytest.raises(ProviderDisabledError, match="FAL_KEY"):
                text_to_image.delay(prompt="x").get(timeout=120)
        assert time.monotonic() - began < 60
        said = [line for line in stack["worker"].log_text().splitlines() if '"event": "provider_disabled"' in line]
        assert sum('"provider": "fal"' in line for line in said) == 1


def test_a_key_never_leaves(tmp_path: Path, _patch: pytest.MonkeyPatch) -> None:
    key = "0f9b1c2d-aaaa-bbbb-cccc-1234567890ab:5ecre75ecre75ecre75ecre75ecre75e"
    with run_stack(tmp_path, processes=("redis", "twin", "worker", "gateway"), env={"FAL_KEY": key}) as stack:
        point_producer_at(stack, _patch)
        text_to_image.delay(prompt="x", image_size="square").get(timeout=120)
        with redis.Redis.from_url(stack.redis_url, decode_responses=True) as client:
            kept = "".join(f"{name}{_read(client, name)}" for name in client.scan_iter("*"))
        assert "fal-ai/flux/schnell" in kept
        logs = "".join(child.log_text() for child in stack.children.values())
    for secret in (key, key.split(":")[1], stack.environment["KILNHAND_SECRET"]):
        assert secret not in kept
        assert secret not in logs


def _read(client: Any, name: str) -> str:
    """Whatever is under a key, whatever its type."""
    read = {
        "string": client.get,
        "hash": client.hgetall,
        "list": lambda key: client.lrange(key, 0, -1),
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1),
    }
    return str(read.get(client.type(name), lambda _: "")(name))  # a key may end between the two questions
