"""Ends the process of a command before Python finalizes the interpreter, if the store was opened.

obstore's threads outlive a call, and no call of obstore ends them. One that asks for the GIL while the interpreter is
finalized is ended by Python before 3.14 with `pthread_exit`, which its Rust code turns into an abort: exit status 134
in 1 of 20 refusals after a file went to the store, and in each exit while one goes there.
"""

import atexit
import logging
import os
import sys
from typing import NoReturn


class ProcessEnd:
    """The end of this process. It must be prepared first: functions of `atexit` run in reverse order."""

    def __init__(self) -> None:
        self._status = 1  # of a traceback

    def prepare(self) -> None:
        """Make it the last function that runs at exit: threads are joined and temporary files deleted before it."""
        atexit.register(self._skip_finalization)

    def exit(self, status: int | str | None) -> NoReturn:
        """`sys.exit` with a status that the end keeps."""
        self._status = status if isinstance(status, int) else int(status is not None)
        sys.exit(status)

    def _skip_finalization(self) -> None:
        if "obstore" not in sys.modules:
            return
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):  # its reader has gone, or it is closed
                continue
        os._exit(self._status)
