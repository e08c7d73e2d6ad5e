"""Decodes one file, as a program: `decoding` starts it for files that take much memory or time.

Its argument is JSON. It prints what was seen, or the defect, as JSON. It reads the file from a descriptor that it
inherits, and opens nothing else.
"""

import json
import os
import resource
import sys
from dataclasses import asdict
from typing import Any

from worker.errors import BrokenPieceError
from worker.files.picture import limit_pixels
from worker.files.pieces import FoundFile
from worker.files.verify import verify
from worker.jobs.job import Piece

BASE_BYTES = 1 << 30  # address space of the interpreter and its libraries
CPU_S = 60
NICE = 10


def main(asked: dict[str, Any]) -> None:
    """Decode, and print the result."""
    os.nice(NICE)
    most_bytes = asked["most_bytes"] + BASE_BYTES
    if sys.platform == "linux":  # macOS refuses a limit of the address space
        resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 5))
    limit_pixels(asked["most_pixels"])
    given = asked["found"]
    found = FoundFile(**{**given, "piece": Piece(**given["piece"])})
    try:
        with os.fdopen(asked["file"], "rb") as file:
            said = asdict(verify(found, file, asked["most_pixels"], asked["may_be_black"]))
    except BrokenPieceError as error:
        said = {"error": error.message, "kind": error.kind}
    except MemoryError:
        said = {"error": f"{found.label}: takes too much memory to decode", "kind": "bomb"}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
