"""Malicious references to files, and the kinds of refusal that are correct for each."""

import asyncio
import base64
import gzip
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.integration.foreign.bombs import ZEROS, archives, pictures, text_chunk
from tests.integration.foreign.world import HOST, SECRET, PublicServer
from tests.unit.files.files import picture
from tests.unit.net.test_public import NOT_PUBLIC
from worker.files.signing import sign

MOST_BYTES = 1 << 20
KEY = "a secret of the tests"
PUBLIC_URL = "https://kiln.example/base"

LOOPBACK = [  # spellings of 127.0.0.1 and ::1
    "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "127.000.000.001", "0177.0.0.1", "0177.1", "0x7f.0.0.1", "0x7f.1", "0X7F000001",
    "0x7f000001", "2130706433", "017700000001", "127.0.0.1%00", "127%2e0%2e0%2e1", "%31%32%37.0.0.1", "127。0。0。1", "127．0．0．1",
    "１２７.0.0.1", "①②⑦.⓪.⓪.①", "١٢٧.0.0.1", "127.0.0.1%0d%0a", "127.0x0.0.01", "127.255.255.254", "0", "0.0.0.0", "00000000",
    "0x0", "localhost", "LOCALHOST", "localhost.", "localhost..", "ⓛocalhost", "ｌｏｃａｌｈｏｓｔ", "local\u00adhost", "localhost%2e",
    "a.localhost", "localhost.localdomain", "[::1]", "[0:0:0:0:0:0:0:1]", "[::]", "[0000::1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]", "[2001:0:7f00:1::80ff:fffe]", "[::1%25lo]", "[::1%lo]", "[fe80::1%25eth0]", "[::ffff:2130706433]", "[127.0.0.1]", "::1",
]  # fmt: skip
NAMES = [  # names that are never resolved
    "redis", "metadata", "instance-data", "metadata.google.internal", "kubernetes.default.svc", "api.svc.cluster.local", "printer.lan",
    "router.home", "nas.home.arpa", "git.corp", "wiki.intranet", "x.test", "x.invalid", "x.private", "x.onion", "1.0.0.127.in-addr.arpa",
    "a..example", "-a.example", "a" * 64 + ".example", "a." * 130 + "example", "*.example", "a,b.example", "ex ample.example", "example",
]  # fmt: skip
SCHEMES = [
    "file:///etc/passwd", "file://localhost/etc/passwd", "FILE:///etc/passwd", "ftp://cdn.example/a", "gopher://cdn.example:70/_x",
    "dict://cdn.example:11211/stats", "ldap://cdn.example/", "smb://cdn.example/a", "jar:http://cdn.example/a!/b", "ws://cdn.example/",
    "javascript:alert(1)", "unix:///var/run/docker.sock", "http+unix://%2Fvar%2Frun%2Fdocker.sock/x", "redis://cdn.example/0",
    "s3://bucket/a.png", "gs://bucket/a.png", "about:blank", "blob:http://cdn.example/a", "view-source:http://cdn.example/", "//cdn.example/a",
    "/etc/passwd", "../a.png", "", " ", "cdn.example/a.png", "httpx://cdn.example/", "http:", "https://", "http:///a.png", "http:cdn.example",
]  # fmt: skip
DATA = [
    "data:", "data:image/png", "data:image/png;base64,", "data:image/png;base64,!!!", "data:image/png;base64,AAAA", "data:text/html,<script>",
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>", "DATA:image/png;base64,AAAA", "data:image/png," + "a" * (MOST_BYTES + 1),
    "data:image/png;base64," + base64.b64encode(b"x" * (MOST_BYTES + 3)).decode(),
]  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A reference, and the kinds of refusal that are correct; None is a passing error, after which a retry may help."""

    ref: str
    kinds: frozenset[str | None]
    of: Literal["image", "file"] = "image"
    short_timeout: bool = False  # fetched with a short timeout


Add = Callable[..., None]


def addresses(add: Add, public_server: PublicServer, port: int) -> None:
    """URLs of private addresses."""
    for host in LOOPBACK:
        add(f"http://{host}:{port}/a.png?t={SECRET}", "inside", "address")
    for host in ("127.0.0.1", "[::1]", "localhost"):
        add(f"https://{host}:{port}/a.png", "inside")
        add(f"HTTP://{host}:{port}/#@{HOST}", "inside")
    for host in NAMES:
        add(f"http://{host}:{port}/a.png", "inside", "address")
    for n, address in enumerate(NOT_PUBLIC):
        host = f"[{address.replace('%', '%25')}]" if ":" in address else address
        add(f"http://{host}:{port}/latest/meta-data/{n}", "inside", "address")


def spellings(add: Add, public_server: PublicServer, port: int) -> None:
    """No plain http(s) URL, or one that two parsers read differently."""
    for ref in (*SCHEMES, *DATA):
        add(ref, "address", "wrong_type", "broken", "too_large")
    own = f"{HOST}:{public_server.port}"
    for ref in (
        f"http://user:{SECRET}@{own}/a", f"http://{SECRET}@{own}/a", f"http://@{own}/a", f"http://{own}@127.0.0.1:{port}/",
        f"http://127.0.0.1:{port}@{own}/", f"http://{own}#@127.0.0.1:{port}/", f"http://127.0.0.1:{port}\\@{own}/",
        f"http://{own}\\@127.0.0.1:{port}/", f"http:\\\\127.0.0.1:{port}\\", f"http://127.0.0.1:{port}#{own}",
        f"http://127.0.0.1:{port}?@{own}/", f"http://127.0.0.1:{port};{own}/", f"http://{own}/\r\nHost: 127.0.0.1", f"http://{own}/a\nb",
        f"http://{own}\t/a", f" http://{own}/a", f"http://{own}/\x00", f"http://{own}/\u202egnp.exe", f"http://{HOST}:0/a",
        f"http://{HOST}:65536/a", f"http://{HOST}:-1/a", f"http://{HOST}:{public_server.port}:{port}/", f"http://{HOST}:6e1/", f"http://{HOST}:٨٠/",
        f"http://[{HOST}]/a", "http://[::1/a", f"http://[]:{port}/", "http://xn--/", "http://xn--a-ecp.ru:1/", f"http://{HOST}%3a{port}/",
        f"http://{HOST}%40127.0.0.1:{port}/", f"http://127.0.0.1:{port} {own}/", f"http://{own}/" + "a" * 5000, f"http://{HOST}%00.evil.example/",
    ):  # fmt: skip
        add(ref, "address", "inside", "status", None)


def resolutions(add: Add, public_server: PublicServer, port: int) -> None:
    """Names that resolve to private addresses only, or to one among public ones: see `dns`."""
    for name in dns():
        if name.endswith("evil.example"):
            add(f"http://{name}:{port}/a.png", "inside")
    add(f"http://changes.example:{port}/a.png", None)  # public at the first lookup; the connection is refused
    add(f"http://changes.example.:{port}/a.png", None, "inside")
    add(f"http://back.example:{port}/a.png", "inside")
    add(f"http://nowhere.example:{port}/a.png", None)


def dns() -> dict[str, list[list[str]]]:
    """The addresses of each name, by lookup."""
    table = {
        HOST: [["127.0.0.1"]],
        "changes.example": [["93.184.216.34"], ["127.0.0.1"]],
        "back.example": [["127.0.0.1"], ["93.184.216.34"]],
    }
    table["changes.example."] = [["93.184.216.34"], ["127.0.0.1"]]
    for n, address in enumerate(NOT_PUBLIC):
        table[f"all{n}.evil.example"] = [[address.partition("%")[0]]]
    for n, address in enumerate(("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:127.0.0.1")):
        table[f"first{n}.evil.example"] = [[address, "93.184.216.34"]]
        table[f"last{n}.evil.example"] = [["93.184.216.34", "2606:4700::1111", address]]
    table["none.evil.example"] = [[]]
    return table


def redirects(add: Add, public_server: PublicServer, port: int) -> None:
    """Redirects to private addresses, to other schemes, and in a loop."""
    for n, host in enumerate(("127.0.0.1", "127.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "redis",
                              "169.254.169.254", "10.0.0.1", "[fd00::1]", "all0.evil.example", "last0.evil.example", "back.example")):  # fmt: skip
        passing = (None,) if host == "back.example" else ()  # this may be its second, public lookup
        add(
            public_server.redirect(f"http://{host}:{port}/?t={SECRET}", (301, 302, 303, 307, 308)[n % 5]),
            "inside",
            *passing,
        )
    for target in (f"//127.0.0.1:{port}/", f"///127.0.0.1:{port}/", f"https://localhost:{port}/", f"http:/\\127.0.0.1:{port}/", f"\\\\127.0.0.1:{port}/",
                   "file:///etc/passwd", "FILE:/etc/passwd", "ftp://cdn.example/", "data:image/png;base64,AAAA", "gopher://127.0.0.1:6379/_x",
                   "javascript:alert(1)", f"http://u:{SECRET}@{HOST}/", f"http://{HOST}:99999/", "http://[::1", "http://", f"http://{HOST}:0/"):  # fmt: skip
        add(public_server.redirect(target), "inside", "address", "status", "redirects", None)
    add(public_server.redirect(public_server.redirect(public_server.redirect(f"http://127.0.0.1:{port}/"))), "inside")
    public_server.pages["loop"] = (
        b"HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
    add(public_server.url("loop"), "redirects")
    long = public_server.answer("end.png", picture())
    for _ in range(6):
        long = public_server.redirect(long)
    add(long, "redirects")
    add(public_server.answer("no-location", b"", status="302 Found"), "status")


def sizes(add: Add, public_server: PublicServer, port: int) -> None:
    """Files that are too large, too slow, or not as announced."""

    async def endless(writer: asyncio.StreamWriter, head: str = "", chunk: bytes = b"x" * 65536) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode())
        while True:
            writer.write(chunk)
            await writer.drain()

    async def drip(
        writer: asyncio.StreamWriter, head: str = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    ) -> None:
        writer.write(head.encode())
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def silent(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3)

    async def slow_redirect(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(
            b"HTTP/1.1 302 Found\r\nLocation: /slow-redirect\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )

    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    public_server.pages |= {
        "endless": lambda writer: endless(writer),
        "endless-chunks": lambda writer: endless(writer, "Transfer-Encoding: chunked\r\n", chunk),
        "endless-picture": lambda writer: endless(writer, "", picture() + b"x" * 65536),
        "endless-headers": lambda writer: endless(writer, "", b"X-A: " + b"a" * 1000 + b"\r\n"),
        "drip": lambda writer: drip(writer),
        "drip-head": lambda writer: drip(writer, "HTTP/1.1 200 OK\r\nX-A: "),
        "drip-chunks": lambda writer: drip(writer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1"),
        "silent": silent,
        "slow-redirect": slow_redirect,
    }
    for name in ("endless", "endless-chunks", "endless-picture"):
        add(public_server.url(name), "too_large")
    add(public_server.url("endless-headers"), None, "too_large")
    for name in ("drip", "drip-head", "drip-chunks", "silent", "slow-redirect"):
        add(public_server.url(name), "too_slow", None, short_timeout=True)
    for length in (MOST_BYTES + 1, 10**12, 2**63 - 1):
        add(public_server.answer(f"announces-{length}", b"x", length=length), "too_large")
    add(
        public_server.answer("announces-absurdly", b"x", "Content-Length: " + "9" * 5000, length=-1),
        None,
        "too_large",
        "wrong_type",
    )
    add(public_server.answer("announces-less", b"x" * (MOST_BYTES * 2), length=10), "wrong_type", None)
    add(public_server.answer("announces-more", picture(), length=100_000), None)
    add(public_server.answer("announces-twice", picture(), "Content-Length: 1"), None)
    add(public_server.answer("announces-below-zero", picture(), length=-5), None)
    add(public_server.answer("both-lengths", picture(), "Transfer-Encoding: chunked"), None)
    add(public_server.answer("large", b"x" * (MOST_BYTES + 1), length=-1), "too_large")


def contents(add: Add, public_server: PublicServer, port: int) -> None:
    """Decompression bombs, and files that are not pictures."""
    for coding in ("gzip", "deflate", "br", "zstd", "x-gzip", "GZIP", "identity, gzip", "gzip, gzip", "compress"):
        add(public_server.answer(f"coded-{coding}", gzip.compress(ZEROS), f"Content-Encoding: {coding}"), "encoding")
    add(
        public_server.answer("transfer-coded", gzip.compress(picture()), "Transfer-Encoding: gzip, chunked", length=-1),
        None,
    )
    for name, data in pictures().items():
        add(public_server.answer(name, data, "Content-Type: image/png"), "too_many_pixels", "broken")
    add(public_server.answer("text.png", text_chunk()), "broken")
    for name, data in archives().items():
        add(public_server.answer(name, data), "bomb", "broken", of="file")
    whole = picture("PNG")
    for name, data in {
        "empty": b"", "half.png": whole[: len(whole) // 2], "page.html": f"<html>{SECRET}".encode(), "drawing.svg": b"<svg onload='x'/>",
        "paper.pdf": b"%PDF-1.7", "a.ps": b"%!PS-Adobe\n", "fits.png": whole[:8], "text": SECRET.encode(),
        "movie.mp4": b"\0\0\0\x18ftypisom" + bytes(100), "swapped.png": b"\xff\xd8\xff" + whole,
    }.items():  # fmt: skip
        add(public_server.answer(name, data, "Content-Type: image/png"), "wrong_type", "broken")


def answers(add: Add, public_server: PublicServer, port: int) -> None:
    """Answers without a file, with a secret that must not be repeated."""
    for status in (
        "204 No Content",
        "206 Partial Content",
        "300 Choices",
        "304 Not Modified",
        "400 Bad",
        "401 Login",
        "403 No",
        "404 No",
        "407 Proxy",
        "410 Gone",
        "451 Law",
    ):
        add(
            public_server.answer(status[:3], SECRET.encode(), f"WWW-Authenticate: {SECRET}", status=status),
            "status",
            None,
        )
    for status in (f"500 {SECRET}", f"503 {SECRET}", f"429 {SECRET}"):
        add(public_server.answer(status[:3], SECRET.encode(), "Retry-After: 99999999999", status=status), None)
    for n, raw in enumerate((f"-ERR {SECRET}\r\n", f"SSH-2.0-{SECRET}\r\n", f"HTTP/9.9 {SECRET}\r\n\r\n", f"HTTP/1.1 200 OK\r\n{SECRET}\r\n\r\n", "\0" * 100, "",
                             f"HTTP/1.1 200 OK\r\nA: \0{SECRET}\r\n\r\n", f"HTTP/1.1 101 {SECRET}\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{SECRET}",
                             f"HTTP/1.1 99999 {SECRET}\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n" * 3)):  # fmt: skip
        public_server.pages[f"raw-{n}"] = raw.encode()
        add(public_server.url(f"raw-{n}"), None, "wrong_type", "status")
    add(f"https://{HOST}:{public_server.port}/a", None, "too_slow", short_timeout=True)  # the server has no TLS


def own_files(add: Add, public_server: PublicServer, port: int) -> None:
    """URLs of our own files that do not exist, or whose signature is wrong."""
    good = sign(KEY, "jobs/a/images-0.png", time.time() + 100)
    base = f"{PUBLIC_URL}/files"
    for ref in (f"{base}/jobs/a/images-0.png", f"{base}/jobs/a/images-0.png?{good}x", f"{base}/jobs/b/images-0.png?{good}",
                f"{base}/jobs/a/images-0.png?{sign('another secret here', 'jobs/a/images-0.png', 9e9)}",
                f"{base}/jobs/a/images-0.png?{sign(KEY, 'jobs/a/images-0.png', 1)}", f"{base}/jobs/a/images-0.png?{good}&expires=9999999999&signature=%ff",
                f"{base}/../../etc/passwd?{good}", f"{base}/%2e%2e/%2e%2e/etc/passwd?{good}", f"{base}/?{good}", f"{base}/jobs/a/%00?{good}"):  # fmt: skip
        add(ref, "signature", "address")
    for ref in (
        "jobs/nobody/images-0.png",
        f"{base}/jobs/a/images-0.png?{good}".replace("https://kiln", "HTTPS://KILN"),
    ):
        add(ref, "missing")
    for ref in (
        "jobs/../../etc/passwd",
        "jobs/./a",
        "jobs//a",
        "jobs/a/",
        "jobs/.hidden",
        "jobs/" + "a" * 600,
        "etc/passwd",
    ):
        add(ref, "address")


PARTS = (addresses, spellings, resolutions, redirects, sizes, contents, answers, own_files)
