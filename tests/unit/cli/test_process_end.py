"""The exit status of a command whose store still works in its own threads."""

import subprocess
import sys

import pytest

PUT_GOES_ON = """
import asyncio, io, sys, time
from obstore import put_async
from obstore.store import MemoryStore
from worker.cli import main as command

class Slow(io.BytesIO):
    def read(self, size=-1):
        time.sleep(0.01)
        return super().read(100_000)

async def begin_a_put():
    task = asyncio.ensure_future(put_async(MemoryStore(), "a", Slow(bytes(30_000_000))))
    await asyncio.sleep(0.1)

def refuse(**_):
    asyncio.run(begin_a_put())
    print("on stdout")
    raise {error}

sys.modules["worker.cli.main"].app = refuse
command()
"""


@pytest.mark.parametrize(
    ("error", "status"),
    [("SystemExit(0)", 0), ("SystemExit(2)", 2), ("SystemExit('no')", 1), ("SystemExit(130)", 130), ("KeyError", 1)],
)
def test_a_put_that_goes_on_does_not_change_the_exit_status(error: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PUT_GOES_ON.format(error=error)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (status, "on stdout\n"), done.stderr
