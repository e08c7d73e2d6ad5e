"""Webhooks: the signature as fal documents it, retries, and the faults of the script."""

import base64
import hashlib
import http.server
import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Target:
    """An HTTP server that stores its requests and answers with a list of statuses, then 200."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes, float]] = []
        self.statuses: list[int] = []
        target = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                target.got.append(({k.lower(): v for k, v in self.headers.items()}, body, time.monotonic()))
                self.send_response(target.statuses.pop(0) if target.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?job=1&x=%20"


@pytest.fixture
def target() -> Iterator[Target]:
    target = Target()
    thread = threading.Thread(target=target.server.serve_forever, args=(0.01,))
    thread.start()
    yield target
    target.server.shutdown()
    thread.join()
    target.server.server_close()


def is_genuine(headers: dict[str, str], body: bytes, jwks: dict[str, Any]) -> bool:
    """Verify a signature as fal's documentation describes."""
    lines = [headers[f"x-fal-webhook-{name}"] for name in ("request-id", "user-id", "timestamp")]
    message = "\n".join([*lines, hashlib.sha256(body).hexdigest()]).encode()
    signature = bytes.fromhex(headers["x-fal-webhook-signature"])
    for key in jwks["keys"]:
        raw = base64.urlsafe_b64decode(key["x"] + "=" * (-len(key["x"]) % 4))
        try:
            Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
        except InvalidSignature:
            continue
        return abs(time.time() - int(lines[2])) <= 300
    return False


def submit(twin: Any, target: Target, body: Any = None) -> dict[str, Any]:
    return dict(twin.submit(body=body, params={"fal_webhook": target.url}))


def test_a_webhook_is_signed_and_carries_the_output(twin: Any, target: Target, until: Any) -> None:
    ticket = submit(twin, target)
    headers, body, _ = until(lambda: target.got, "the webhook comes")[0]
    payload = json.loads(body)
    assert payload == {
        "request_id": ticket["request_id"],
        "gateway_request_id": ticket["request_id"],
        "status": "OK",
        "payload": twin.wait(ticket).json(),
    }
    jwks = twin.http.get("/rest/.well-known/jwks.json", headers={"Authorization": ""}).json()
    assert headers["content-type"] == "application/json"
    assert is_genuine(headers, body, jwks)
    assert not is_genuine(headers, body + b" ", jwks)
    assert not is_genuine(headers | {"x-fal-webhook-user-id": "other"}, body, jwks)


def test_the_webhook_of_a_failure_has_its_details(twin: Any, target: Target, until: Any) -> None:
    submit(twin, target, {"num_images": 1})
    payload = json.loads(until(lambda: target.got, "the webhook comes")[0][1])
    assert (payload["status"], payload["error"]) == ("ERROR", "Invalid status code: 422")
    assert payload["payload"]["detail"][0]["type"] == "missing"


def test_a_webhook_is_tried_again_with_growing_pauses(twin: Any, target: Target, until: Any) -> None:
    twin.pace(webhook_backoff_s=0.1)
    target.statuses = [500, 503, 404]
    submit(twin, target)
    until(lambda: len(target.got) == 4, "four attempts")
    times = [at for _, _, at in target.got]
    pauses = [later - before for before, later in itertools.pairwise(times)]
    assert pauses[0] >= 0.09 and pauses[1] >= 0.19 and pauses[2] >= 0.39
    assert len({body for _, body, _ in target.got}) == 1
    until(lambda: twin.requests()[0]["webhook_statuses"] == [500, 503, 404, 200], "the record shows the attempts")


@pytest.mark.parametrize("what", ["lost", "twice", "delay", "payload_error", "bad_signature"])
@pytest.mark.parametrize("endpoint", ["fal-ai/flux-lora-fast-training", "fal-ai/kling-video/v3/pro", "acme/unheard/of"])
def test_every_fault_may_be_ordered_for_any_one_endpoint(
    twin: Any, target: Target, until: Any, endpoint: str, what: str
) -> None:
    twin.platform(any_endpoint=True)
    twin.script(what=what, endpoint=endpoint, seconds=0.01)
    submit(twin, target)
    until(lambda: twin.requests()[0]["webhook_statuses"] == [200], "another endpoint's webhook is spared")
    assert twin.http.get("/_twin/script").json()["script"]
    twin.wait(twin.submit(endpoint, params={"fal_webhook": target.url}))
    assert twin.http.get("/_twin/script").json()["script"] == []
    wanted = [200] * {"lost": 0, "twice": 2}.get(what, 1)
    until(lambda: twin.requests()[1]["webhook_statuses"] == wanted, "the fault has struck")


def test_a_redirect_is_a_failure_for_good(twin: Any, target: Target, until: Any) -> None:
    twin.pace(webhook_backoff_s=0.0)
    target.statuses = [302, 200, 500]
    submit(twin, target)
    until(lambda: twin.requests()[0]["webhook_statuses"] == [302], "one attempt")
    submit(twin, target)
    until(lambda: twin.requests()[1]["webhook_statuses"] == [200], "the next one is another's")
    assert twin.requests()[0]["webhook_statuses"] == [302]


def test_a_webhook_is_tried_31_times(twin: Any, target: Target, until: Any) -> None:
    twin.pace(webhook_backoff_s=0.0)
    target.statuses = [500] * 40
    submit(twin, target)
    until(lambda: len(twin.requests()[0]["webhook_statuses"]) == 31, "31 attempts")
    submit(twin, target)
    until(lambda: len(twin.requests()[1]["webhook_statuses"]) == 10, "the other's: nine more failures, and a success")
    assert twin.requests()[0]["webhook_statuses"] == [500] * 31


def test_webhooks_end_with_the_stored_result(twin: Any, target: Target, until: Any) -> None:
    twin.pace(webhook_backoff_s=0.3, result_s=0.2)
    target.statuses = [500] * 40
    submit(twin, target)
    until(lambda: twin.requests()[0]["webhook_statuses"] == [500], "one attempt")
    submit(twin, target)
    until(lambda: twin.requests()[1]["webhook_statuses"] == [500], "one attempt")
    assert twin.requests()[0]["webhook_statuses"] == [500]


def test_a_target_that_is_down_is_tried_again(twin: Any, target: Target, until: Any) -> None:
    twin.submit(params={"fal_webhook": "http://127.0.0.1:9/none"})
    until(lambda: len(twin.requests()[0]["webhook_statuses"]) >= 2, "two attempts")
    assert set(twin.requests()[0]["webhook_statuses"]) == {0}


def test_a_webhook_may_be_lost(twin: Any, target: Target, until: Any) -> None:
    twin.script(what="lost")
    twin.wait(submit(twin, target))
    second = submit(twin, target, {"prompt": "second"})
    until(lambda: target.got, "the second webhook comes")
    assert [json.loads(body)["request_id"] for _, body, _ in target.got] == [second["request_id"]]
    assert twin.requests()[0]["webhook_statuses"] == []


def test_a_webhook_may_come_twice(twin: Any, target: Target, until: Any) -> None:
    twin.script(what="twice")
    submit(twin, target)
    until(lambda: twin.requests()[0]["webhook_statuses"] == [200, 200], "two deliveries")


def test_a_webhook_may_come_late(twin: Any, target: Target, until: Any) -> None:
    twin.script(what="delay", seconds=0.6)
    ticket = submit(twin, target)
    twin.wait(ticket)
    ended_at = time.monotonic()
    assert until(lambda: target.got, "the webhook comes")[0][2] - ended_at >= 0.2


def test_a_payload_may_be_missing(twin: Any, target: Target, until: Any) -> None:
    twin.script(what="payload_error")
    submit(twin, target)
    payload = json.loads(until(lambda: target.got, "the webhook comes")[0][1])
    assert payload["payload"] is None and payload["payload_error"].startswith(
        "Response payload is not JSON serializable"
    )


def test_a_signature_may_be_forged(twin: Any, target: Target, until: Any) -> None:
    twin.script(what="bad_signature")
    submit(twin, target)
    headers, body, _ = until(lambda: target.got, "the webhook comes")[0]
    assert not is_genuine(headers, body, twin.http.get("/rest/.well-known/jwks.json").json())
