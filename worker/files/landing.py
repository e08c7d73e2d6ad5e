"""A temporary large file on the disk, under a name that says its format; removed when closed."""

import tempfile
from pathlib import Path
from types import TracebackType

from worker.files.spool import Spool, as_disk_error


class Landing:
    """A temporary folder with one file in it, which may grow to `limit_bytes`."""

    def __init__(self, label: str, limit_bytes: int, folder: Path | None = None) -> None:
        """`folder` is where the temporary folder is made; `label` is what messages call the file."""
        with as_disk_error():
            self._folder = tempfile.TemporaryDirectory(prefix="kilnhand-", dir=folder, ignore_cleanup_errors=True)
        self._path = Path(self._folder.name, "file")
        self.spool = Spool(label, limit_bytes, path=self._path)

    def named(self, name: str) -> Path:
        """Rename the whole file, and return its path."""
        with as_disk_error():
            self.spool.file.flush()
            self._path = self._path.replace(self._path.with_name(name))
        return self._path

    def __enter__(self) -> "Landing":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.spool.__exit__(kind, error, at)
        self._folder.cleanup()
