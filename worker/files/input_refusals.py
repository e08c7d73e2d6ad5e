"""How the files of a call are refused: by their size together, and a file's defect as a defect of the request."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from worker.errors import BrokenPieceError, RequestRefusedError, ServiceUnavailableError
from worker.files.file_info import DefectError


class Budget:
    """The bytes that the files of one call may have together."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes, self._taken = most_bytes, 0

    def take(self, label: str, size: int) -> None:
        """Count one more file. Raises `RequestRefusedError` of kind `too_large`."""
        self._taken += size
        if self._taken > self.most_bytes:
            limit = f"{self.most_bytes / 1e6:g} MB"
            text = f"{label}: with it the files are larger than {limit} together; send fewer, or smaller ones"
            raise RequestRefusedError(text, kind="too_large")


@contextmanager
def as_refusal(label: str) -> Iterator[None]:
    """A defect of a caller's file is a defect of the request, and final. So is a server that is too slow."""
    try:
        yield
    except BrokenPieceError as error:
        raise RequestRefusedError(error.message, status=error.status, kind=error.kind) from error
    except DefectError as error:
        raise RequestRefusedError(f"{label}: {error}", kind=error.kind) from error
    except ServiceUnavailableError as error:
        if error.kind != "too_slow" and error.status != 404:
            raise
        raise RequestRefusedError(error.message, status=error.status, kind=error.kind or "status") from error


def raise_together(refused: Sequence[RequestRefusedError]) -> None:
    """Raise one error for all of them, so that callers see every bad file at once; nothing if there are none."""
    if len(refused) > 1:
        first = refused[0]
        raise RequestRefusedError("; ".join(error.message for error in refused), status=first.status, kind=first.kind)
    if refused:
        raise refused[0]
