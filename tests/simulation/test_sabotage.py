"""A world without one safety breaks its promise, within a few seeds."""

import json
import subprocess
import sys

import pytest

BROKEN = {
    "guard": ("paid_once", "attempt"),
    "intent": ("paid_once", "attempt"),
    "fence": ("one_ending", "row"),
    "sent": ("no_job_lost", "stays PENDING"),
}
WORLDS = 60


@pytest.mark.parametrize("name", BROKEN)
def test_the_worlds_notice_that_a_safety_is_missing(name) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.simulation",
        "--without",
        name,
        "--worlds",
        str(WORLDS),
        "--no-shrink",
        "--json",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1, ran.stderr
    found = {(each["promise"], each["kind"]) for each in json.loads(ran.stdout)["found"]}
    assert BROKEN[name] in found
