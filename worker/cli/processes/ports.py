"""Free ports on the loopback address."""

import socket

HOST = "127.0.0.1"


def free_port(preferred: int = 0) -> int:
    """The preferred port if it is free, else any free port."""
    for port in (preferred, 0):
        try:
            with socket.create_server((HOST, port)) as probe:
                found: int = probe.getsockname()[1]
                return found
        except OSError:
            continue
    raise OSError(f"no free port on {HOST}")
