"""What looking into a file tells."""

from dataclasses import dataclass

from worker.files.formats import Format


class DefectError(Exception):
    """What is wrong with a file, as the end of a sentence; `verify` says of which piece. `kind` is one word for it."""

    def __init__(self, message: str, kind: str = "broken") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class FileInfo:
    """What a file turned out to be."""

    form: Format
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
