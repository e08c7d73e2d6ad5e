"""Which addresses and names are public, and which others a file may be fetched from.

The URL of a file comes from a caller, or from the answer of a model that anybody may have published. A name is judged
by the addresses that it resolves to, and the connection goes to exactly those addresses, so a second, different DNS
answer changes nothing. Redirects and limits of size and time: `worker.files.download`.
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

from config.allowed_addresses import AllowedAddress

_PRIVATE_SUFFIXES = frozenset({
    "arpa", "corp", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain", "localhost", "onion",
    "private", "svc", "test",
})  # fmt: skip
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a resolver takes 127.1 and 0x7f000001 for addresses
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # leads to the IPv4 address in the last 32 bits
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")  # Teredo and 6to4 carry any IPv4 address
)
_NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")  # the last is Azure's own
)


class ForeignAddressError(ValueError):
    """No file may be fetched from this URL."""


class PrivateAddressError(ForeignAddressError):
    """The URL leads to an address that is not public."""


def is_public(host: str) -> bool:
    """Whether an IP address is public: not loopback, private, link-local, shared or reserved.

    Raises `ValueError` for anything but an address.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not (address.is_multicast or any(address in each for each in _NOT_PUBLIC_V4))
    embedded = address.ipv4_mapped or (ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None)
    if embedded:
        return is_public(str(embedded))
    return address in _GLOBAL_V6 and not any(address in each for each in _NOT_PUBLIC_V6)


def is_public_name(host: str) -> bool:
    """Whether a host name has the form of a public DNS name. Resolves nothing."""
    labels = host.lower().removesuffix(".").split(".")
    well_formed = len(host) <= 254 and all(_LABEL.fullmatch(label) for label in labels)
    return well_formed and len(labels) > 1 and labels[-1] not in _PRIVATE_SUFFIXES and not _NUMBER.fullmatch(labels[-1])


def is_public_host(host: str) -> bool:
    """Whether the host of a URL, an address without brackets or a name, is public. Resolves nothing."""
    try:
        return "%" not in host and is_public(host)
    except ValueError:
        return is_public_name(host)


class AddressPolicy:
    """Allows or refuses a connection before a byte is sent: checks the URL, then its addresses, then each socket."""

    def __init__(self, allowed: Collection[AllowedAddress] = (), denied: Collection[AllowedAddress] = ()) -> None:
        """Allow public hosts and `allowed`. `denied` are refused even where they are public, unless also allowed."""
        self._denied = AddressPolicy(denied) if denied else None
        self._names = {(each.host, each.port) for each in allowed if isinstance(each.host, str)}
        self._networks = [(each.host, each.port) for each in allowed if not isinstance(each.host, str)]
        self._resolved: set[tuple[str, int]] = set()  # addresses of allowed names

    def check(self, url: httpx.URL) -> None:
        """Raise `ForeignAddressError` for anything but plain http(s), `PrivateAddressError` for a host not allowed."""
        host = url.raw_host.decode()  # as the resolver gets it; `host` is decoded
        if url.scheme not in {"http", "https"} or not host:
            raise ForeignAddressError("only http:// and https:// URLs are fetched")
        if url.userinfo:
            raise ForeignAddressError("a URL with a login is not fetched")
        port = port_of(url)
        if not 0 < port < 65536:
            raise ForeignAddressError(f"{port} is not a port")
        if not self._is_host_allowed(host.lower(), port):
            raise PrivateAddressError(f"{host} is not public")

    def check_addresses(self, host: str, port: int, addresses: Collection[str]) -> None:
        """Raise `PrivateAddressError` unless every address that the name resolved to is allowed."""
        if self._is_allowed_name(host, port):
            self._resolved.update((address, port) for address in addresses)
        elif not addresses or not all(self._is_address_allowed(address, port) for address in addresses):
            raise PrivateAddressError(f"{host} leads to an address that is not public")

    def open_socket(self, info: Any) -> socket.socket:
        """A socket for this address, or `OSError`: aiohttp understands no other refusal here."""
        family, kind, proto, _, (address, port, *_) = info
        if not self._is_address_allowed(address, port) and (address, port) not in self._resolved:
            raise OSError(errno.EACCES, "the address is not public")
        return socket.socket(family, kind, proto)

    def is_allowed(self, host: str, port: int) -> bool:
        """Whether this name or address is on the list of allowed ones."""
        try:
            parsed = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return self._is_allowed_name(host, port)
        return any(parsed in network and only in {None, port} for network, only in self._networks)

    def _is_host_allowed(self, host: str, port: int) -> bool:
        if self._denied and self._denied.is_allowed(host, port) and not self.is_allowed(host, port):
            return False
        return "%" not in host and (self.is_allowed(host, port) or is_public_host(host))

    def _is_address_allowed(self, address: str, port: int) -> bool:
        return self.is_allowed(address, port) or is_public(address)

    def _is_allowed_name(self, host: str, port: int) -> bool:
        name = host.lower().removesuffix(".")
        return (name, port) in self._names or (name, None) in self._names


class PolicyResolver(AbstractResolver):
    """Resolves names. A name is refused if the policy refuses any of its addresses."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy, self._inner = policy, ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name. Raises `PrivateAddressError`."""
        found = await self._inner.resolve(host, port, family)
        self._policy.check_addresses(host, port, [each["host"] for each in found])
        return found

    async def close(self) -> None:
        """Nothing is open."""


def port_of(url: httpx.URL) -> int:
    """The port in the URL, or the default port of its scheme."""
    return url.port if url.port is not None else {"http": 80, "https": 443}.get(url.scheme, 0)
