"""The limits of files: bytes and seconds by kind, how many at a time, and the folder of large ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from worker.jobs.job import Kind
from worker.net.pace import PACE, Pace

MB = 1_000_000
# Larger pictures and sounds are not made by any model; a video or weights may take what the operator allows.
_MOST_BYTES: Mapping[Kind, int] = {"image": 100 * MB, "audio": 256 * MB, "json": 16 * MB}
_MOST_S: Mapping[Kind, float] = {"image": 120.0, "audio": 300.0, "json": 60.0}


@dataclass(frozen=True)
class FetchLimits:
    """The largest file, how many at a time in this process, seconds for one file, and the folder of large ones."""

    most_bytes: int
    concurrent: int = 32
    total_s: float = 900
    folder: Path | None = None
    pace: Pace = PACE

    def bytes_of(self, kind: Kind) -> int:
        """The largest file of this kind."""
        return min(self.most_bytes, _MOST_BYTES.get(kind, self.most_bytes))

    def seconds_of(self, kind: Kind) -> float:
        """The longest download of a file of this kind."""
        return min(self.total_s, _MOST_S.get(kind, self.total_s))
