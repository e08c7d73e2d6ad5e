"""Where foreign URLs may lead: to public addresses, and inside the network only where an operator has opened it.

A file's URL comes from a caller, or from an answer that anyone's app may have written. Names are judged by what they
resolve to, and the connection is made to those very addresses, so that a name which changes between two looks gains
nothing. Redirects, sizes and time are the idea of `worker.files.download`.
"""

import errno
import ipaddress
import re
import socket
from collections.abc import Collection
from typing import Any

import httpx
from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from config.openings import Opening

_INSIDE_NAMES = frozenset({
    "arpa", "corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost", "onion",
    "private", "svc", "test",
})  # fmt: skip
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # as the last label: 127.1 and 0x7f000001 are addresses to a resolver
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # leads to the IPv4 address in its last 32 bits
_OUTSIDE_V6 = ipaddress.IPv6Network("2000::/3")
_INSIDE_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")  # Teredo and 6to4 carry any IPv4 address
)
_INSIDE_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")  # the last: Azure's own, from within only
)


class ForeignAddressError(ValueError):
    """The URL is not one that a file may be fetched from."""


class PrivateAddressError(ForeignAddressError):
    """The URL leads to an address that is not public."""


def is_public(host: str) -> bool:
    """Whether an IP address is one of the public internet: not loopback, private, link-local, shared, reserved."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast and not any(address in network for network in _INSIDE_V4)
    within = address.ipv4_mapped or (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None)
    if within:
        return is_public(str(within))
    return address in _OUTSIDE_V6 and not any(address in network for network in _INSIDE_V6)


def is_public_name(host: str) -> bool:
    """Whether a host name is written as names of the public internet are. What it resolves to is another question."""
    labels = host.lower().removesuffix(".").split(".")
    well_formed = len(host) <= 254 and all(_LABEL.fullmatch(label) for label in labels)
    return well_formed and len(labels) > 1 and labels[-1] not in _INSIDE_NAMES and not _NUMBER.fullmatch(labels[-1])


def is_public_host(host: str) -> bool:
    """Whether a URL's host, an address without brackets or a name, is one of the public internet. Resolves nothing."""
    try:
        return "%" not in host and is_public(host)
    except ValueError:
        return is_public_name(host)


class AddressPolicy:
    """Decides before a byte is sent. Whoever connects asks three times: for the URL, its addresses, each socket."""

    def __init__(self, openings: Collection[Opening] = (), closed: Collection[Opening] = ()) -> None:
        """Let through what is public but for what is closed, and these openings."""
        self._closed = AddressPolicy(closed) if closed else None
        self._names = {(each.host, each.port) for each in openings if isinstance(each.host, str)}
        self._networks = [(each.host, each.port) for each in openings if not isinstance(each.host, str)]
        self._granted: set[tuple[str, int]] = set()  # addresses of opened names

    def check(self, url: httpx.URL) -> None:
        """Raise `ForeignAddressError` unless it is plain http(s), `PrivateAddressError` for a private address."""
        host = url.raw_host.decode()  # as it goes to the resolver; `host` is decoded for people
        if url.scheme not in {"http", "https"} or not host:
            raise ForeignAddressError("only http:// and https:// URLs are fetched")
        if url.userinfo:
            raise ForeignAddressError("a URL with a login is not fetched")
        port = port_of(url)
        if not 0 < port < 65536:
            raise ForeignAddressError(f"{port} is not a port")
        if not self._may_ask_for(host.lower(), port):
            raise PrivateAddressError(f"{host} is not public")

    def check_addresses(self, host: str, port: int, addresses: Collection[str]) -> None:
        """Raise `PrivateAddressError` unless every address of the name may be connected to."""
        if self._is_open_name(host, port):
            self._granted.update((address, port) for address in addresses)
        elif not addresses or not all(self._may_connect(address, port) for address in addresses):
            raise PrivateAddressError(f"{host} leads to an address that is not public")

    def open_socket(self, info: Any) -> socket.socket:
        """A socket for this address, the last to be asked. aiohttp takes only an `OSError` for a no."""
        family, kind, proto, _, (address, port, *_) = info
        if not self._may_connect(address, port) and (address, port) not in self._granted:
            raise OSError(errno.EACCES, "the address is not public")
        return socket.socket(family, kind, proto)

    def is_opened(self, host: str, port: int) -> bool:
        """Whether one of the openings is for this name or address."""
        try:
            parsed = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return self._is_open_name(host, port)
        return any(parsed in network and own in {None, port} for network, own in self._networks)

    def _may_ask_for(self, host: str, port: int) -> bool:
        if self._closed and self._closed.is_opened(host, port) and not self.is_opened(host, port):
            return False
        return "%" not in host and (self.is_opened(host, port) or is_public_host(host))

    def _may_connect(self, address: str, port: int) -> bool:
        return self.is_opened(address, port) or is_public(address)

    def _is_open_name(self, host: str, port: int) -> bool:
        name = host.lower().removesuffix(".")
        return (name, port) in self._names or (name, None) in self._names


class PolicyResolver(AbstractResolver):
    """Resolves names to addresses that a gate lets through; one that it does not spoils all."""

    def __init__(self, gate: AddressPolicy) -> None:
        self._gate, self._inner = gate, ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name. Raises `PrivateAddressError`."""
        found = await self._inner.resolve(host, port, family)
        self._gate.check_addresses(host, port, [each["host"] for each in found])
        return found

    async def close(self) -> None:
        """Nothing is open."""


def port_of(url: httpx.URL) -> int:
    """The port that the URL names, or its scheme's."""
    return url.port if url.port is not None else {"http": 80, "https": 443}.get(url.scheme, 0)
