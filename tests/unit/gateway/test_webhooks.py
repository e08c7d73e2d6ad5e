"""The webhook endpoint: genuine webhooks are stored on the row, all others change nothing; each is counted and logged.

The signatures in tests/fixtures/fal_webhooks.json were made with OpenSSL, not with our code; the keys were deleted:

    openssl genpkey -algorithm ed25519 -out key.pem
    openssl pkey -in key.pem -pubout -outform DER | tail -c 32 | base64 | tr '+/' '-_' | tr -d '='     the key as published
    printf '%s\\n%s\\n%s\\n%s' "$request_id" "$user_id" "$timestamp" "$(sha256sum < body | cut -d' ' -f1)" > message
    openssl pkeyutl -sign -rawin -inkey key.pem -in message | od -An -v -tx1 | tr -d ' \\n'             the signature
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from tests.unit.gateway.webhook_endpoint import JOB, KEYS, OTHER, REQUEST, SECRET, SIGNED_AT, WEBHOOKS, WebhookEndpoint
from worker.files.needed_answer import needed_answer
from worker.gateway.signature import WebhookSignature
from worker.gateway.webhook_signals import WebhookBody
from worker.gateway.webhooks import MAX_BYTES, _parse_body, webhook_routes
from worker.jobs.job import Piece, Stage
from worker.jobs.signals import WebhookReport

SIGNATURE = WEBHOOKS["ok"]["signature"]
OK_BODY = WEBHOOKS["ok"]["body"].encode()
Post = Callable[[WebhookEndpoint], Awaitable[Any]]


async def assert_refused(endpoint: WebhookEndpoint, post: Post, status: int, kind: str) -> None:
    """Post, and check the refusal: counted once, logged once without a secret, no row changed."""
    before = await endpoint.row()
    with capture_logs() as logs:
        answer = await post(endpoint)
    assert (answer.status_code, await endpoint.counts()) == (status, {kind: 1})
    assert await endpoint.row() == before
    assert [
        (each["event"], each["log_level"], each["kind"], each["job"]) for each in logs if each["event"] != "jwks_failed"
    ] == [("webhook_refused", "warning", kind, JOB)]
    shown = json.dumps(logs) + answer.text + str(answer.headers)
    token = endpoint.url().rpartition("-")[2]
    for secret in (SECRET, token, SIGNATURE, "v3b.fal.media", "Füchse", REQUEST, KEYS["first"]):
        assert secret not in shown


@pytest.mark.parametrize("name", ["ok", "error", "payload_error"])
async def test_a_genuine_webhook_is_stored_on_the_row_which_is_due_at_once(
    endpoint: WebhookEndpoint, name: str
) -> None:
    await endpoint.add()
    assert (await endpoint.row()).due_at == SIGNED_AT + 60
    answer = await endpoint.post(name)
    row, body = await endpoint.row(), json.loads(WEBHOOKS[name]["body"])
    assert (answer.status_code, answer.json(), await endpoint.counts()) == (200, {"heard": "accepted"}, {"accepted": 1})
    assert row.due_at == SIGNED_AT
    payload = body["payload"] and needed_answer(body["payload"], row.job.step.pieces)
    assert WebhookReport.load(row.signals["webhook:1"]) == WebhookReport(
        REQUEST, body["status"], SIGNED_AT, payload, body.get("payload_error"), body.get("error")
    )
    assert list(row.signals) == ["webhook:1"]


REFUSED: dict[str, tuple[int, str, Post]] = {
    "altered body": (401, "forged", lambda endpoint: endpoint.post(body=OK_BODY.replace(b"fox.png", b"cat.png"))),
    "body with a space more": (401, "forged", lambda endpoint: endpoint.post(body=OK_BODY + b" ")),
    "no body": (401, "forged", lambda endpoint: endpoint.post(body=b"")),
    "another body, truly signed, with this signature": (401, "forged", lambda endpoint: endpoint.post(signature=WEBHOOKS["error"]["signature"])),
    "unpublished key": (401, "forged", lambda endpoint: endpoint.post("strange_key")),
    "other request id in the header": (401, "forged", lambda endpoint: endpoint.post(request_id=OTHER)),
    "other user": (401, "forged", lambda endpoint: endpoint.post(user_id="user-43")),
    "other time": (401, "forged", lambda endpoint: endpoint.post(timestamp="1767225601")),
    "no request id": (401, "forged", lambda endpoint: endpoint.post(request_id=None)),
    "no user id": (401, "forged", lambda endpoint: endpoint.post(user_id=None)),
    "no time": (401, "forged", lambda endpoint: endpoint.post(timestamp=None)),
    "no signature": (401, "forged", lambda endpoint: endpoint.post(signature=None)),
    "empty signature": (401, "forged", lambda endpoint: endpoint.post(signature="")),
    "signature not in hex": (401, "forged", lambda endpoint: endpoint.post(signature="z" * 128)),
    "signature cut short": (401, "forged", lambda endpoint: endpoint.post(signature=SIGNATURE[:-2])),
    "signature with spaces": (401, "forged", lambda endpoint: endpoint.post(signature=f"{SIGNATURE[:64]} {SIGNATURE[64:]}")),
    "signature of zeros": (401, "forged", lambda endpoint: endpoint.post(signature="0" * 128)),
    "time that is no number": (401, "forged", lambda endpoint: endpoint.post(timestamp="yesterday")),
    "time with a fraction": (401, "forged", lambda endpoint: endpoint.post(timestamp="1767225600.0")),
    "time of many digits": (401, "forged", lambda endpoint: endpoint.post(timestamp="9" * 5000)),
    "negative time": (401, "forged", lambda endpoint: endpoint.post(timestamp="-1")),
    "signed too long ago": (401, "expired", lambda endpoint: endpoint.post("older")),
    "time moved on, signature kept": (401, "expired", lambda endpoint: endpoint.post(timestamp="1767226000")),
    "other job's token": (403, "wrong_token", lambda endpoint: endpoint.post(url=endpoint.url("job-8").replace("job-8", JOB))),
    "other attempt's token": (403, "wrong_token", lambda endpoint: endpoint.post(url=endpoint.url(JOB, 2).replace("/2-", "/1-"))),
    "token cut short": (403, "wrong_token", lambda endpoint: endpoint.post(url=endpoint.url()[:-1])),
    "no token of ours": (403, "wrong_token", lambda endpoint: endpoint.post(url=f"http://gateway/webhooks/fal/{JOB}/{'0' * 43}")),
    "request of another job, truly signed": (200, "mismatch", lambda endpoint: endpoint.post("other_request")),
    "body and header of two requests, truly signed": (200, "mismatch", lambda endpoint: endpoint.post("swapped_header")),
    "no JSON, truly signed": (400, "malformed", lambda endpoint: endpoint.post("no_json")),
    "empty, truly signed": (400, "malformed", lambda endpoint: endpoint.post("empty")),
    "too large": (413, "too_large", lambda endpoint: endpoint.post(body=b" " * (MAX_BYTES + 1))),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
async def test_a_webhook_that_is_not_genuine_changes_nothing_and_is_counted_and_logged(
    endpoint: WebhookEndpoint, what: str
) -> None:
    await endpoint.add()
    status, kind, post = REFUSED[what]
    await assert_refused(endpoint, post, status, kind)


async def test_token_and_headers_are_checked_before_keys_are_fetched(endpoint: WebhookEndpoint) -> None:
    await endpoint.post(url=endpoint.url("job-8").replace("job-8", JOB))
    await endpoint.post(signature=None)
    await endpoint.post("older")
    assert endpoint.key_server.fetches == 0
    assert await endpoint.counts() == {"wrong_token": 1, "forged": 1, "expired": 1}


@pytest.mark.parametrize(
    ("skew_s", "kind"), [(300, "accepted"), (-300, "accepted"), (301, "expired"), (-301, "expired")]
)
async def test_a_signature_is_valid_for_five_minutes_around_its_time(
    endpoint: WebhookEndpoint, skew_s: int, kind: str
) -> None:
    await endpoint.add()
    endpoint.now += skew_s
    await endpoint.post()
    assert await endpoint.counts() == {kind: 1}


async def test_a_signature_may_be_in_capitals(endpoint: WebhookEndpoint) -> None:
    await endpoint.add()
    assert (await endpoint.post(signature=SIGNATURE.upper())).json() == {"heard": "accepted"}


async def test_a_request_that_fal_retried_is_matched_by_its_gateway_request_id(endpoint: WebhookEndpoint) -> None:
    await endpoint.add()
    assert (await endpoint.post("retried")).json() == {"heard": "accepted"}


@pytest.mark.parametrize(
    ("stage", "ticket", "attempts", "kind"),
    [
        (Stage.WAITING, REQUEST, 1, "accepted"),
        (Stage.SUBMITTING, None, 1, "accepted"),
        (Stage.UNKNOWN, None, 1, "accepted"),
        (Stage.FETCHED, REQUEST, 1, "duplicate"),
        (Stage.STORED, REQUEST, 1, "duplicate"),
        (Stage.CLOSING, REQUEST, 1, "late"),
        (Stage.COMPLETED, REQUEST, 1, "late"),
        (Stage.FAILED, OTHER, 2, "late"),
        (Stage.WAITING, OTHER, 2, "stale"),
        (Stage.SUBMITTING, None, 2, "stale"),
        (Stage.FETCHED, OTHER, 2, "stale"),
        (Stage.ACCEPTED, REQUEST, 1, "stale"),
        (Stage.ACCEPTED, None, 0, "unknown_job"),
        (Stage.WAITING, OTHER, 1, "mismatch"),
        (Stage.FETCHED, OTHER, 1, "mismatch"),
    ],
)
async def test_the_kind_of_a_genuine_webhook_depends_on_the_row(
    endpoint: WebhookEndpoint, stage: Stage, ticket: str | None, attempts: int, kind: str
) -> None:
    await endpoint.add(stage=stage, ticket=ticket, attempts=attempts)
    before = await endpoint.row()
    assert (await endpoint.post()).status_code == 200, "a retry would change nothing"
    assert await endpoint.counts() == {kind: 1}
    assert (await endpoint.row() != before) is (kind == "accepted")


@pytest.mark.parametrize(
    ("stage", "ticket", "attempts"),
    [
        (Stage.ACCEPTED, None, 1),  # between two attempts
        (Stage.SUBMITTING, None, 2),
        (Stage.WAITING, OTHER, 2),
        (Stage.STORED, OTHER, 2),
    ],
)
async def test_the_webhook_of_a_refused_attempt_is_news_until_the_ending(
    endpoint: WebhookEndpoint, stage: Stage, ticket: str | None, attempts: int
) -> None:
    await endpoint.add(stage=stage, ticket=ticket, attempts=attempts, refused=True)
    assert (await endpoint.post()).json() == {"heard": "accepted"}
    assert "webhook:1" in (await endpoint.row()).signals
    assert (await endpoint.post()).json() == {"heard": "duplicate"}


async def test_the_webhook_of_a_refused_attempt_is_late_after_the_ending(endpoint: WebhookEndpoint) -> None:
    await endpoint.add(stage=Stage.COMPLETED, ticket=OTHER, attempts=2, refused=True)
    assert (await endpoint.post()).json() == {"heard": "late"}


async def test_a_webhook_without_a_row_creates_none(endpoint: WebhookEndpoint) -> None:
    assert (await endpoint.post()).json() == {"heard": "unknown_job"}
    assert await endpoint.ledger.row(JOB) is None


async def test_a_webhook_for_an_attempt_that_the_row_does_not_have_changes_nothing(endpoint: WebhookEndpoint) -> None:
    await endpoint.add(stage=Stage.SUBMITTING, ticket=None)
    before = await endpoint.row()
    assert (await endpoint.post(url=endpoint.url(JOB, 2))).json() == {"heard": "unknown_job"}
    assert await endpoint.row() == before


async def test_the_first_webhook_of_an_attempt_stays(endpoint: WebhookEndpoint) -> None:
    await endpoint.add(stage=Stage.UNKNOWN, ticket=None)
    await endpoint.post("ok")
    before = await endpoint.row()
    assert (await endpoint.post("error")).json() == (await endpoint.post("ok")).json() == {"heard": "duplicate"}
    assert await endpoint.row() == before


async def test_a_webhook_is_late_when_the_ending_is_decided_between_read_and_signal(endpoint: WebhookEndpoint) -> None:
    await endpoint.add()
    row = endpoint.ledger.row

    async def row_and_then_an_ending(job_id: str) -> Any:
        found = await row(job_id)
        endpoint.ledger.rows[JOB].job = replace(found.job, stage=Stage.CLOSING, ending=Stage.COMPLETED)
        return found

    endpoint.ledger.row = row_and_then_an_ending  # type: ignore[method-assign]
    assert (await endpoint.post()).json() == {"heard": "late"}
    assert (await row(JOB)).signals == {}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "error", [RedisConnectionError("redis://:word@host cannot be reached"), TimeoutError(), OSError("no route")]
)
async def test_a_ledger_that_cannot_be_reached_makes_fal_retry(endpoint: WebhookEndpoint, error: Exception) -> None:
    await endpoint.add()
    row = endpoint.ledger.row

    async def unreachable(job_id: str) -> Any:
        raise error

    endpoint.ledger.row = unreachable  # type: ignore[method-assign]
    with capture_logs() as logs:
        assert (await endpoint.post()).status_code == 503
    assert [(each["kind"], each["error"]) for each in logs] == [("failed", type(error).__name__)]
    endpoint.ledger.row = row  # type: ignore[method-assign]
    assert (await endpoint.post()).json() == {"heard": "accepted"}
    assert await endpoint.counts() == {"failed": 1, "accepted": 1}


@pytest.mark.parametrize("payload", ["[1]", '"text"', "7", "null"])
def test_a_payload_that_is_not_an_object_is_left_out_of_the_report(payload: str) -> None:
    body = WebhookBody.model_validate_json(f'{{"request_id": "r", "status": "OK", "payload": {payload}}}')
    assert body.report(1.0) == WebhookReport("r", "OK", 1.0)


async def test_a_body_without_a_length_is_cut_off_at_the_limit(endpoint: WebhookEndpoint) -> None:
    await endpoint.add()
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1 << 16
            yield b" " * (1 << 16)

    answer = await endpoint.post(body=endless())
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert await endpoint.counts() == {"too_large": 1}


async def test_a_caller_that_disconnects_in_the_middle_is_counted(endpoint: WebhookEndpoint) -> None:
    await endpoint.add()
    before, messages = (
        await endpoint.row(),
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}],
    )
    request = endpoint.http.build_request("POST", endpoint.url(), headers={
        f"x-fal-webhook-{name}": WEBHOOKS["ok"][name.replace("-", "_")] for name in ("request-id", "user-id", "timestamp", "signature")
    })  # fmt: skip
    scope = {
        "type": "http", "method": "POST", "path": request.url.path, "headers": [(k.lower(), v) for k, v in request.headers.raw],
        "query_string": b"",
    }  # fmt: skip

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        return None

    await endpoint.app(scope, receive, send)
    assert await endpoint.counts() == {"malformed": 1}
    assert await endpoint.row() == before


@pytest.mark.parametrize(
    "job_id", ["a/b", "/a//b/", "two words", "späte Füchse 狐", "50%2F?x=1#y", "a\nb", "webhooks/fal/x/1-y"]
)
async def test_a_job_id_may_contain_any_character(endpoint: WebhookEndpoint, job_id: str) -> None:
    await endpoint.add(job_id)
    assert (await endpoint.post(url=endpoint.url(job_id))).json() == {"heard": "accepted"}
    assert list((await endpoint.row(job_id)).signals) == ["webhook:1"]


async def test_metrics_show_every_kind_from_the_start_and_nothing_of_any_job(endpoint: WebhookEndpoint) -> None:
    await endpoint.add()
    zeros = (await endpoint.http.get("/metrics")).text
    await endpoint.post()
    answer = await endpoint.http.get("/metrics")
    for kind in ("accepted", "duplicate", "late", "stale", "forged", "expired", "wrong_token", "mismatch", "unknown_job",
                 "malformed", "too_large", "failed"):  # fmt: skip
        assert f'kilnhand_webhooks_total{{kind="{kind}",provider="fal"}} 0.0' in zeros
    assert 'kilnhand_webhooks_total{kind="accepted",provider="fal"} 1.0' in answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert JOB not in answer.text and REQUEST not in answer.text and SECRET not in answer.text


async def test_other_methods_and_providers_are_refused_and_not_counted(endpoint: WebhookEndpoint) -> None:
    assert (await endpoint.http.get(endpoint.url())).status_code == 405
    assert (await endpoint.http.post(endpoint.url().replace("/fal/", "/other/"))).status_code == 404
    assert await endpoint.counts() == {}


def test_after_a_retry_on_fals_side_the_report_has_the_id_of_the_submission() -> None:
    body = WebhookBody(request_id="second", gateway_request_id="first", status="OK")
    assert (body.report(1.0).request_id, WebhookBody(request_id="r", status="OK").report(1.0).request_id) == (
        "first",
        "r",
    )


FILE = {"url": "https://x/y.png"}
IMAGE = Piece("images", "image", "images.*")


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"images": [FILE], "junk": ["x" * 1000] * 4000, "seed": 7}, {"images": [FILE], "seed": 7}),
        ({"images": [{"url": "data:image/png;base64," + "A" * 1000}]}, None),
        ({"images": [{"url": "https://x/" + "y" * 4000}] * 64}, None),
    ],
    ids=["junk", "inline", "long"],
)
def test_a_row_gets_no_more_of_a_payload_than_it_needs(payload: Any, expected: Any) -> None:
    report = WebhookBody(request_id="r", status="OK", payload=payload, error="e" * 9999).report(0.0, [IMAGE])
    assert (report.payload, len(report.error or "")) == (expected, 1000)
    assert (report.payload_error is None) == (expected is not None)


async def test_odd_json_in_a_webhook_is_read_all_the_same() -> None:
    body = (
        b'{"request_id": "r", "status": "OK", "payload": {"a": "\\uD800", "n": NaN, "deep": ' + b"[" * 256 + b"]" * 256
    )
    signed = WebhookSignature("r", "u", "0", b"s")
    parsed = _parse_body(signed, body + b"}}")
    assert parsed.payload and (parsed.payload["a"], parsed.payload["n"]) == ("?", None)


async def test_webhooks_of_both_secrets_are_accepted_during_a_rotation(endpoint: WebhookEndpoint) -> None:
    await endpoint.add()
    rotated = replace(endpoint.receiver, secrets=("the next of the tests", SECRET))
    endpoint.app.router.routes[0] = webhook_routes(rotated)[0]
    assert (await endpoint.post()).json() == {"heard": "accepted"}, "the secret before"
    replaced = replace(endpoint.receiver, secrets=("the next of the tests", "a third of the tests"))
    endpoint.app.router.routes[0] = webhook_routes(replaced)[0]
    assert (await endpoint.post()).status_code == 403
