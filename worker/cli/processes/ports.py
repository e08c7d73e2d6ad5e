"""Finds free ports on loopback for processes that bind them later."""

import random
import socket

HOST = "127.0.0.1"
PORTS = range(20_000, 32_768)  # Linux uses ports from 32768 on for outgoing connections, so it takes none of these
TRIES = 100


def free_port(preferred: int = 0) -> int:
    """The preferred port if it is free, else a free port. No other caller gets the same one.

    This process holds the UDP port of the same number until it ends. So two processes that start a stack at the same
    time never choose the same port, although neither has bound it yet. Raises `OSError` if no port is free.
    """
    wanted = [preferred] if preferred else []
    for port in (*wanted, *random.sample(PORTS, TRIES)):
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
