"""A large file on its way through this machine: on the disk, under a name that says what it is, gone when closed."""

import tempfile
from pathlib import Path
from types import TracebackType

from worker.files.spool import Spool


class Landing:
    """A folder of its own with one file in it, which may grow to `limit_bytes`."""

    def __init__(self, label: str, limit_bytes: int, folder: Path | None = None) -> None:
        """The folder is made in `folder`, or where temporary files go; `label` is what refusals call the file."""
        self._folder = tempfile.TemporaryDirectory(prefix="kilnhand-", dir=folder, ignore_cleanup_errors=True)
        self._path = Path(self._folder.name, "file")
        self.spool = Spool(label, limit_bytes, path=self._path)

    def named(self, name: str) -> Path:
        """The whole file, under this name."""
        self.spool.file.flush()
        self._path = self._path.replace(self._path.with_name(name))
        return self._path

    def __enter__(self) -> "Landing":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.spool.__exit__(kind, error, at)
        self._folder.cleanup()
