"""Webhooks through the door: genuine ones are left on the row, all others change nothing; each is counted and said.

The signatures in tests/fixtures/fal_webhooks.json were made with OpenSSL, not with our code, by keys thrown away after:

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

from tests.unit.gateway.door import JOB, KEYS, OTHER, REQUEST, SECRET, SIGNED_AT, WEBHOOKS, Door
from worker.gateway.intake import Told
from worker.gateway.webhooks import LARGEST_BYTES
from worker.jobs.job import Stage
from worker.jobs.signals import WebhookReport

SIGNATURE = WEBHOOKS["ok"]["signature"]
OK_BODY = WEBHOOKS["ok"]["body"].encode()
Post = Callable[[Door], Awaitable[Any]]


async def is_left_alone(door: Door, post: Post, status: int, kind: str) -> None:
    """Post, and see that it was refused as it should: counted once, said once without a secret, nothing changed."""
    before = await door.row()
    with capture_logs() as logs:
        answer = await post(door)
    assert (answer.status_code, await door.counts()) == (status, {kind: 1})
    assert await door.row() == before
    assert [
        (each["event"], each["log_level"], each["kind"], each["job"]) for each in logs if each["event"] != "jwks_failed"
    ] == [("webhook_refused", "warning", kind, JOB)]
    said = json.dumps(logs) + answer.text + str(answer.headers)
    token = door.url().rpartition("-")[2]
    for secret in (SECRET, token, SIGNATURE, "v3b.fal.media", "Füchse", REQUEST, KEYS["first"]):
        assert secret not in said


@pytest.mark.parametrize("name", ["ok", "error", "payload_error"])
async def test_a_genuine_webhook_is_left_on_the_row_which_is_due_at_once(door: Door, name: str) -> None:
    await door.add()
    assert (await door.row()).due_at == SIGNED_AT + 60
    answer = await door.post(name)
    row, body = await door.row(), json.loads(WEBHOOKS[name]["body"])
    assert (answer.status_code, answer.json(), await door.counts()) == (200, {"heard": "accepted"}, {"accepted": 1})
    assert row.due_at == SIGNED_AT
    assert WebhookReport.load(row.signals["webhook:1"]) == WebhookReport(
        REQUEST, body["status"], SIGNED_AT, body["payload"], body.get("payload_error"), body.get("error")
    )
    assert list(row.signals) == ["webhook:1"]


REFUSED: dict[str, tuple[int, str, Post]] = {
    "altered body": (401, "forged", lambda door: door.post(body=OK_BODY.replace(b"fox.png", b"cat.png"))),
    "body with a space more": (401, "forged", lambda door: door.post(body=OK_BODY + b" ")),
    "no body": (401, "forged", lambda door: door.post(body=b"")),
    "another body, truly signed, with this signature": (401, "forged", lambda door: door.post(signature=WEBHOOKS["error"]["signature"])),
    "unpublished key": (401, "forged", lambda door: door.post("strange_key")),
    "other request id in the header": (401, "forged", lambda door: door.post(request_id=OTHER)),
    "other user": (401, "forged", lambda door: door.post(user_id="user-43")),
    "other time": (401, "forged", lambda door: door.post(timestamp="1767225601")),
    "no request id": (401, "forged", lambda door: door.post(request_id=None)),
    "no user id": (401, "forged", lambda door: door.post(user_id=None)),
    "no time": (401, "forged", lambda door: door.post(timestamp=None)),
    "no signature": (401, "forged", lambda door: door.post(signature=None)),
    "empty signature": (401, "forged", lambda door: door.post(signature="")),
    "signature not in hex": (401, "forged", lambda door: door.post(signature="z" * 128)),
    "signature cut short": (401, "forged", lambda door: door.post(signature=SIGNATURE[:-2])),
    "signature with spaces": (401, "forged", lambda door: door.post(signature=f"{SIGNATURE[:64]} {SIGNATURE[64:]}")),
    "signature of zeros": (401, "forged", lambda door: door.post(signature="0" * 128)),
    "time that is no number": (401, "forged", lambda door: door.post(timestamp="yesterday")),
    "time with a fraction": (401, "forged", lambda door: door.post(timestamp="1767225600.0")),
    "time of many digits": (401, "forged", lambda door: door.post(timestamp="9" * 5000)),
    "negative time": (401, "forged", lambda door: door.post(timestamp="-1")),
    "signed too long ago": (401, "expired", lambda door: door.post("older")),
    "time moved on, signature kept": (401, "expired", lambda door: door.post(timestamp="1767226000")),
    "other job's token": (403, "wrong_token", lambda door: door.post(url=door.url("job-8").replace("job-8", JOB))),
    "other attempt's token": (403, "wrong_token", lambda door: door.post(url=door.url(JOB, 2).replace("/2-", "/1-"))),
    "token cut short": (403, "wrong_token", lambda door: door.post(url=door.url()[:-1])),
    "no token of ours": (403, "wrong_token", lambda door: door.post(url=f"http://gateway/webhooks/fal/{JOB}/{'0' * 43}")),
    "request of another job, truly signed": (200, "mismatch", lambda door: door.post("other_request")),
    "body and header of two requests, truly signed": (200, "mismatch", lambda door: door.post("swapped_header")),
    "no JSON, truly signed": (400, "malformed", lambda door: door.post("no_json")),
    "empty, truly signed": (400, "malformed", lambda door: door.post("empty")),
    "too large": (413, "too_large", lambda door: door.post(body=b" " * (LARGEST_BYTES + 1))),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_not_genuine_changes_nothing_and_is_counted_and_said(door: Door, what: str) -> None:
    await door.add()
    status, kind, post = REFUSED[what]
    await is_left_alone(door, post, status, kind)


async def test_a_token_is_checked_before_anything_is_fetched_or_looked_up(door: Door) -> None:
    await door.post(url=door.url("job-8").replace("job-8", JOB))
    await door.post(signature=None)
    await door.post("older")
    assert door.publisher.fetches == 0
    assert await door.counts() == {"wrong_token": 1, "forged": 1, "expired": 1}


@pytest.mark.parametrize(
    ("skew_s", "kind"), [(300, "accepted"), (-300, "accepted"), (301, "expired"), (-301, "expired")]
)
async def test_a_signature_counts_for_five_minutes_around_its_time(door: Door, skew_s: int, kind: str) -> None:
    await door.add()
    door.now += skew_s
    await door.post()
    assert await door.counts() == {kind: 1}


async def test_a_signature_may_be_in_capitals(door: Door) -> None:
    await door.add()
    assert (await door.post(signature=SIGNATURE.upper())).json() == {"heard": "accepted"}


async def test_a_request_that_fal_retried_by_itself_is_known_by_its_gateway_id(door: Door) -> None:
    await door.add()
    assert (await door.post("retried")).json() == {"heard": "accepted"}


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
async def test_what_a_genuine_webhook_is_depends_on_the_row(
    door: Door, stage: Stage, ticket: str | None, attempts: int, kind: str
) -> None:
    await door.add(stage=stage, ticket=ticket, attempts=attempts)
    before = await door.row()
    assert (await door.post()).status_code == 200, "another try would change nothing"
    assert await door.counts() == {kind: 1}
    assert (await door.row() != before) is (kind == "accepted")


async def test_a_webhook_for_no_row_leaves_none(door: Door) -> None:
    assert (await door.post()).json() == {"heard": "unknown_job"}
    assert await door.ledger.row(JOB) is None


async def test_an_attempt_that_the_row_knows_nothing_of_is_not_left_on_it(door: Door) -> None:
    await door.add(stage=Stage.SUBMITTING, ticket=None)
    before = await door.row()
    assert (await door.post(url=door.url(JOB, 2))).json() == {"heard": "unknown_job"}
    assert await door.row() == before


async def test_told_again_the_first_word_stays(door: Door) -> None:
    await door.add(stage=Stage.UNKNOWN, ticket=None)
    await door.post("ok")
    before = await door.row()
    assert (await door.post("error")).json() == (await door.post("ok")).json() == {"heard": "duplicate"}
    assert await door.row() == before


async def test_a_webhook_is_told_apart_from_one_whose_ending_comes_in_between(door: Door) -> None:
    await door.add()
    row = door.ledger.row

    async def row_and_then_an_ending(job_id: str) -> Any:
        found = await row(job_id)
        door.ledger.rows[JOB].job = replace(found.job, stage=Stage.CLOSING, ending=Stage.COMPLETED)
        return found

    door.ledger.row = row_and_then_an_ending  # type: ignore[method-assign]
    assert (await door.post()).json() == {"heard": "late"}
    assert (await row(JOB)).signals == {}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "error", [RedisConnectionError("redis://:word@host is away"), TimeoutError(), OSError("no route")]
)
async def test_a_ledger_out_of_reach_has_fal_try_again(door: Door, error: Exception) -> None:
    await door.add()
    row = door.ledger.row

    async def away(job_id: str) -> Any:
        raise error

    door.ledger.row = away  # type: ignore[method-assign]
    with capture_logs() as logs:
        assert (await door.post()).status_code == 503
    assert [(each["kind"], each["error"]) for each in logs] == [("failed", type(error).__name__)]
    door.ledger.row = row  # type: ignore[method-assign]
    assert (await door.post()).json() == {"heard": "accepted"}
    assert await door.counts() == {"failed": 1, "accepted": 1}


@pytest.mark.parametrize("payload", ["[1]", '"text"', "7", "null"])
def test_a_payload_that_is_no_object_is_asked_for_later(payload: str) -> None:
    told = Told.model_validate_json(f'{{"request_id": "r", "status": "OK", "payload": {payload}}}')
    assert told.heard(1.0) == WebhookReport("r", "OK", 1.0)


async def test_a_body_without_a_length_is_cut_off_at_the_limit(door: Door) -> None:
    await door.add()
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1 << 16
            yield b" " * (1 << 16)

    answer = await door.post(body=endless())
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")
    assert await door.counts() == {"too_large": 1}


async def test_a_caller_who_hangs_up_in_the_middle_is_counted(door: Door) -> None:
    await door.add()
    before, messages = (
        await door.row(),
        [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}],
    )
    request = door.http.build_request("POST", door.url(), headers={
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

    await door.app(scope, receive, send)
    assert await door.counts() == {"malformed": 1}
    assert await door.row() == before


@pytest.mark.parametrize(
    "job_id", ["a/b", "/a//b/", "two words", "späte Füchse 狐", "50%2F?x=1#y", "a\nb", "webhooks/fal/x/1-y"]
)
async def test_a_job_may_have_any_name(door: Door, job_id: str) -> None:
    await door.add(job_id)
    assert (await door.post(url=door.url(job_id))).json() == {"heard": "accepted"}
    assert list((await door.row(job_id)).signals) == ["webhook:1"]


async def test_metrics_show_every_kind_from_the_start_and_nothing_of_any_job(door: Door) -> None:
    await door.add()
    zeros = (await door.http.get("/metrics")).text
    await door.post()
    answer = await door.http.get("/metrics")
    for kind in ("accepted", "duplicate", "late", "stale", "forged", "expired", "wrong_token", "mismatch", "unknown_job",
                 "malformed", "too_large", "failed"):  # fmt: skip
        assert f'kilnhand_webhooks_total{{kind="{kind}",provider="fal"}} 0.0' in zeros
    assert 'kilnhand_webhooks_total{kind="accepted",provider="fal"} 1.0' in answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert JOB not in answer.text and REQUEST not in answer.text and SECRET not in answer.text


async def test_there_is_no_other_way_in(door: Door) -> None:
    assert (await door.http.get(door.url())).status_code == 405
    assert (await door.http.post(door.url().replace("/fal/", "/other/"))).status_code == 404
    assert await door.counts() == {}


def test_after_a_retry_of_fals_own_the_submissions_id_is_kept() -> None:
    told = Told(request_id="second", gateway_request_id="first", status="OK")
    assert (told.heard(1.0).request_id, Told(request_id="r", status="OK").heard(1.0).request_id) == ("first", "r")
