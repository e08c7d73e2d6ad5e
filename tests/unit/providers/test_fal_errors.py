"""Which of our errors an answer of fal becomes: documented errors, and some that users reported."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    ContentRefusedError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
)  # fmt: skip
from worker.providers.base import RUN_CANCELLED
from worker.providers.fal.errors import fal_error, retry_after_s


def model_error(kind: str, msg: str = "said") -> dict[str, Any]:
    return {"detail": [{"loc": ["body", "prompt"], "msg": msg, "type": kind, "ctx": {}, "input": {}}]}


def request_error(kind: str) -> dict[str, Any]:
    return {"detail": "Request timed out", "error_type": kind}


LOCKED = {"detail": "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing."}

TABLE: list[tuple[int, Any, dict[str, str], type[ExternalServiceError]]] = [
    (422, model_error("content_policy_violation"), {}, ContentRefusedError),
    (422, model_error("missing"), {}, RequestRefusedError),
    (422, model_error("one_of"), {}, RequestRefusedError),
    (422, model_error("file_download_error"), {}, RequestRefusedError),
    (422, model_error("no_media_generated"), {}, RequestRefusedError),
    (422, model_error("a_type_from_the_future"), {}, RequestRefusedError),
    (422, {"detail": "a plain string"}, {}, RequestRefusedError),
    (422, "<html>", {}, RequestRefusedError),
    (500, model_error("internal_server_error"), {"x-fal-retryable": "true"}, ServiceUnavailableError),
    (500, model_error("internal_server_error"), {"x-fal-retryable": "false"}, RequestRefusedError),
    (504, model_error("generation_timeout"), {}, ServiceUnavailableError),
    (504, model_error("generation_timeout"), {"x-fal-needs-retry": "0"}, RequestRefusedError),
    (400, model_error("downstream_service_error"), {}, RequestRefusedError),
    (400, model_error("downstream_service_error"), {"x-fal-needs-retry": "1"}, ServiceUnavailableError),
    (504, request_error("request_timeout"), {}, ServiceUnavailableError),
    (504, request_error("startup_timeout"), {}, ServiceUnavailableError),
    (503, request_error("runner_scheduling_failure"), {}, ServiceUnavailableError),
    (503, request_error("runner_disconnected"), {}, ServiceUnavailableError),
    (502, request_error("runner_incomplete_response"), {}, ServiceUnavailableError),
    (500, request_error("runner_server_error"), {}, ServiceUnavailableError),
    (500, request_error("internal_error"), {}, ServiceUnavailableError),
    (499, request_error("client_cancelled"), {}, RequestRefusedError),
    (400, request_error("bad_request"), {}, RequestRefusedError),
    (500, {"detail": "?"}, {}, ServiceUnavailableError),
    (429, {"detail": "slow down"}, {"retry-after": "7"}, RateLimitError),
    (401, {"detail": "Authentication is required to access this application."}, {}, AuthenticationError),
    (403, LOCKED, {}, AccountLockedError),
    (403, {"detail": "User is locked. Reason: TOP_UP."}, {}, AccountLockedError),
    (403, {"detail": "Forbidden"}, {}, AuthenticationError),
    (403, {"detail": "Exhausted balance"}, {}, AccountLockedError),
    (403, {"detail": "The spending limit of this key is reached"}, {}, AccountLockedError),
    (402, {"detail": "Payment Required"}, {}, AccountLockedError),
    (404, {"detail": 'Application "x" not found'}, {}, RequestRefusedError),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "headers", "cls"), TABLE)
def test_an_answer_becomes_our_error(
    status: int, body: Any, headers: dict[str, str], cls: type[ExternalServiceError]
) -> None:
    error = fal_error(status, body, headers)
    assert type(error) is cls
    assert (error.provider, error.status) == ("fal", status)
    assert error.message.startswith("fal: ")


@pytest.mark.parametrize("body", [request_error("client_cancelled"), {"detail": "?"}, "<html>"])
def test_a_cancelled_run_has_one_kind_whatever_the_body_says(body: Any) -> None:
    assert fal_error(499, body, {}).kind == RUN_CANCELLED


def test_the_message_of_a_locked_account_gives_the_reason() -> None:
    assert "Exhausted balance" in fal_error(403, LOCKED, {}).message


def test_a_422_names_each_field_and_keeps_fals_own_type() -> None:
    body = {
        "detail": [*model_error("missing", "Field required")["detail"], {"loc": ["body", "seed"], "msg": "too big"}]
    }
    error = fal_error(422, body, {})
    assert error.message == "fal: prompt: Field required; seed: too big (HTTP 422, missing)"
    assert error.kind == "missing"


def test_a_long_message_of_fal_is_cut() -> None:
    assert len(fal_error(500, {"detail": "x" * 10_000}, {}).message) < 600


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert retry_after_s({"retry-after": "2.5"}) == 2.5
    assert retry_after_s({"retry-after": later}) == pytest.approx(60, abs=3)
    assert retry_after_s({"retry-after": "-3"}) == 0
    assert retry_after_s({"retry-after": "soon"}) is None
    assert retry_after_s({}) is None
