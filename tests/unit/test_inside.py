"""No foreign URL leads inside."""

import httpx
import pytest

from worker import inside
from worker.http import open_downloads
from worker.inside import is_public

INSIDE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "255.255.255.255", "224.0.0.1", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_an_address_inside_is_not_public(host: str) -> None:
    assert not is_public(host)


@pytest.mark.parametrize("host", ["1.1.1.1", "8.8.8.8", "2606:4700::1111"])
def test_an_address_outside_is(host: str) -> None:
    assert is_public(host)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "http://[::1]:1/x", "http://[::ffff:10.0.0.1]/", "http://localhost:1/x"]
)
async def test_a_download_does_not_even_connect_to_the_inside(url: str) -> None:
    async with open_downloads(2, public_only=True) as client:
        with pytest.raises(httpx.UnsupportedProtocol, match=r"not a public address|not public"):
            await client.get(url)


async def test_a_name_that_leads_inside_is_refused_where_it_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(self: object, host: str, port: int = 0, family: object = None) -> list[dict[str, object]]:
        return [
            {"hostname": host, "host": address, "port": port, "family": 2, "proto": 6, "flags": 0}
            for address in ("1.1.1.1", "10.0.0.7")
        ]

    monkeypatch.setattr(inside.ThreadedResolver, "resolve", resolve)
    async with open_downloads(2, public_only=True) as client:
        with pytest.raises(httpx.UnsupportedProtocol, match=r"innocent\.example leads to an address"):
            await client.get("http://innocent.example/x.png")
