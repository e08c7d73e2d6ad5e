"""Decodes one file, as a program: `decoding` starts it for files that take much memory or time, and for HEIC.

Its argument is JSON. It prints what was seen, or the defect, as JSON. It reads the file from a descriptor that it
inherits, and opens nothing else. A picture that is to be converted goes to a second descriptor.
"""

import json
import os
import resource
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

from worker.errors import BrokenPieceError
from worker.files.convert import convert
from worker.files.file_info import DefectError
from worker.files.formats import HEAD_BYTES, HEIC, Format, sniff
from worker.files.heif import add_decoder
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
            file.seek(0)
            if sniff(file.read(HEAD_BYTES)) == HEIC:
                add_decoder()
            seen = verify(found, file, asked["most_pixels"], asked["may_be_black"])
            said = asdict(seen)
            if "taken" in asked:
                said = {"content_type": _converted(file, seen.form, asked)}
    except BrokenPieceError as error:
        said = {"error": error.message, "kind": error.kind}
    except DefectError as error:
        said = {"error": f"{found.label}: {error}", "kind": error.kind}
    except MemoryError:
        said = {"error": f"{found.label}: takes too much memory to decode", "kind": "bomb"}
    sys.stdout.write(json.dumps(said))


def _converted(file: BinaryIO, form: Format, asked: dict[str, Any]) -> str:
    """Write the picture in a format of `taken` to the descriptor `into`, and return its content type."""
    media = convert(file, form, asked["taken"])
    with os.fdopen(asked["into"], "wb") as into:
        into.write(media.data)
    return media.content_type


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
