"""What happens when the reader of stdout has gone, for example `head`."""

import os
import sys


def close_stdout() -> None:
    """Send what is still written to stdout nowhere, so that the end of the process does not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
