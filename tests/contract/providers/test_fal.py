"""fal's provider over HTTP: the life of a call, and exactly one POST for each submission."""

import asyncio
import json
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.contract.providers.conftest import Twin, opened
from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    ContentRefusedError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)  # fmt: skip
from worker.jobs.job import Ticket
from worker.providers.base import (
    Call,
    CancelResult,
    Ended,
    ListPrice,
    LostSubmission,
    Queued,
    Reply,
    RunFailure,
    Running,
    RunStatus,
    SearchResult,
)
from worker.providers.fal.answers import seconds_of
from worker.providers.fal.provider import Fal

ENDPOINT = "fal-ai/flux/schnell"
CALL = Call("job-1", ENDPOINT, {"prompt": "a kiln", "image_size": "square"})


async def until_ended(fal: Fal, ticket: Ticket) -> list[RunStatus]:
    seen: list[RunStatus] = []
    async with asyncio.timeout(60):
        while not seen or not isinstance(seen[-1], Ended):
            seen.append(await fal.poll(ENDPOINT, ticket))
    return seen


async def test_a_call_is_queued_runs_with_logs_and_ends_with_its_output(fal: Fal, twin: Twin) -> None:
    twin.pace(seconds=1, queue_seconds=1)
    ticket = await fal.submit(CALL)
    assert set(ticket.urls) == {"status", "response", "cancel"}
    seen = await until_ended(fal, ticket)
    assert [type(s) for i, s in enumerate(seen) if i == 0 or type(s) is not type(seen[i - 1])] == [
        Queued,
        Running,
        Ended,
    ]
    assert any(isinstance(s, Running) and s.logs for s in seen)
    last = seen[-1]
    assert isinstance(last, Ended) and last.inference_s and 1 <= last.inference_s < 60
    reply = await fal.result(ENDPOINT, ticket)
    assert isinstance(reply, Reply)
    assert reply.output["prompt"] == "a kiln"
    assert reply.billed_units == 1
    assert reply.inference_s == pytest.approx(last.inference_s, abs=1), "the result reports it, too, without a poll"
    assert twin.count == 1


@pytest.mark.parametrize(("left_s", "header"), [(None, None), (7200.0, "7200.0"), (0.2, "1.1")])
async def test_a_submission_is_not_rerouted_and_carries_its_deadline(
    fal: Fal, twin: Twin, left_s: float | None, header: str | None
) -> None:
    await fal.submit(replace(CALL, start_within_s=left_s))

    headers = twin.http.get("/_twin/requests").json()["requests"][0]["headers"]
    assert headers["x-app-fal-disable-fallback"] == "1"
    assert headers.get("x-fal-request-timeout") == header
    assert json.loads(headers["x-fal-object-lifecycle-preference"]) == {"expiration_duration_seconds": 259_200}


async def test_the_price_list_is_read_in_the_background(fal: Fal, twin: Twin) -> None:
    assert fal.list_price("fal-ai/flux/dev") is None
    async with asyncio.timeout(60):
        while not (price := fal.list_price("fal-ai/flux/dev")):
            await asyncio.sleep(0.01)
    assert price == ListPrice(0.025, "megapixels")


@pytest.mark.parametrize("timings", [None, [], {}, {"inference": "1"}, {"inference": 10**400}, {"inference": -1}])
def test_an_impossible_duration_is_ignored(timings: Any) -> None:
    assert seconds_of(timings, "inference") is None


AMBIGUOUS: list[dict[str, Any]] = [
    {"what": "drop"},
    {"what": "truncated"},
    {"what": "hang", "seconds": 2},
    {"what": "garbage"},
    {"what": "nginx", "status": 502},
    {"what": "nginx", "status": 503},
    {"what": "nginx", "status": 504},
    {"what": "http", "status": 408, "accepted": True},
    {"what": "http", "status": 409, "accepted": True},
    {"what": "http", "status": 502, "accepted": True},
    {"what": "http", "status": 500, "accepted": True},
    {"what": "http", "status": 520, "accepted": True},
]


@pytest.mark.parametrize("fault", AMBIGUOUS, ids=lambda fault: f"{fault['what']}-{fault.get('status', '')}")
async def test_a_post_with_a_lost_answer_is_never_repeated(fal: Fal, twin: Twin, fault: Any) -> None:
    twin.script(endpoint="*", call="submit", times=1, **fault)
    with pytest.raises(SubmitUnknownError):
        await fal.submit(CALL)
    assert twin.count == 1


async def test_a_kept_connection_that_is_dropped_does_not_repeat_the_submission(fal: Fal, twin: Twin) -> None:
    await fal.submit(CALL)  # opens the connection; on a reused one, some transports retry
    twin.script(endpoint="*", call="submit", times=1, what="drop")
    with pytest.raises(SubmitUnknownError):
        await fal.submit(CALL)
    assert twin.count == 2


REFUSED: list[tuple[dict[str, Any], type[ExternalServiceError]]] = [
    ({"what": "http", "status": 429, "body": {"detail": "slow"}, "headers": {"Retry-After": "7"}}, RateLimitError),
    (
        {"what": "http", "status": 503, "body": {"detail": "x", "error_type": "runner_scheduling_failure"},
         "headers": {"X-Fal-Error-Type": "runner_scheduling_failure"}},
        ServiceUnavailableError,
    ),
    ({"what": "http", "status": 403, "body": {"detail": "User is locked. Reason: TOP_UP."}}, AccountLockedError),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "cls"), REFUSED, ids=range(len(REFUSED)))
async def test_a_refusal_raises_our_error_after_one_post(
    fal: Fal, twin: Twin, fault: dict[str, Any], cls: type[ExternalServiceError]
) -> None:
    twin.script(endpoint="*", call="submit", times=1, **fault)
    with pytest.raises(cls) as refused:
        await fal.submit(CALL)
    assert type(refused.value) is cls
    assert refused.value.retry_after_s == (7 if cls is RateLimitError else None)
    assert twin.count == 0


async def test_a_refused_connection_means_that_nothing_was_sent() -> None:
    fal = await opened(Twin("http://127.0.0.1:1"))
    with pytest.raises(ServiceUnavailableError):
        await fal.submit(CALL)
    await fal.aclose()


@pytest.mark.parametrize(("key", "cls"), [("bad:key", AuthenticationError), ("locked:key", AccountLockedError)])
async def test_a_bad_key_and_a_locked_account_are_different_errors(twin: Twin, key: str, cls: type[Exception]) -> None:
    fal = await opened(twin, key)
    with pytest.raises(AuthenticationError) as refused:
        await fal.submit(CALL)
    assert type(refused.value) is cls
    assert key not in str(refused.value)
    await fal.aclose()


async def test_bad_input_fails_the_run_and_names_each_field(fal: Fal) -> None:
    ticket = await fal.submit(Call("job-1", ENDPOINT, {"prompt": "x", "num_images": 9}))
    await until_ended(fal, ticket)
    outcome = await fal.result(ENDPOINT, ticket)
    assert isinstance(outcome, RunFailure) and type(outcome.error) is RequestRefusedError
    assert "num_images: " in outcome.error.message


async def test_the_error_of_a_run_becomes_our_error(fal: Fal, twin: Twin) -> None:
    policy = {"detail": [{"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation"}]}
    twin.script(endpoint="*", call="result", times=-1, what="error", status=422, body=policy)
    ticket = await fal.submit(CALL)
    await until_ended(fal, ticket)
    outcome = await fal.result(ENDPOINT, ticket)
    assert isinstance(outcome, RunFailure) and type(outcome.error) is ContentRefusedError


@pytest.mark.parametrize("fault", [{"what": "nginx", "status": 502}, {"what": "http", "status": 500, "body": "oops"}])
async def test_a_get_of_the_result_is_retried(fal: Fal, twin: Twin, fault: Any) -> None:
    ticket = await fal.submit(CALL)
    await until_ended(fal, ticket)
    twin.script(endpoint="*", call="result", times=1, **fault)
    assert isinstance(await fal.result(ENDPOINT, ticket), Reply)


NOT_ABOUT_THE_RUN: list[dict[str, Any]] = [
    {"what": "http", "status": 404, "body": "<html>nginx</html>"},
    {"what": "http", "status": 401, "body": {"detail": "no"}},
    {"what": "garbage"},
    {"what": "http", "status": 200, "body": "<html>a page</html>"},
    {"what": "http", "status": 400, "body": {"detail": "Request is still in progress"}},
]


@pytest.mark.parametrize("fault", NOT_ABOUT_THE_RUN, ids=lambda fault: f"{fault['what']} {fault.get('status')}")
async def test_an_answer_that_is_not_about_the_run_is_raised(fal: Fal, twin: Twin, fault: Any) -> None:
    ticket = await fal.submit(CALL)
    await until_ended(fal, ticket)
    for call in ("status", "result"):
        twin.script(endpoint="*", call=call, times=1, **fault)
    with pytest.raises((ServiceUnavailableError, AuthenticationError)):
        await fal.poll(ENDPOINT, ticket)
    with pytest.raises((ServiceUnavailableError, AuthenticationError)):
        await fal.result(ENDPOINT, ticket)
    assert isinstance(await fal.result(ENDPOINT, ticket), Reply)


FAILED_POLLS: list[dict[str, Any]] = [
    {"what": "drop", "times": 2},  # aiohttp repeats a GET once on a dropped connection
    {"what": "nginx", "status": 502, "times": 1},
    {"what": "garbage", "times": 1},
]


@pytest.mark.parametrize("fault", FAILED_POLLS, ids=lambda fault: fault["what"])
async def test_a_failed_poll_raises_and_the_next_one_works(fal: Fal, twin: Twin, fault: Any) -> None:
    ticket = await fal.submit(CALL)
    twin.script(endpoint="*", call="status", **fault)
    with pytest.raises(ServiceUnavailableError):
        await fal.poll(ENDPOINT, ticket)
    await until_ended(fal, ticket)


async def test_cancel_says_whether_it_came_in_time(fal: Fal, twin: Twin) -> None:
    twin.pace(seconds=30, queue_seconds=0)
    ticket = await fal.submit(CALL)
    assert await fal.cancel(ENDPOINT, ticket) is CancelResult.ASKED
    await until_ended(fal, ticket)
    assert await fal.cancel(ENDPOINT, ticket) is CancelResult.TOO_LATE
    outcome = await fal.result(ENDPOINT, ticket)
    assert isinstance(outcome, RunFailure) and outcome.error.kind == "client_cancelled"


@pytest.mark.parametrize(
    "fault",
    [
        {"what": "garbage"},
        {"what": "nginx", "status": 404},
        {"what": "http", "status": 200, "body": "<html>a page</html>"},
        {"what": "http", "status": 400, "body": {"detail": "no"}},
    ],
    ids=lambda fault: f"{fault['what']} {fault.get('status')}",
)
async def test_a_proxys_page_is_no_answer_to_a_cancel(fal: Fal, twin: Twin, fault: Any) -> None:
    ticket = await fal.submit(CALL)
    await until_ended(fal, ticket)
    twin.script(endpoint="*", call="cancel", **fault)
    with pytest.raises(ServiceUnavailableError):
        await fal.cancel(ENDPOINT, ticket)
    assert await fal.cancel(ENDPOINT, ticket) is CancelResult.TOO_LATE


async def test_a_queued_request_is_cancelled_at_once(fal: Fal, twin: Twin) -> None:
    twin.pace(seconds=30, queue_seconds=30)
    assert await fal.cancel(ENDPOINT, await fal.submit(CALL)) is CancelResult.STOPPED


async def test_a_ticket_is_made_from_the_request_id_alone(fal: Fal) -> None:
    ticket = await fal.submit(CALL)
    assert fal.ticket_of(ENDPOINT, ticket.request_id) == ticket


def lost(arguments: Any = CALL.arguments, ago_s: float = 0.0, **more: Any) -> LostSubmission:
    return LostSubmission("another", 1, ENDPOINT, arguments, time.time() - ago_s, **more)


async def test_a_submission_whose_answer_was_lost_is_found_in_the_list(fal: Fal, twin: Twin) -> None:
    calls = [replace(CALL, arguments={**CALL.arguments, "seed": seed}) for seed in (1, 2, 3)]
    tickets = [await fal.submit(call) for call in calls]
    for ticket in tickets:
        await until_ended(fal, ticket)
    found = [await fal.find(lost(call.arguments)) for call in calls]
    assert [each.alike for each in found] == [(ticket,) for ticket in tickets]
    assert not (await fal.find(lost({**CALL.arguments, "seed": 4}))).alike


async def test_equal_submissions_without_a_mark_are_alike_in_the_order_of_their_sending(fal: Fal) -> None:
    tickets = [await fal.submit(CALL), await fal.submit(CALL)]
    for ticket in tickets:
        await until_ended(fal, ticket)
    found = await fal.find(lost())
    assert (found.ticket, list(found.alike)) == (None, tickets) and found.listed_until is not None
    with pytest.raises(ServiceUnavailableError, match="several requests match"):
        await fal.find(lost(is_marked=True))


async def test_without_a_seed_of_ours_only_an_equal_input_matches(fal: Fal) -> None:
    theirs = await fal.submit(replace(CALL, arguments={**CALL.arguments, "guidance_scale": 9}))
    await until_ended(fal, theirs)
    assert not (await fal.find(lost())).alike
    assert (await fal.find(lost(is_marked=True))).ticket == theirs


async def test_a_known_request_of_the_job_does_not_match(fal: Fal) -> None:
    first = await fal.submit(CALL)
    await until_ended(fal, first)
    known = frozenset({first.request_id})
    assert not (await fal.find(lost(known=known))).alike
    second = await fal.submit(CALL)
    await until_ended(fal, second)
    assert (await fal.find(lost(known=known))).alike == (second,)


async def test_a_request_that_was_sent_much_later_does_not_match(fal: Fal) -> None:
    await until_ended(fal, await fal.submit(CALL))
    assert not (await fal.find(lost(ago_s=600))).alike


async def test_the_list_is_read_page_by_page(fal: Fal) -> None:
    first = await fal.submit(replace(CALL, arguments={**CALL.arguments, "seed": 99}))
    await until_ended(fal, first)
    tickets = [await fal.submit(CALL) for _ in range(101)]
    for ticket in tickets:
        await until_ended(fal, ticket)
    assert (await fal.find(lost({"seed": 99}, is_marked=True))).ticket == first


async def test_a_search_says_until_when_the_list_shows_our_requests(fal: Fal, twin: Twin) -> None:
    began = time.time()
    assert (await fal.find(lost())).listed_until is None
    await until_ended(fal, await fal.submit(replace(CALL, arguments={**CALL.arguments, "seed": 99})))
    found = await fal.find(lost())
    assert found.ticket is None and found.listed_until is not None and began <= found.listed_until + 0.01
    elsewhere = LostSubmission("a", 1, "fal-ai/flux/dev", {}, began)
    assert (await fal.find(elsewhere)).listed_until is None
    assert (await fal.find(replace(elsewhere, others=(ENDPOINT,)))).listed_until == found.listed_until


async def test_a_list_that_lags_is_not_fresh(fal: Fal, twin: Twin) -> None:
    twin.pace(list_lag_s=60)
    ticket = await fal.submit(CALL)
    await until_ended(fal, ticket)
    assert await fal.find(lost()) == SearchResult()


@pytest.mark.parametrize("list_is", ["lagging", "forbidden", "away"])
async def test_the_bill_names_a_request_by_its_tags_when_the_list_does_not(fal: Fal, twin: Twin, list_is: str) -> None:
    twin.pace(list_lag_s=60 if list_is == "lagging" else 0)
    ticket = await fal.submit(CALL)
    await until_ended(fal, ticket)
    await fal.result(ENDPOINT, ticket)
    if list_is != "lagging":
        twin.script(call="list", what="http", status=403 if list_is == "forbidden" else 503, times=9)
    wanted = replace(lost(), job_id=CALL.job_id, attempt=CALL.attempt)
    assert (await fal.find(wanted)).ticket == ticket
    if list_is == "lagging":
        assert (await fal.find(replace(wanted, attempt=2))).ticket is None


@pytest.mark.parametrize("fault", FAILED_POLLS, ids=lambda fault: fault["what"])
async def test_a_list_that_cannot_be_read_raises(fal: Fal, twin: Twin, fault: Any) -> None:
    twin.script(endpoint="*", call="list", **fault)
    with pytest.raises(ServiceUnavailableError):
        await fal.find(lost())


@pytest.mark.parametrize(("status", "says"), [(401, "refused the key"), (403, "models:requests:read")])
async def test_a_list_that_our_key_may_not_read_is_no_empty_list(twin: Twin, fal: Fal, status: int, says: str) -> None:
    twin.script(call="list", what="http", status=status)
    with pytest.raises(AuthenticationError, match=says):
        await fal.find(lost())


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_list_that_refuses_the_question_is_no_empty_list(twin: Twin, fal: Fal, status: int) -> None:
    twin.script(call="list", what="http", status=status)
    with pytest.raises(ServiceUnavailableError):
        await fal.find(lost())


async def test_a_submission_has_its_job_as_a_tag_and_its_webhook_url(fal: Fal, twin: Twin) -> None:
    await fal.submit(replace(CALL, job_id="job/7 ü", attempt=2, webhook_url="http://127.0.0.1:1/x?y=1&z=2"))
    await fal.submit(replace(CALL, job_id="job-7"))
    odd, plain = httpx.get(f"{twin.url}/_twin/requests").json()["requests"]
    assert plain["headers"]["x-fal-tags"] == "job=job-7,attempt=1"
    assert odd["headers"]["x-fal-tags"].startswith("job=") and odd["headers"]["x-fal-tags"].endswith(",attempt=2")
    assert (odd["webhook_url"], plain["webhook_url"]) == ("http://127.0.0.1:1/x?y=1&z=2", None)


async def test_low_priority_is_sent_only_where_the_settings_allow_it(twin: Twin) -> None:
    for is_allowed in (False, True):
        fal = await opened(twin, low_priority=is_allowed)
        for priority in ("low", "normal", "high"):
            await fal.submit(replace(CALL, job_id=f"{priority}-{is_allowed}", priority=priority))
        await fal.aclose()

    records = httpx.get(f"{twin.url}/_twin/requests").json()["requests"]
    low = [each["headers"]["x-fal-tags"] for each in records if each["headers"].get("x-fal-queue-priority") == "low"]
    assert len(records) == 6 and low == ["job=low-True,attempt=1"]


async def test_a_request_that_fal_does_not_know_is_not_found(fal: Fal, twin: Twin) -> None:
    gone = Ticket("nobody", {k: f"{twin.url}/queue/fal-ai/flux/requests/nobody{s}" for k, s in
                             (("status", "/status"), ("response", ""), ("cancel", "/cancel"))})  # fmt: skip
    with pytest.raises(RequestRefusedError) as refused:
        await fal.poll(ENDPOINT, gone)
    assert refused.value.kind == "not_found"
    assert await fal.cancel(ENDPOINT, gone) is CancelResult.TOO_LATE


async def test_the_key_is_not_sent_to_a_foreign_host_in_a_ticket(fal: Fal) -> None:
    stranger = Ticket(
        "r", {"status": "http://127.0.0.1:1/x", "response": "https://evil.example/x", "cancel": "http://[::1]/x"}
    )
    with pytest.raises(RequestRefusedError, match=r"refused to send the key to 127\.0\.0\.1"):
        await fal.poll(ENDPOINT, stranger)
    with pytest.raises(RequestRefusedError, match=r"refused to send the key to evil\.example"):
        await fal.result(ENDPOINT, stranger)
