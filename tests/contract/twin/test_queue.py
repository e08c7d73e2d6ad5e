"""fal's queue: the answer of each call, the order of waiting requests, access."""

import json
from typing import Any

import httpx
import pytest

SCHNELL = "fal-ai/flux/schnell"
NOBODY = "00000000-0000-0000-0000-000000000000"


def test_a_submission_answers_with_urls_on_the_callers_base(twin: Any) -> None:
    ticket = twin.submit()
    base = f"{twin.url}/queue/fal-ai/flux/requests/{ticket['request_id']}"
    assert ticket["status"] == "IN_QUEUE" and ticket["queue_position"] == 0
    assert [ticket[name] for name in ("response_url", "status_url", "cancel_url")] == [
        base,
        f"{base}/status",
        f"{base}/cancel",
    ]
    assert ticket["gateway_request_id"] == ticket["request_id"]


def test_status_is_202_until_it_is_200(twin: Any, until: Any) -> None:
    twin.pace(seconds=0.2, queue_seconds=0.4)
    ticket = twin.submit()
    waiting = twin.status(ticket)
    assert (waiting.status_code, waiting.json()["status"], waiting.json()["logs"]) == (202, "IN_QUEUE", None)
    running = until(lambda: (r := twin.status(ticket)).json()["status"] == "IN_PROGRESS" and r, "the run starts")
    assert running.status_code == 202 and "logs" in running.json() and "queue_position" not in running.json()
    assert twin.wait(ticket).status_code == 200
    ended = twin.status(ticket)
    assert (ended.status_code, ended.json()["status"]) == (200, "COMPLETED")
    assert 0.2 <= ended.json()["metrics"]["inference_time"] < 5
    assert ended.headers["x-fal-request-id"] == ticket["request_id"]


def test_logs_come_only_when_asked_for(twin: Any) -> None:
    ticket = twin.submit()
    twin.wait(ticket)
    assert twin.status(ticket).json()["logs"] is None
    messages = [line["message"] for line in twin.status(ticket, logs=True).json()["logs"]]
    assert messages == [f"Starting {SCHNELL}", "step 1/4", "step 2/4", "step 3/4", "step 4/4"]


def test_the_status_stream_ends_with_the_run(twin: Any) -> None:
    twin.pace(seconds=0.3, queue_seconds=0.1)
    ticket = twin.submit()
    with twin.http.stream("GET", f"{ticket['status_url']}/stream?logs=1") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = [json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: ")]
    states = list(dict.fromkeys(event["status"] for event in events))
    lines = [line["message"] for event in events for line in event["logs"] or []]
    assert states == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
    assert lines == [f"Starting {SCHNELL}", *(f"step {n}/4" for n in range(1, 5))]


def test_a_result_carries_its_headers_and_has_an_alias(twin: Any) -> None:
    ticket = twin.submit(body={"prompt": "a fox", "num_images": 2, "image_size": {"width": 1200, "height": 1000}})
    result = twin.wait(ticket)
    assert result.headers["x-fal-request-id"] == ticket["request_id"]
    assert result.headers["x-fal-billable-units"] == "4"
    assert twin.http.get(ticket["response_url"] + "/response").json() == result.json()


def test_cancel_has_four_answers(twin: Any, until: Any) -> None:
    twin.pace(seconds=30, concurrency=1)
    running, waiting = twin.submit(), twin.submit()
    until(lambda: twin.status(running).json()["status"] == "IN_PROGRESS", "the first one runs")
    answers = [
        twin.http.put(waiting["cancel_url"]),
        twin.http.put(running["cancel_url"]),
        twin.http.put(running["cancel_url"]),
        twin.http.put(f"/queue/fal-ai/flux/requests/{NOBODY}/cancel"),
    ]
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [
        (200, "OK"),
        (202, "CANCELLATION_REQUESTED"),
        (400, "ALREADY_COMPLETED"),
        (404, "NOT_FOUND"),
    ]
    status, result = twin.status(running), twin.http.get(running["response_url"])
    assert (status.status_code, status.json()["error_type"]) == (200, "client_cancelled")
    assert (result.status_code, result.headers["x-fal-error-type"]) == (499, "client_cancelled")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/queue/{SCHNELL}/requests/{NOBODY}/status"),
        ("GET", f"/queue/{SCHNELL}/requests/{NOBODY}"),
        ("PUT", f"/queue/{SCHNELL}/requests/{NOBODY}/cancel"),
        ("POST", f"/queue/fal-ai/flux/requests/{NOBODY}/status"),
        ("GET", f"/queue/{SCHNELL}"),
    ],
)
def test_a_subpath_before_requests_is_405(twin: Any, method: str, path: str) -> None:
    assert twin.http.request(method, path).status_code == 405


def test_an_unknown_request_is_404_for_a_good_key_and_401_for_none(twin: Any) -> None:
    path = f"/queue/fal-ai/flux/requests/{NOBODY}/status"
    assert twin.http.get(path).json() == {"status": "NOT_FOUND"}
    answer = httpx.get(twin.url + path, verify=False)
    assert answer.status_code == 401 and "Authentication is required" in answer.json()["detail"]


def test_a_request_is_not_found_under_another_app(twin: Any) -> None:
    ticket = twin.submit()
    assert twin.http.get(f"/queue/fal-ai/other/requests/{ticket['request_id']}/status").status_code == 404


def test_a_locked_account_may_still_look(twin: Any) -> None:
    locked = {"Authorization": "Key locked:x"}
    ticket = twin.submit()
    twin.wait(ticket)
    assert twin.http.get(ticket["status_url"], headers=locked).status_code == 200
    refused = twin.http.post(f"/queue/{SCHNELL}", json={"prompt": "a"}, headers=locked)
    assert refused.status_code == 403 and refused.json()["detail"].startswith(
        "User is locked. Reason: Exhausted balance."
    )
    assert twin.count() == 1


def test_only_so_many_run_at_once_and_the_rest_moves_up(twin: Any, until: Any) -> None:
    twin.pace(seconds=0.4, concurrency=2)
    tickets = [twin.submit() for _ in range(5)]
    assert [ticket["queue_position"] for ticket in tickets] == [0, 0, 0, 1, 2]
    last = tickets[-1]
    seen = []
    while (body := twin.status(last).json())["status"] == "IN_QUEUE":
        seen.append(body["queue_position"])
        running = sum(record["state"] == "IN_PROGRESS" for record in twin.requests())
        assert running <= 2
    assert seen == sorted(seen, reverse=True) and seen[0] == 2 and seen[-1] == 0


def test_a_higher_limit_starts_the_waiting_ones_at_once(twin: Any, until: Any) -> None:
    twin.pace(seconds=30, concurrency=1)
    tickets = [twin.submit() for _ in range(4)]
    twin.pace(concurrency=4)
    until(lambda: all(twin.status(t).json()["status"] == "IN_PROGRESS" for t in tickets), "all run", 2.0)


def test_accounts_do_not_wait_for_each_other(twin: Any, until: Any) -> None:
    twin.pace(seconds=30, concurrency=1)
    twin.submit()
    other = twin.submit(headers={"Authorization": "Key other"})
    until(lambda: twin.status(other).json()["status"] == "IN_PROGRESS", "the other account's request runs", 2.0)


def test_low_priority_waits_for_all_normal_ones(twin: Any) -> None:
    twin.pace(seconds=60, concurrency=1)
    first = twin.submit()
    twin.pace(seconds=0.02)
    low = twin.submit(headers={"X-Fal-Queue-Priority": "low"})
    normal = twin.submit()
    assert [twin.status(t).json()["queue_position"] for t in (normal, low)] == [0, 1]
    twin.http.put(first["cancel_url"])
    twin.wait(low)
    started = sorted(twin.requests(), key=lambda record: record["started_at"])
    assert [record["request_id"] for record in started] == [t["request_id"] for t in (first, normal, low)]


def test_a_full_queue_refuses(twin: Any) -> None:
    twin.pace(seconds=30, concurrency=1)
    for _ in range(3):
        twin.submit()
    path = f"/queue/{SCHNELL}"
    assert twin.http.post(path, params={"fal_max_queue_length": 1}, json={"prompt": "a"}).status_code == 429
    assert twin.http.post(path, params={"fal_max_queue_length": 2}, json={"prompt": "a"}).status_code == 200
    assert twin.count() == 4


def test_a_start_timeout_ends_what_waited_too_long(twin: Any) -> None:
    twin.pace(seconds=30, concurrency=1)
    twin.submit()
    late = twin.submit(headers={"X-Fal-Request-Timeout": "0.2"})
    result = twin.wait(late)
    assert (result.status_code, result.json()["error_type"]) == (504, "request_timeout")
    assert result.headers["x-fal-request-timeout-type"] == "user"
    assert twin.status(late).json()["error"] == "Request timed out"


def test_a_start_timeout_does_not_touch_what_has_started(twin: Any) -> None:
    twin.pace(seconds=0.5)
    assert twin.wait(twin.submit(headers={"X-Fal-Request-Timeout": "0.1"})).status_code == 200


def test_direct_runs_above_the_limit_are_429(twin: Any) -> None:
    twin.pace(seconds=30, concurrency=1)
    twin.submit()
    answer = twin.http.post(f"/run/{SCHNELL}", json={"prompt": "a"})
    assert (answer.status_code, answer.headers["x-fal-needs-retry"]) == (429, "1")
    assert answer.json()["error_type"] == "concurrent_requests_limit"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1]",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b"[" * 5000,
        b'{"a":' * 200 + b"1" + b"}" * 200,
    ],
)
def test_a_body_that_is_no_json_object_is_refused_at_once(twin: Any, body: bytes) -> None:
    for service in ("queue", "run"):
        answer = twin.http.post(f"/{service}/{SCHNELL}", content=body)
        assert answer.status_code == 422 and answer.json()["detail"][0]["loc"] == ["body"]
    assert twin.count() == 0


@pytest.mark.parametrize("service", ["queue", "run"])
@pytest.mark.parametrize("endpoint", ["fal-ai/does/not/exist", "acme/unheard", "fal-ai/flux/schnell/sub", "solo"])
def test_an_id_that_is_not_in_the_list_is_404(twin: Any, service: str, endpoint: str) -> None:
    answer = twin.http.post(f"/{service}/{endpoint}", json={"prompt": "a fox"})

    assert answer.status_code == 404
    assert answer.json()["detail"].startswith(f'Application "{endpoint}" not found')
    assert twin.count() == 0


@pytest.mark.parametrize("endpoint", ["fal-ai/any-llm", "fal-ai/any-llm/vision"])
def test_what_is_deprecated_is_still_answered(twin: Any, endpoint: str) -> None:
    more = {"image_url": "https://example.com/a.png"} if endpoint.endswith("vision") else {}
    assert "hello" in twin.make(endpoint, {"prompt": "hello", **more})["output"]


@pytest.mark.parametrize(("pace", "is_kept"), [({"result_s": 0.0}, False), ({"large_result_s": 0.0}, True), ({}, True)])
def test_a_result_expires(twin: Any, pace: dict[str, float], is_kept: bool) -> None:
    ticket = twin.submit()
    assert twin.wait(ticket).status_code == 200
    twin.pace(**pace)

    answers = [twin.status(ticket), twin.http.get(ticket["response_url"])]

    assert [answer.status_code for answer in answers] == ([200, 200] if is_kept else [404, 404])
    assert is_kept or answers[1].json() == {"status": "NOT_FOUND"}
    assert twin.requests()[0]["state"] == "COMPLETED", "the record stays"


def test_a_large_result_expires_sooner(twin: Any) -> None:
    ticket = twin.submit(body={"prompt": "a fox " * 2000})
    assert len(twin.wait(ticket).content) > 10_000
    twin.pace(large_result_s=0.0)

    assert twin.http.get(ticket["response_url"]).status_code == 404


def test_other_ids_pass_through_in_the_shape_of_flux_if_told_so(twin: Any) -> None:
    twin.platform(any_endpoint=True)
    output = twin.make("acme/unheard/of", {"prompt": "a fox", "anything": [1, {"b": None}]})
    assert set(output) == {"images", "timings", "seed", "has_nsfw_concepts", "prompt"}


def test_sync_mode_puts_the_picture_into_the_answer(twin: Any) -> None:
    output = twin.make(body={"prompt": "a fox", "sync_mode": True})
    assert output["images"][0]["url"].startswith("data:image/jpeg;base64,/9j/")
