"""The control calls: accepted and billed requests, and the pace."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest

SCHNELL = "fal-ai/flux/schnell"


def test_each_accepted_submission_is_on_record(twin: Any) -> None:
    before = time.time()
    headers = {"X-Fal-Queue-Priority": "low", "X-Fal-Runner-Hint": "lora-1", "X-Fal-Tags": "job=7"}
    ticket = twin.submit(headers=headers, params={"fal_webhook": "http://127.0.0.1:9/?job=7"})
    twin.wait(ticket)
    (record,) = twin.requests()
    assert (
        record["provider"] == "fal" and record["endpoint"] == SCHNELL and record["request_id"] == ticket["request_id"]
    )
    assert record["input"] == {"prompt": "a fox"} and record["webhook_url"] == "http://127.0.0.1:9/?job=7"
    assert {name.lower(): value for name, value in headers.items()}.items() <= record["headers"].items()
    assert record["state"] == "COMPLETED" and record["billed"] == {"units": 1, "usd": 0.003}
    assert before - 1 < record["accepted_at"] <= record["started_at"] <= record["completed_at"]
    assert record["polls"] >= 1 and (record["is_cancelled"], record["cancels"]) == (False, 0)
    assert "test:secret" not in str(record)


def test_requests_can_be_counted_by_endpoint(twin: Any) -> None:
    twin.submit()
    twin.submit("fal-ai/flux/dev")
    count = [
        twin.http.get("/_twin/requests", params=p).json() for p in ({"count": 1}, {"count": 1, "endpoint": SCHNELL})
    ]
    assert count == [{"count": 2}, {"count": 1}]
    (only,) = twin.http.get("/_twin/requests", params={"endpoint": SCHNELL}).json()["requests"]
    assert only["endpoint"] == SCHNELL


def test_a_cancelled_request_is_on_record_as_such(twin: Any) -> None:
    twin.pace(seconds=30)
    twin.http.put(twin.submit()["cancel_url"])
    (record,) = twin.requests()
    assert (record["is_cancelled"], record["cancels"], record["billed"]["units"]) == (True, 1, 0)


def test_long_inputs_are_cut_in_the_record(twin: Any) -> None:
    twin.wait(twin.submit(body={"prompt": "x" * 100_000}))
    assert twin.requests()[0]["input"]["prompt"].endswith("… (100000 characters)")


def test_the_pace_holds_for_all_or_for_one(twin: Any) -> None:
    twin.pace(seconds=0.1, endpoints={"fal-ai/flux/dev": 0.5})

    def took(endpoint: str) -> float:
        ticket = twin.submit(endpoint)
        twin.wait(ticket)
        return float(twin.status(ticket).json()["metrics"]["inference_time"])

    assert 0.1 <= took(SCHNELL) < 0.5 <= took("fal-ai/flux/dev")


def test_the_pace_is_changed_field_by_field(twin: Any) -> None:
    twin.pace(seconds=3)
    twin.pace(concurrency=7)
    pace = twin.http.get("/_twin/pace").json()
    assert (pace["seconds"], pace["concurrency"], pace["queue_seconds"]) == (3, 7, 0)
    twin.pace(seconds=None)
    assert twin.http.get("/_twin/pace").json()["seconds"] is None


@pytest.mark.parametrize(
    ("pace", "message"),
    [
        ({"second": 1}, "second: Extra inputs are not permitted"),
        ({"seconds": -1}, "seconds: Input should be greater"),
        ([], "(body)"),
    ],
)
def test_the_answer_to_a_bad_pace_names_the_field(twin: Any, pace: Any, message: str) -> None:
    answer = twin.http.post("/_twin/pace", json=pace)
    assert answer.status_code == 422 and message in answer.json()["detail"]


def test_reset_forgets_everything(twin: Any) -> None:
    twin.pace(seconds=30)
    running = twin.submit()
    url = twin.upload(b"hello")
    twin.http.post("/_twin/reset")
    assert twin.count() == 0 and twin.requests() == []
    assert twin.status(running).status_code == 404 and twin.http.get(url).status_code == 404
    assert twin.http.get("/_twin/pace").json()["seconds"] is None


def test_the_page_shows_what_was_made(twin: Any) -> None:
    url = twin.make(body={"prompt": "<b>a fox</b>"})["images"][0]["url"]
    page = twin.http.get("/", follow_redirects=True)
    assert page.headers["content-type"].startswith("text/html")
    assert url in page.text and "&lt;b&gt;a fox&lt;/b&gt;" in page.text


def test_health_answers(twin: Any) -> None:
    assert twin.http.get("/_twin/health").json() == {"status": "ok"}


def test_all_runs_end_on_demand(twin: Any, until: Any) -> None:
    twin.pace(seconds=600, concurrency=1)
    runs, waits = twin.submit("fal-ai/flux/dev"), twin.submit()
    until(lambda: twin.status(runs).json()["status"] == "IN_PROGRESS", "it runs")
    assert twin.http.post("/_twin/finish").status_code == 200
    assert [len(twin.wait(ticket).json()["images"]) for ticket in (runs, waits)] == [1, 1]
    (record,) = [each for each in twin.requests() if each["request_id"] == runs["request_id"]]
    lines = twin.status(runs, logs=True).json()["logs"]
    assert max(line["timestamp"] for line in lines) <= datetime.now(UTC).isoformat(), "no line is of the future"
    assert record["completed_at"] - record["started_at"] < 60
