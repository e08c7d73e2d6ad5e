"""Ten thousand hostile webhooks: no crash, no row is created, none is changed.

They are generated from a seed: broken headers, paths and bodies at the URLs of real rows, genuine webhooks of other
requests, and bodies with a valid signature that fal would not send.
"""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote, unquote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import capture_logs

from tests.unit.gateway.webhook_endpoint import JOB, REQUEST, SIGNED_AT, WEBHOOKS, WebhookEndpoint, headers_of, jwk
from worker.jobs.job import Stage

COUNT = 10_000
KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"of this test alone").digest())
ROWS = {
    JOB: Stage.WAITING,
    "a/b c": Stage.WAITING,
    "späte Füchse": Stage.WAITING,
    "unknown": Stage.UNKNOWN,
    "over": Stage.COMPLETED,
}
NAMES = ("request-id", "user-id", "timestamp", "signature")
ODD_TEXT = ["", " ", "0", "-1", "null", "None", "true", "NaN", "1e400", "9" * 5000, "\x00", "\r\n", "../../etc/passwd", "%00", "%0a", "'; --",
            "${jndi:x}", "{{7*7}}", "<script>", "ß狐", "\udcff", "٣", "a" * 70_000, "1767225600 ", "+1767225600", "0x1"]  # fmt: skip


@dataclass
class Post:
    """A request as bytes on the wire."""

    path: str
    body: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    pieces: int = 1

    def set(self, name: str, value: bytes) -> None:
        self.drop(name)
        self.headers.append((f"x-fal-webhook-{name}".encode(), value))

    def drop(self, name: str) -> None:
        self.headers = [each for each in self.headers if each[0] != f"x-fal-webhook-{name}".encode()]


def scalar(random: Random) -> Any:
    return random.choice(
        [
            None,
            True,
            0,
            -1,
            1.5,
            10**40,
            "",
            "x" * 300,
            "\x00",
            "\ud800",
            [],
            {},
            [[]],
            REQUEST + " ",
            random.choice(ODD_TEXT),
        ]
    )


def hostile_json(random: Random) -> bytes:
    """A body that is almost or quite valid, but never about the request of a row."""
    body = json.loads(WEBHOOKS["other_request"]["body"]) | {"gateway_request_id": "no-such-request"}
    for _ in range(random.randint(1, 3)):
        match random.randrange(5):
            case 0:
                body.pop(random.choice(list(body)), None) if body else None
            case 1:
                body[
                    random.choice(["request_id", "gateway_request_id", "status", "payload", "payload_error", "error"])
                ] = scalar(random)
            case 2:
                body["payload"] = {"images": [{"url": random.choice(ODD_TEXT)}] * random.randint(0, 50)}
            case 3:
                body["__class__"] = {"__proto__": scalar(random)}
            case 4:
                body["status"] = random.choice(["ok", "COMPLETED", "OK ", "OKOK", ["OK"]])
    return json.dumps(body).encode()


def odd_bytes(random: Random) -> bytes:
    deep = random.choice([50, 250, 5000])
    return random.choice([
        random.randbytes(random.randint(0, 400)), b"", b"null", b"[]", b'""', b"{", b"[" * deep, b'{"payload":' * deep, b"\xef\xbb\xbf{}",
        b'{"request_id":"x","status":"OK","payload":' + b'{"a":' * deep + b"1" + b"}" * deep + b"}",
        b'{"request_id":"x","status":"OK","payload":{"n":' + b"9" * random.choice([10, 5000]) + b"}}",
        b'{"request_id":"x","status":"OK","payload":{"n":NaN,"m":-Infinity}}', WEBHOOKS["ok"]["body"].encode("utf-16"),
        WEBHOOKS["ok"]["body"].encode()[: random.randint(1, 150)], b"request_id=" + REQUEST.encode(),
    ])  # fmt: skip


def signed(random: Random, endpoint: WebhookEndpoint) -> Post:
    """A valid signature, but not about the request of any row, or not a body that fal sends."""
    job = random.choice([job for job, stage in ROWS.items() if stage != Stage.UNKNOWN])
    body = random.choice([hostile_json, odd_bytes])(random)
    request_id = random.choice([REQUEST, WEBHOOKS["other_request"]["request_id"], "x", random.randbytes(9).hex()])
    post = Post(path_of(endpoint, job), body, pieces=random.randint(1, 3))
    lines = (request_id, "user-42", str(int(SIGNED_AT)), hashlib.sha256(body).hexdigest())
    for name, value in zip(NAMES, (*lines[:3], KEY.sign("\n".join(lines).encode()).hex()), strict=True):
        post.set(name, value.encode())
    return post


def genuine(endpoint: WebhookEndpoint) -> Post:
    """A genuine webhook of fal, for the request of the rows."""
    post = Post(path_of(endpoint, JOB), WEBHOOKS["ok"]["body"].encode())
    for name, value in headers_of("ok").items():
        post.headers.append((name.lower().encode(), value.encode()))
    return post


def broken_header(random: Random, endpoint: WebhookEndpoint) -> Post:
    post, name = genuine(endpoint), random.choice(NAMES)
    post.path = path_of(endpoint, random.choice(list(ROWS)))
    old = dict(post.headers)[f"x-fal-webhook-{name}".encode()]
    at = random.randrange(len(old))
    new = random.choice([
        old[:at] + bytes([old[at] ^ 1]) + old[at + 1 :], old[:at], old + b"\n", b" " + old, old * 2, random.randbytes(len(old)),
        random.choice(ODD_TEXT).encode(errors="surrogateescape"), None,
    ])  # fmt: skip
    post.drop(name) if new is None else post.set(name, new)
    return post


def broken_body(random: Random, endpoint: WebhookEndpoint) -> Post:
    post = genuine(endpoint)
    post.path = path_of(endpoint, random.choice(list(ROWS)))
    at = random.randrange(len(post.body))
    flipped = post.body[:at] + bytes([post.body[at] ^ (1 << random.randrange(8))]) + post.body[at + 1 :]
    post.body = random.choice([flipped, post.body[:at], post.body + b" ", hostile_json(random), odd_bytes(random)])
    post.headers.append((b"content-length", random.choice(ODD_TEXT).encode(errors="surrogateescape")))
    post.pieces = random.randint(1, 5)
    return post


def broken_path(random: Random, endpoint: WebhookEndpoint) -> Post:
    post, path = genuine(endpoint), path_of(endpoint, JOB)
    token = path.rpartition("/")[2]
    odd, job = random.choice(ODD_TEXT), random.choice([*ROWS, "nobody", "", "..", "/", random.choice(ODD_TEXT)])
    attempt, _, mac = token.partition("-")
    wrong = random.choice([
        odd, token[:-1], token + "A", f"2-{mac}", f"0{attempt}-{mac}", f"-{mac}", mac, f"{attempt}-{mac[::-1]}", f"{odd}-{mac}",
        path_of(endpoint, "nobody").rpartition("/")[2], f"{attempt}-{mac}\n",
    ])  # fmt: skip
    post.path = f"/webhooks/fal/{job}/{wrong}"
    return post


def path_of(endpoint: WebhookEndpoint, job: str) -> str:
    return unquote(endpoint.url(job).removeprefix("http://gateway"))


KINDS: list[Callable[[Random, WebhookEndpoint], Post]] = [signed, broken_header, broken_body, broken_path]


async def status_of(endpoint: WebhookEndpoint, post: Post) -> int | None:
    """The status of the application's answer, called as a server calls it; None without an answer."""
    step = max(1, len(post.body) // post.pieces)
    chunks = [post.body[at : at + step] for at in range(0, len(post.body), step)] or [b""]
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return (
            {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}
            if chunks
            else {"type": "http.disconnect"}
        )

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    raw = quote(post.path, errors="surrogatepass").encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": post.path,
        "raw_path": raw,
        "headers": post.headers,
        "query_string": b"",
    }
    await endpoint.app(scope, receive, send)  # type: ignore[arg-type]
    return statuses[0] if statuses else None


@pytest.fixture
async def endpoint() -> WebhookEndpoint:
    """An endpoint with a row at each interesting stage, and a key that the test can sign with."""
    endpoint = WebhookEndpoint()
    public = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    endpoint.key_server.keys.append(jwk(base64.urlsafe_b64encode(public).decode()))
    for job, stage in ROWS.items():
        await endpoint.add(job, stage, None if stage == Stage.UNKNOWN else REQUEST)
    return endpoint


async def test_ten_thousand_hostile_webhooks_leave_no_trace(endpoint: WebhookEndpoint) -> None:
    random = Random(20261121)
    before = {job: await endpoint.row(job) for job in ROWS}
    answers: dict[int | None, int] = {}
    with capture_logs() as logs:
        for n in range(COUNT):
            status = await status_of(endpoint, KINDS[n % len(KINDS)](random, endpoint))
            answers[status] = answers.get(status, 0) + 1

    counts = await endpoint.counts()
    assert set(answers) <= {200, 400, 401, 403, 404, 413}, answers
    assert not {"accepted", "duplicate", "failed"} & set(counts), counts
    assert sum(counts.values()) + answers.get(404, 0) == COUNT
    for kind in ("wrong_token", "forged", "expired", "malformed", "mismatch", "late"):
        assert counts[kind] >= 20, (kind, counts)
    assert {job: await endpoint.row(job) for job in ROWS} == before
    assert set(endpoint.ledger.rows) == set(ROWS)
    assert endpoint.key_server.fetches == 1
    assert {each["event"] for each in logs} == {"webhook_refused", "webhook_heard"}

    assert await status_of(endpoint, genuine(endpoint)) == 200
    assert (await endpoint.counts())["accepted"] == 1, "a genuine webhook is still accepted"
