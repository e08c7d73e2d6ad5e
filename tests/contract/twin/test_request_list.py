"""The request list of the platform API: accounts, filters, times, pages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

SCHNELL = "fal-ai/flux/schnell"
DEV = "fal-ai/flux/dev"
LIST = "/api/v1/models/requests/by-endpoint"
FIELDS = {"request_id", "endpoint_id", "started_at", "sent_at", "ended_at", "status_code", "duration"}


def ask(twin: Any, headers: dict[str, str] | None = None, **params: Any) -> httpx.Response:
    response: httpx.Response = twin.http.get(LIST, params={"endpoint_id": SCHNELL} | params, headers=headers)
    return response


def items(twin: Any, **params: Any) -> list[dict[str, Any]]:
    response = ask(twin, **params)
    assert response.status_code == 200, response.text
    return list(response.json()["items"])


def ids(twin: Any, **params: Any) -> list[str]:
    return [item["request_id"] for item in items(twin, **params)]


def ended(twin: Any, *args: Any, **options: Any) -> str:
    ticket = twin.submit(*args, **options)
    twin.wait(ticket)
    return str(ticket["request_id"])


def iso(**offset: float) -> str:
    return (datetime.now(UTC) + timedelta(**offset)).isoformat()


def test_an_ended_request_is_listed_with_its_times(twin: Any) -> None:
    request_id = ended(twin)
    answer = ask(twin).json()
    (item,) = answer["items"]
    assert (answer["next_cursor"], answer["has_more"]) == (None, False)
    assert set(item) == FIELDS
    assert (item["request_id"], item["endpoint_id"], item["status_code"]) == (request_id, SCHNELL, 200)
    sent, started, end = (datetime.fromisoformat(item[f"{name}_at"]) for name in ("sent", "started", "ended"))
    assert sent <= started <= end and abs((end - sent).total_seconds() - item["duration"]) < 0.005


def test_only_what_has_ended_is_listed(twin: Any, until: Any) -> None:
    twin.pace(seconds=30, concurrency=1)
    running, waiting = twin.submit(), twin.submit()
    until(lambda: twin.status(running).json()["status"] == "IN_PROGRESS", "the first one runs")
    assert ids(twin) == []
    twin.http.put(waiting["cancel_url"])
    (item,) = items(twin)
    assert (item["request_id"], item["status_code"], item["started_at"]) == (waiting["request_id"], 499, None)


def test_an_ended_request_may_show_late(twin: Any, until: Any) -> None:
    twin.pace(list_lag_s=0.4)
    request_id = ended(twin)
    assert ids(twin) == []
    (item,) = until(lambda: items(twin), "the list has caught up", 5)
    late_s = (datetime.now(UTC) - datetime.fromisoformat(item["ended_at"])).total_seconds()
    assert item["request_id"] == request_id and late_s >= 0.39


def test_an_account_sees_its_own_requests_only(twin: Any) -> None:
    other = {"Authorization": "Key other:secret"}
    own, foreign = ended(twin), ended(twin, headers=other)
    assert ids(twin) == [own] and ids(twin, headers=other) == [foreign]
    assert ids(twin, request_id=foreign) == []


def test_the_newest_ending_comes_first_or_the_longest(twin: Any) -> None:
    twin.pace(seconds=0.3)
    long = ended(twin)
    twin.pace(seconds=0.0)
    short = ended(twin)
    assert ids(twin) == [short, long] and ids(twin, sort_by="duration") == [long, short]


def test_payloads_come_only_when_asked_for(twin: Any) -> None:
    body = {"prompt": "a fox", "seed": 7, "loras": [{"path": "a/b", "scale": 0.5}], "odd": None}
    ticket = twin.submit(body=body)
    output = twin.wait(ticket).json()
    (item,) = items(twin, expand="payloads")
    assert item["json_input"] == body and item["json_output"] == output
    assert "json_input" not in items(twin)[0]


def test_a_long_input_is_listed_whole(twin: Any) -> None:
    body = {"prompt": "x" * 100_000, "tags": list(range(1_500)), "note": "größer"}
    ended(twin, body=body)
    assert items(twin, expand="payloads")[0]["json_input"] == body
    assert twin.requests()[0]["input"]["prompt"].endswith("characters)")


def test_a_failure_is_listed_with_its_error(twin: Any) -> None:
    ended(twin, body={"num_images": 1})
    (item,) = items(twin, expand="payloads")
    assert item["status_code"] == 422 and item["json_output"]["detail"][0]["type"] == "missing"


def test_what_was_not_to_be_stored_has_no_payloads(twin: Any) -> None:
    ended(twin, headers={"X-Fal-Store-IO": "0"})
    (item,) = items(twin, expand="payloads")
    assert item["json_input"] is None and item["json_output"] is None


def test_an_inline_output_is_not_in_the_history(twin: Any) -> None:
    ended(twin, body={"prompt": "a fox", "sync_mode": True, "image_size": "square"})
    (item,) = items(twin, expand="payloads")
    assert item["json_input"]["prompt"] == "a fox" and item["json_output"] is None


def test_the_list_can_be_narrowed_by_ending(twin: Any) -> None:
    good, refused = ended(twin), ended(twin, body={})
    twin.script(what="error", status=503)
    broken = ended(twin)
    found = {status: ids(twin, status=status) for status in ("success", "user_error", "error")}
    assert found == {"success": [good], "user_error": [refused], "error": [broken]}


def test_the_list_can_be_narrowed_to_one_request(twin: Any) -> None:
    first, _ = ended(twin), ended(twin)
    assert ids(twin, request_id=first) == [first]
    assert ids(twin, request_id=first, endpoint_id=DEV) == []


@pytest.mark.parametrize("params", [{"endpoint_id": [SCHNELL, DEV]}, {"endpoint_id": f"{SCHNELL},{DEV}"}])
def test_several_endpoints_may_be_named(twin: Any, params: Any) -> None:
    schnell, dev, _ = ended(twin), ended(twin, DEV), ended(twin, "fal-ai/nano-banana-2")
    assert ids(twin) == [schnell] and ids(twin, **params) == [dev, schnell]


@pytest.mark.parametrize(
    ("bounds", "count"),
    [
        ({"start": {"minutes": -1}}, 1),
        ({"start": {"minutes": 1}}, 0),
        ({"end": {"minutes": -1}}, 0),
        ({"start": {"days": -2}, "end": {"minutes": 1}}, 1),
    ],
)
def test_the_list_is_bounded_in_time(twin: Any, bounds: dict[str, dict[str, float]], count: int) -> None:
    ended(twin)
    assert len(items(twin, **{name: iso(**offset) for name, offset in bounds.items()})) == count


@pytest.mark.parametrize(
    "start", ["2025-01-01", "2025-01-01T00:00:00", "2025-01-01T00:00:00Z", "2025-01-01T02:00+02:00"]
)
def test_a_moment_may_be_written_in_several_ways(twin: Any, start: str) -> None:
    ended(twin)
    assert len(items(twin, start=start)) == 1 and items(twin, end=start) == []


def test_pages_join_without_gap_or_overlap(twin: Any) -> None:
    made = [ended(twin) for _ in range(5)]
    seen, cursor, sizes = [], None, []
    while True:
        answer = ask(twin, limit=2, **({"cursor": cursor} if cursor else {})).json()
        seen += [item["request_id"] for item in answer["items"]]
        sizes.append(len(answer["items"]))
        assert answer["has_more"] is (answer["next_cursor"] is not None)
        if not (cursor := answer["next_cursor"]):
            break
    assert seen == made[::-1] and sizes == [2, 2, 1]
    assert ask(twin, limit=5).json()["has_more"] is False


def test_a_page_has_fifty_requests_by_default(twin: Any) -> None:
    twin.pace(seconds=0.0)
    tickets = [twin.submit() for _ in range(51)]
    for ticket in tickets:
        twin.wait(ticket)
    answer = ask(twin).json()
    assert len(answer["items"]) == 50 and answer["has_more"] and len(items(twin, limit=100)) == 51


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"endpoint_id": None}, "endpoint_id: Field required"),
        ({"endpoint_id": ""}, "endpoint_id: "),
        ({"endpoint_id": ",".join(["a/b"] * 51)}, "endpoint_id: "),
        ({"limit": 0}, "limit: "),
        ({"limit": 101}, "limit: "),
        ({"limit": "many"}, "limit: "),
        ({"cursor": "later"}, "cursor: "),
        ({"cursor": "MA=="}, "cursor: "),
        ({"start": "yesterday"}, "start: "),
        ({"end": "1735689600"}, "end: "),
        ({"status": "done"}, "status: "),
        ({"request_id": "7"}, "request_id: "),
        ({"expand": "everything"}, "expand: "),
        ({"sort_by": "name"}, "sort_by: "),
    ],
)
def test_the_answer_to_a_bad_parameter_names_it(twin: Any, params: dict[str, Any], message: str) -> None:
    merged = {name: value for name, value in ({"endpoint_id": SCHNELL} | params).items() if value is not None}
    answer = twin.http.get(LIST, params=merged)
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "validation_error"
    assert answer.json()["error"]["message"].startswith(message)


@pytest.mark.parametrize("value", ["", "Key", "Key bad:key", "Bearer test:secret", "Basic abc"])
def test_without_a_good_key_nothing_is_listed(twin: Any, value: str) -> None:
    answer = ask(twin, headers={"Authorization": value})
    assert answer.status_code == 401 and answer.json()["error"]["type"] == "authorization_error"
    assert answer.json()["error"]["message"]


def test_a_locked_account_may_still_list(twin: Any) -> None:
    assert ask(twin, headers={"Authorization": "Key locked:x"}).json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path"), [("POST", LIST), ("DELETE", LIST), ("POST", "/api/v1/models"), ("GET", "/api/v1/nothing")]
)
def test_other_calls_are_not_there(twin: Any, method: str, path: str) -> None:
    answer = twin.http.request(method, path, params={"endpoint_id": SCHNELL})
    assert answer.status_code == 404 and answer.json()["error"]["type"] == "not_found"


def test_the_list_is_found_under_its_real_host_name(twin: Any) -> None:
    request_id = ended(twin)
    answer = twin.http.get(LIST.removeprefix("/api"), params={"endpoint_id": SCHNELL}, headers={"Host": "api.fal.ai"})
    assert [item["request_id"] for item in answer.json()["items"]] == [request_id]


def test_forgotten_requests_leave_the_list(twin: Any) -> None:
    ended(twin)
    twin.http.post("/_twin/reset")
    twin.pace(seconds=0.0, queue_seconds=0.0)
    assert ids(twin) == []
