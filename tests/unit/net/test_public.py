"""Foreign URLs lead to public addresses, and to others only where an operator allows them."""

import socket
from collections.abc import Callable

import httpx
import pytest

from config.allowed_addresses import AllowedAddress, allowed_address, read_allowed
from worker.net import public
from worker.net.http import open_downloads
from worker.net.public import (
    AddressPolicy,
    ForeignAddressError,
    PrivateAddressError,
    is_public,
    is_public_host,
    is_public_name,
)

NOT_PUBLIC = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "255.255.255.255", "224.0.0.1", "198.18.0.1", "240.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "168.63.129.16",
    "::1", "::", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1", "2001:db8::1",
    "3fff::1", "5f00::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:808:808::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "2606:4700::1111", "2a00:1450:4001::8a", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


def test_an_address_that_is_not_global_is_not_public(subtests: pytest.Subtests) -> None:
    for host in NOT_PUBLIC:
        with subtests.test(host=host):
            assert not is_public(host)


def test_a_global_address_is_public(subtests: pytest.Subtests) -> None:
    for host in PUBLIC:
        with subtests.test(host=host):
            assert is_public(host)


def test_a_name_that_is_no_public_dns_name_is_not_public(subtests: pytest.Subtests) -> None:
    for name in [
        "",
        ".",
        "redis",
        "localhost",
        "a.localhost",
        "printer.local",
        "metadata.google.internal",
        "x.svc",
        "127.1",
        "1.2.3.4.",
        "a.0x7f",
        "a..b",
        "-a.b",
        "a b.example",
        "a%00b.example",
        "münchen.example",
        "a." * 130 + "example",
    ]:
        with subtests.test(name=name):
            assert not is_public_name(name)


def test_a_public_dns_name_is_public(subtests: pytest.Subtests) -> None:
    for name in ["cdn.example", "CDN.Example.", "xn--mnchen-3ya.example", "a_b.example", "v3.fal.media"]:
        with subtests.test(name=name):
            assert is_public_name(name)


def test_a_host_is_judged_as_an_address_or_as_a_name(subtests: pytest.Subtests) -> None:
    for host, expected in [
        ("8.8.8.8", True),
        ("10.0.0.1", False),
        ("2606:4700::1111", True),
        ("::1", False),
        ("cdn.example", True),
        ("redis", False),
        ("2606:4700::1111%eth0", False),
        ("8.8.8.8%eth0", False),
        ("", False),
    ]:
        with subtests.test(host=host, expected=expected):
            assert is_public_host(host) == expected


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/x", "http://[::1]:1/x", "http://[::ffff:10.0.0.1]/", "http://localhost:1/x", "http://x:y@1.1.1.1/"]
)  # fmt: skip
async def test_a_download_never_connects_to_a_private_address(url: str) -> None:
    async with open_downloads(2, policy=AddressPolicy()) as client:
        with pytest.raises(httpx.UnsupportedProtocol, match=r"not public|login"):
            await client.get(url)


Resolving = Callable[..., None]


@pytest.fixture
def resolving(monkeypatch: pytest.MonkeyPatch) -> Resolving:
    """Makes every name resolve to these addresses."""

    def to(*addresses: str) -> None:
        async def resolve(self: object, host: str, port: int = 0, family: object = None) -> list[dict[str, object]]:
            families = {True: socket.AF_INET6, False: socket.AF_INET}
            return [
                {"hostname": host, "host": each, "port": port, "family": families[":" in each], "proto": 6, "flags": 0}
                for each in addresses
            ]

        monkeypatch.setattr(public.ThreadedResolver, "resolve", resolve)

    return to


@pytest.mark.parametrize("address", ["10.0.0.7", "::1", "64:ff9b::7f00:1"])
async def test_a_name_with_one_private_address_is_refused_when_it_is_resolved(
    resolving: Resolving, address: str
) -> None:
    resolving("1.1.1.1", address)
    async with open_downloads(2, policy=AddressPolicy()) as client:
        with pytest.raises(httpx.UnsupportedProtocol, match=r"innocent\.example leads to an address"):
            await client.get("http://innocent.example/x.png")


def test_an_allowed_address_is_a_host_or_a_network_and_perhaps_a_port() -> None:
    allowed = read_allowed(" Twin:9100, 10.0.0.0/8 ,[::1]:80,::1,minio")

    assert [(str(each.host), each.port) for each in allowed] == [
        ("twin", 9100), ("10.0.0.0/8", None), ("::1/128", 80), ("::1/128", None), ("minio", None),
    ]  # fmt: skip
    assert read_allowed("") == ()
    assert allowed_address("https://twin/x") == AllowedAddress("twin", 443)
    assert str(allowed_address("http://[::1]:9100/").host) == "::1/128"


def test_an_allowed_address_that_cannot_be_read_is_refused(subtests: pytest.Subtests) -> None:
    for text in ["http://a", "a:0", "a:65536", "a:b", "10.0.0.1/8", "a b", "*", "a/b", ":80"]:
        with subtests.test(text=text), pytest.raises(ValueError, match="is not host"):
            read_allowed(text)


@pytest.mark.parametrize(
    ("allowed", "url", "passes"),
    [
        ("127.0.0.1:9100", "http://127.0.0.1:9100/", True),
        ("127.0.0.1:9100", "http://127.0.0.1:9101/", False),
        ("127.0.0.1:9100", "http://127.0.0.2:9100/", False),
        ("127.0.0.1:9100", "http://localhost:9100/", False),
        ("127.0.0.1:9100", "http://[::ffff:127.0.0.1]:9100/", False),
        ("10.0.0.0/8", "https://10.9.8.7/", True),
        ("10.0.0.0/8", "https://11.0.0.1/", True),
        ("10.0.0.0/8", "https://172.16.0.1/", False),
        ("twin:9100", "http://TWIN.:9100/", True),
        ("twin:9100", "http://twin/", False),
        ("twin", "http://xtwin/", False),
        ("fe80::/10", "http://[fe80::1%25lo]/", False),
    ],
)
def test_an_allowed_address_allows_nothing_else(allowed: str, url: str, passes: bool) -> None:
    policy = AddressPolicy(read_allowed(allowed))
    if passes:
        policy.check(httpx.URL(url))
    else:
        with pytest.raises(PrivateAddressError):
            policy.check(httpx.URL(url))


def test_an_allowed_name_allows_only_its_own_addresses_on_its_port() -> None:
    policy = AddressPolicy(read_allowed("twin:9100"))
    policy.check_addresses("twin", 9100, ["172.18.0.2"])
    policy.open_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("172.18.0.2", 9100))).close()

    with pytest.raises(PrivateAddressError):
        policy.check_addresses("other.example", 9100, ["172.18.0.2"])
    for address in (("172.18.0.2", 6379), ("172.18.0.3", 9100)):
        with pytest.raises(OSError, match="not public"):
            policy.open_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", address))


def test_a_name_without_addresses_and_an_impossible_port_lead_nowhere() -> None:
    with pytest.raises(PrivateAddressError):
        AddressPolicy().check_addresses("a.example", 80, [])
    for port in (0, 65536):
        with pytest.raises(ForeignAddressError):
            AddressPolicy().check(httpx.URL(f"http://a.example:{port}/"))
