"""The command line: one file a command, `main` the script's entry."""

from worker.cli.main import main

__all__ = ["main"]
