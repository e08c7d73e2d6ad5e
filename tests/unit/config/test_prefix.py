"""Every key in Redis begins with `KILNHAND_PREFIX`: whoever opens a client passes it on."""

import ast
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.settings import RedisSettings

ROOT = Path(__file__).parents[3] / "worker"
NAMED = {"open_redis_ledger": 2, "open_redis_producer": 2, "open_redis_health": 3, "scan_rows": 2,
         "open_dead_messages": 2, "QueuedMessages": 2}  # fmt: skip


def calls() -> list[tuple[str, str, int]]:
    """Who calls one of these, what, and with how many arguments."""
    found = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMED:
                found.append((path.name, node.func.id, len(node.args) + len(node.keywords)))
    return found


def test_every_client_of_redis_is_given_the_prefix() -> None:
    found = calls()
    assert {name for _, name, _ in found} == set(NAMED)
    assert [call for call in found if call[2] < NAMED[call[1]]] == []


@pytest.mark.parametrize("prefix", ["", "shop2:", "a.b-", "x_"])
def test_a_prefix_ends_with_a_sign_that_parts(prefix: str) -> None:
    assert RedisSettings(prefix=prefix).own_keys == f"{prefix}kilnhand:"


@pytest.mark.parametrize("prefix", ["shop2", ":", "a b:", "ü:", "*:"])
def test_any_other_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError):
        RedisSettings(prefix=prefix)
