"""Addresses that are not public but from which files may be fetched: how an operator writes them in a setting.

Which addresses are public: `worker.net.public`.
"""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


@dataclass(frozen=True)
class AllowedAddress:
    """A host name or a network, on one port or on every port."""

    host: str | Network
    port: int | None = None


def read_allowed(text: str) -> tuple[AllowedAddress, ...]:
    """Read `host`, `host:port`, `[address]:port` or `network/bits`, separated by commas. Raises `ValueError`."""
    return tuple(_read(entry) for entry in _entries(text))


def allowed_address(url: str) -> AllowedAddress:
    """The host and port of a URL that an operator has set, such as the twin's, which serves the files it makes."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return AllowedAddress(_host(url, host), parts.port or (443 if parts.scheme == "https" else 80))


def _entries(text: str) -> Iterator[str]:
    return (entry.strip().lower() for entry in text.split(",") if entry.strip())


def _read(entry: str) -> AllowedAddress:
    network = _network(entry)
    if network is not None:
        return AllowedAddress(network)
    host, colon, port = entry.rpartition(":")
    host = host if colon else entry
    if colon and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{entry!r} is not host[:port] or network/bits")
    return AllowedAddress(_host(entry, host), int(port) if colon else None)


def _host(entry: str, host: str) -> str | Network:
    address = _network(host)
    if address is not None:
        return address
    if not _NAME.fullmatch(host):
        raise ValueError(f"{entry!r} is not host[:port] or network/bits")
    return host


def _network(text: str) -> Network | None:
    try:
        return ipaddress.ip_network(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    except ValueError:
        return None
