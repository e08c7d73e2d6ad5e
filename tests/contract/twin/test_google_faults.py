"""Faults of the script at Google, as errors and answers of google-genai."""

from typing import Any

import aiohttp
import httpx
import httpx2
import pytest
from google.genai import errors

from tests.contract.twin.google_calls import FLASH, PRO, ask, refused

# google-genai subclasses aiohttp's session, of which aiohttp warns
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


@pytest.mark.parametrize(
    ("status", "kind", "error_status"),
    [
        (400, errors.ClientError, "INVALID_ARGUMENT"),
        (401, errors.ClientError, "UNAUTHENTICATED"),
        (403, errors.ClientError, "PERMISSION_DENIED"),
        (404, errors.ClientError, "NOT_FOUND"),
        (429, errors.ClientError, "RESOURCE_EXHAUSTED"),
        (500, errors.ServerError, "INTERNAL"),
        (503, errors.ServerError, "UNAVAILABLE"),
        (504, errors.ServerError, "DEADLINE_EXCEEDED"),
    ],
)
def test_a_status_on_order_has_googles_body(vertex: Any, twin: Any, status: int, kind: Any, error_status: str) -> None:
    twin.script(provider="google", call="submit", what="http", status=status)
    error = refused(lambda: ask(vertex), kind)

    assert (error.code, error.status) == (status, error_status) and twin.count() == 0
    assert ask(vertex).parts


def test_a_429_tells_how_long_to_wait(vertex: Any, twin: Any) -> None:
    twin.script(provider="google", call="submit", what="http", status=429, seconds=7, headers={"Retry-After": "7"})
    error = refused(lambda: ask(vertex))

    (detail,) = error.details["error"]["details"]
    assert detail == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
    assert error.response.headers["Retry-After"] == "7"


def test_a_dropped_connection_was_a_paid_call(vertex: Any, twin: Any) -> None:
    twin.script(provider="google", call="submit", what="drop")
    with pytest.raises((httpx2.RemoteProtocolError, aiohttp.ServerDisconnectedError)):
        ask(vertex)
    (record,) = twin.requests()
    assert record["state"] == "COMPLETED" and record["billed"]["usd"] > 0.13


def test_a_drop_may_come_before_the_call_is_taken(vertex: Any, twin: Any) -> None:
    twin.script(provider="google", call="submit", what="drop", accepted=False)
    with pytest.raises((httpx2.RemoteProtocolError, aiohttp.ServerDisconnectedError)):
        ask(vertex)
    assert twin.count() == 0


@pytest.mark.parametrize("fault", [{"what": "hang", "call": "submit"}, {"what": "stuck"}])
def test_a_silent_service_outlasts_its_caller(vertex: Any, twin: Any, fault: dict[str, Any]) -> None:
    twin.script(provider="google", **fault)
    with pytest.raises((httpx2.ReadTimeout, TimeoutError)):
        ask(vertex, http_options={"timeout": 1_000})
    assert twin.count() == 1


def test_a_slow_answer_is_good(vertex: Any, twin: Any) -> None:
    twin.script(provider="google", call="submit", what="slow", seconds=0.05)

    assert ask(vertex).parts


@pytest.mark.parametrize("what", ["garbage", "truncated"])
def test_what_is_no_json_breaks_the_call(vertex: Any, twin: Any, what: str) -> None:
    twin.script(provider="google", call="submit", what=what)
    broken = (ValueError, httpx2.RemoteProtocolError, aiohttp.ClientPayloadError, errors.UnknownApiResponseError)
    with pytest.raises(broken):
        ask(vertex)
    assert twin.count() == 1


def test_an_ingress_answers_with_a_page(vertex: Any, twin: Any) -> None:
    twin.script(provider="google", call="submit", what="nginx")

    assert refused(lambda: ask(vertex), errors.ServerError).code == 502


@pytest.mark.parametrize("reason", [None, "SAFETY", "JAILBREAK"])
def test_a_blocked_prompt_is_a_200_without_candidates(vertex: Any, twin: Any, reason: Any) -> None:
    twin.script(what="blocked", body=reason)
    response = ask(vertex)

    assert response.candidates is None and response.prompt_feedback.block_reason == (reason or "PROHIBITED_CONTENT")
    (record,) = twin.requests()
    assert record["error_type"] == (reason or "PROHIBITED_CONTENT") and record["http_status"] == 200
    assert record["billed"]["units"] == 0


@pytest.mark.parametrize(
    ("what", "body", "reason"),
    [
        ("image_safety", None, "IMAGE_SAFETY"),
        ("image_safety", "IMAGE_PROHIBITED_CONTENT", "IMAGE_PROHIBITED_CONTENT"),
        ("no_image", None, "NO_IMAGE"),
        ("max_tokens", None, "MAX_TOKENS"),
    ],
)
def test_a_picture_that_is_not_there_is_a_200(vertex: Any, twin: Any, what: str, body: Any, reason: str) -> None:
    twin.script(what=what, body=body)
    (candidate,) = ask(vertex).candidates

    assert candidate.finish_reason == reason and candidate.content.parts is None
    assert twin.requests()[0]["billed"]["units"] == 0


def test_words_in_place_of_a_picture_stop_as_if_all_were_well(vertex: Any, twin: Any) -> None:
    twin.script(what="text_only")
    response = ask(vertex)

    assert response.candidates[0].finish_reason == "STOP" and [bool(part.text) for part in response.parts] == [True]


def test_a_black_picture(vertex: Any, twin: Any) -> None:
    twin.script(what="black")
    black, good = (ask(vertex, seed=1).parts[-1].inline_data.data for _ in range(2))

    assert len(black) < len(good) / 2


@pytest.mark.parametrize(("what", "reason"), [("bad_schema", "STOP"), ("max_tokens", "MAX_TOKENS")])
def test_json_that_cannot_be_used(vertex: Any, twin: Any, what: str, reason: str) -> None:
    schema = {"type": "object", "properties": {"caption": {"type": "string"}}, "required": ["caption"]}
    config = {"response_mime_type": "application/json", "response_json_schema": schema}
    twin.script(what=what)
    response = ask(vertex, FLASH, **config)

    assert response.candidates[0].finish_reason == reason
    assert response.parsed is None or not isinstance(response.parsed.get("caption"), str)
    assert isinstance(ask(vertex, FLASH, **config).parsed["caption"], str)


def test_a_run_may_fail_after_it_was_taken(vertex: Any, twin: Any) -> None:
    twin.script(what="error", status=503)

    assert refused(lambda: ask(vertex), errors.ServerError).code == 503
    (record,) = twin.requests()
    assert (record["http_status"], record["error_type"], record["billed"]["usd"]) == (503, "UNAVAILABLE", 0)


def test_a_fault_is_for_its_provider_and_its_model_only(vertex: Any, twin: Any) -> None:
    twin.script(provider="fal", call="submit", what="http", status=500)
    twin.script(provider="anthropic", call="submit", what="http", status=529)
    twin.script(provider="google", endpoint=FLASH, call="submit", what="http", status=503)

    assert ask(vertex).parts
    assert refused(lambda: ask(vertex, FLASH), errors.ServerError).code == 503
    assert twin.http.post("/queue/fal-ai/fast-sdxl", json={}).status_code == 500
    assert [fault["provider"] for fault in twin.http.get("/_twin/script").json()["script"]] == ["anthropic"]


def test_a_fault_without_a_provider_is_for_all(vertex: Any, twin: Any) -> None:
    twin.script(call="submit", what="http", status=500, times=2)

    assert refused(lambda: ask(vertex), errors.ServerError).code == 500
    assert twin.http.post("/queue/fal-ai/fast-sdxl", json={}).status_code == 500


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"what": "no_image", "provider": "fal"}, "no_image cannot happen at fal; allowed: google"),
        ({"what": "blocked", "provider": "fal"}, "allowed: google, anthropic"),
        ({"what": "twice", "provider": "google"}, "twice cannot happen at google; allowed: fal"),
        ({"what": "drop", "call": "submit", "provider": "openai"}, "provider: Input should be"),
        ({"what": "drop", "call": "auth", "endpoint": PRO}, "a token belongs to no endpoint"),
    ],
)
def test_an_order_that_a_provider_cannot_carry_out_is_refused(twin: Any, fault: dict[str, Any], message: str) -> None:
    answer: httpx.Response = twin.http.post("/_twin/script", json=fault)

    assert answer.status_code == 422 and message in answer.json()["detail"]


def test_a_refusal_on_order_does_not_strike_fal(twin: Any) -> None:
    twin.script(what="blocked")
    twin.make()

    assert len(twin.http.get("/_twin/script").json()["script"]) == 1
