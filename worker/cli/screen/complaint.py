"""What the command line says instead of a traceback: what is wrong and the way out, and the exit status."""


class Complaint(Exception):
    """A command cannot go on. Status 2: the caller's input or settings; 1: anything else."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.message, self.status = message, status
