"""Commands in terminals and pipes as people have them: ASCII, `| head`, a closed pipe, wrong arguments, --json."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.cli.conftest import KILNHAND, Finished, environment
from worker.cli.exit_codes import CLOSED_PIPE

ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NOWHERE = {"KILNHAND_REDIS_URL": "redis://127.0.0.1:1/0", "NO_COLOR": "1", "TERM": "dumb"}


def test_an_ascii_terminal_gets_ascii(kilnhand: Callable[..., Finished]) -> None:
    ran = kilnhand("doctor", env={**NOWHERE, **ASCII})
    assert ran.status == 1, ran.err
    assert ran.out.isascii() and "x redis (broker, results, ledger): " in ran.out and "  -> start one with" in ran.out
    assert ran.err == ""


@pytest.mark.parametrize("arguments", [["models"], ["models", "--json"]], ids=" ".join)
def test_a_reader_that_has_gone_ends_the_command_without_a_word(arguments: list[str], tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*KILNHAND, *arguments],
        env=environment(tmp_path),
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (CLOSED_PIPE, b"")


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (["models", "--task", "x", "--json"], 2, "invalid_request"),
        (["status", "some-id", "--json"], 1, "failed"),
    ],
)
def test_with_json_an_error_is_one_json_document(
    arguments: list[str], status: int, code: str, kilnhand: Callable[..., Finished]
) -> None:
    ran = kilnhand(*arguments, env=NOWHERE)
    error = json.loads(ran.out)["error"]
    assert (ran.status, error["code"]) == (status, code)
    assert " ".join(error["message"].split()) == " ".join(ran.err.split())


def test_help_needs_no_password_and_no_secret(kilnhand: Callable[..., Finished]) -> None:
    for command in ("flower", "worker"):
        ran = kilnhand(command, "--help")
        assert ran.status == 0 and "Usage: celery " in ran.out, ran.err


def test_a_port_that_cannot_be_is_a_wrong_argument(kilnhand: Callable[..., Finished]) -> None:
    ran = kilnhand("up", "--port-twin", "99999")
    assert ran.status == 2 and "--port-twin" in ran.err and "65535" in ran.err.replace("65_535", "65535")
