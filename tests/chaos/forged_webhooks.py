"""Sends webhooks that the provider never sent: unsigned, signed with a wrong key, replayed for another job, for no job.

To replay a webhook with a valid signature, we submit a request of our own whose webhook comes to this server. Every
forged webhook names a file on this server; nothing may fetch it.
"""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

import httpx
import redis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORGED_FILE = "/forged.png"
PROMPT = "no job of ours"


class WebhookForger:
    """Sends forged webhooks; its server receives one real webhook and records every fetch."""

    def __init__(self, twin_url: str, gateway_url: str, random: Random, is_open: Callable[[str], bool]) -> None:
        """`is_open` says whether a job's submission is being reconciled: then its URL accepts any signed request."""
        self._twin, self._gateway, self._random, self._is_open = twin_url, gateway_url, random, is_open
        self.caught: list[tuple[dict[str, str], bytes]] = []
        self.fetched: list[str] = []
        self.answers: list[tuple[str, int]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def catch_one(self) -> str:
        """Submit a request of our own, so that the twin signs a webhook for it; return the request's id."""
        answer = httpx.post(
            f"{self._twin}/queue/fal-ai/flux/schnell",
            params={"fal_webhook": self.url},
            json={"prompt": PROMPT},
            headers={"Authorization": "Key forger:forger"},
        )
        answer.raise_for_status()
        return str(answer.json()["request_id"])

    def send_forgeries(self) -> int:
        """Post one forged webhook of each kind to the URL of a random job; return how many were posted."""
        requests = httpx.get(f"{self._twin}/_twin/requests").json()["requests"]
        open_ones = [request for request in requests if request["webhook_url"] and PROMPT not in str(request["input"])]
        if not open_ones:
            return self._post(
                "nobody", f"{self._gateway}/webhooks/fal/nobody/{'0' * 43}", {}, self._forged_body("none")
            )
        running = [request for request in open_ones if request["state"] != "COMPLETED"]
        victim = self._random.choice(running or open_ones)
        url, body = victim["webhook_url"], self._forged_body(victim["request_id"])
        posted = self._post("unsigned", url, {}, body)
        posted += self._post("foreign key", url, _signed(victim, body), body)
        posted += self._post("wrong token", f"{url[:-4]}AAAA", _signed(victim, body), body)
        if self.caught and not self._is_open(job_in(url)):
            headers, true_body = self.caught[0]
            posted += self._post("replayed", url, headers, true_body)
            posted += self._post("replayed, changed", url, headers, body)
        return posted

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _forged_body(self, request_id: str) -> bytes:
        image = {"url": f"{self.url}{FORGED_FILE}", "width": 512, "height": 512, "content_type": "image/png"}
        forged = {"request_id": request_id, "status": "OK", "payload": {"images": [image], "seed": 1}}
        return json.dumps(forged).encode()

    def _post(self, sort: str, url: str, headers: dict[str, str], body: bytes) -> int:
        try:
            answer = httpx.post(url, content=body, headers=headers | {"Content-Type": "application/json"}, timeout=5)
        except httpx.HTTPError:
            return 0  # the gateway is down
        self.answers.append((sort, answer.status_code))
        return 1


def job_in(url: str) -> str:
    """Return the job's id in the URL of its webhook."""
    return url.split("?")[0].rstrip("/").split("/")[-2]


def _signed(victim: dict[str, Any], body: bytes) -> dict[str, str]:
    """Return fal's headers with a signature of an unknown key."""
    return {
        "X-Fal-Webhook-Request-Id": victim["request_id"],
        "X-Fal-Webhook-User-Id": str(victim["account"]),
        "X-Fal-Webhook-Timestamp": str(int(time.time())),
        "X-Fal-Webhook-Signature": Ed25519PrivateKey.generate().sign(body).hex(),
    }


def _handler(forger: WebhookForger) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower().startswith("x-fal")}
            forger.caught.append((headers, body))
            self.send_response(200)
            self.end_headers()

        def do_GET(self) -> None:
            forger.fetched.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            return

    return Handler


def is_open(client: redis.Redis, job: str) -> bool:
    """Whether a submission of a job has no ticket yet: its webhook brings the id, so a signed one is believed."""
    stage, doc = client.hmget(f"kilnhand:job:{job}", "stage", "doc")
    if stage in {b"submitting", b"unknown", b"accepted", None} or doc is None:
        return True
    return any(attempt.get("trouble") and not attempt.get("ticket") for attempt in json.loads(doc).get("attempts", []))
