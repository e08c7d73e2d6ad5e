"""The command line `kilnhand`. `main` has the options of all commands; `commands` has what each command does."""

from worker.cli.main import main

__all__ = ["main"]
