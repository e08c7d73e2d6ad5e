"""Free ports on the loopback address, for processes that bind them later."""

import random
import socket

HOST = "127.0.0.1"
OURS = range(20_000, 32_768)  # Linux takes the ports of outgoing connections from 32768 on, so not one of these
TRIES = 100


def free_port(preferred: int = 0) -> int:
    """The preferred port, else any other, that nobody listens on and no other caller has been given.

    The port of the same number is held for UDP until this process ends: two processes that start a stack at the same
    time never choose the same port, although neither has bound it yet. Raises `OSError` when none is free.
    """
    wanted = [preferred] if preferred else []
    for port in (*wanted, *random.sample(OURS, TRIES)):
        if _is_free(port) and _hold(port):
            return port
    raise OSError(f"no free port on {HOST}")


def _is_free(port: int) -> bool:
    try:
        with socket.create_server((HOST, port)):
            return True
    except OSError:
        return False


def _hold(port: int) -> bool:
    holder = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        holder.bind((HOST, port))
    except OSError:
        holder.close()
        return False
    holder.detach()  # open until the process ends
    return True
