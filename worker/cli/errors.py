"""The error that ends a command with a message instead of a traceback."""

WRONG_INPUT = 2


class CliError(Exception):
    """A command cannot continue. The message says why and what to do.

    `status` is the exit status: 2 for wrong input or settings, 1 for everything else. `code` is for --json.
    """

    def __init__(self, message: str, status: int = 1, code: str | None = None) -> None:
        super().__init__(message)
        self.message, self.status = message, status
        self.code = code or ("invalid_request" if status == WRONG_INPUT else "failed")
