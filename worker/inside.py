"""Addresses that no foreign URL may lead to: a file's URL comes from an answer that anyone's app may have written.

Names are judged by what they resolve to, and the connection is made to those very addresses, so that a name which
changes between two looks gains nothing.
"""

import ipaddress
import socket

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult


class InsideError(ValueError):
    """The address is not a public one."""


def is_public(host: str) -> bool:
    """Whether an IP address is one of the public internet: not loopback, private, link-local, shared, reserved."""
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_global and not address.is_multicast


def refuse_inside(host: str) -> None:
    """Raise `InsideError` for an IP address that is not public. A name is judged when it is resolved."""
    try:
        public = is_public(host.strip("[]"))
    except ValueError:
        return
    if not public:
        raise InsideError(f"{host} is not a public address")


class PublicResolver(AbstractResolver):
    """Resolves names to public addresses only; one that is not spoils all."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name. Raises `InsideError`."""
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(each["host"]) for each in found):
            raise InsideError(f"{host} leads to an address that is not public")
        return found

    async def close(self) -> None:
        """Nothing is open."""
