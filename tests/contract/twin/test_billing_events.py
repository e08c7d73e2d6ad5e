"""The billing events of the platform API: what is billed, tags, filters, pages, and who may read them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

SCHNELL = "fal-ai/flux/schnell"
DEV = "fal-ai/flux/dev"
EVENTS = "/api/v1/models/billing-events"
LIST = "/api/v1/models/requests/by-endpoint"
TAGGED = {"source": "tagged-billed"}


def ask(twin: Any, headers: dict[str, str] | None = None, **params: Any) -> httpx.Response:
    response: httpx.Response = twin.http.get(EVENTS, params=params, headers=headers)
    return response


def events(twin: Any, **params: Any) -> list[dict[str, Any]]:
    response = ask(twin, **params)
    assert response.status_code == 200, response.text
    return list(response.json()["billing_events"])


def ids(twin: Any, **params: Any) -> list[str]:
    return [event["request_id"] for event in events(twin, **params)]


def ended(twin: Any, *args: Any, tags: str | None = None, **options: Any) -> str:
    headers = options.pop("headers", {}) | ({"X-Fal-Tags": tags} if tags else {})
    ticket = twin.submit(*args, headers=headers, **options)
    twin.wait(ticket)
    return str(ticket["request_id"])


def platform(twin: Any, **settings: Any) -> None:
    answer = twin.http.post("/_twin/platform", json=settings)
    assert answer.status_code == 200, answer.text


def test_a_paid_request_is_an_event_with_its_price(twin: Any) -> None:
    request_id = ended(twin, DEV, {"prompt": "a fox", "num_images": 2, "image_size": "square"}, tags="job=7")
    answer = ask(twin).json()
    (event,) = answer["billing_events"]
    assert (answer["next_cursor"], answer["has_more"]) == (None, False)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(event.pop("timestamp"))) < timedelta(minutes=1)
    assert event == {
        "request_id": request_id,
        "endpoint_id": DEV,
        "output_units": 2,
        "unit_price": 0.025,
        "percent_discount": None,
        "cost_subtotal": 0.05,
        "cost_discount": 0.0,
        "cost_total": 0.05,
        "cost_estimate_nano_usd": 50_000_000,
    }


def test_what_cost_nothing_is_no_event(twin: Any) -> None:
    twin.script(what="error", status=503)
    ended(twin)
    assert ids(twin) == []


def test_only_tagged_events_have_tags(twin: Any) -> None:
    request_id = ended(twin, tags="job=7,attempt=1")
    assert "tags" not in events(twin)[0]
    (event,) = events(twin, **TAGGED)
    assert (event["request_id"], event["tags"]) == (request_id, {"job": "7", "attempt": "1"})


def test_events_are_found_by_tag(twin: Any) -> None:
    first, again = ended(twin, tags="job=7,attempt=1"), ended(twin, tags="job=7,attempt=2")
    other, plain = ended(twin, tags="job=8,attempt=1"), ended(twin)
    assert ids(twin, tag="job=7", **TAGGED) == [again, first]
    assert ids(twin, tag=["job=7", "attempt=1"], **TAGGED) == [first], "different tags must all match"
    assert ids(twin, tag=["job=7", "job=8"], **TAGGED) == [other, again, first], "values of one tag are alternatives"
    assert ids(twin, tag="job=(untagged)", **TAGGED) == [plain]


def test_bad_tags_are_dropped_without_an_error(twin: Any) -> None:
    ended(twin, tags=f"job=7,Bad=1,fal.x=1,long={'x' * 257},empty=")
    ended(twin, tags=f"job={'x' * 1_024}")
    assert [event["tags"] for event in events(twin, **TAGGED)] == [{}, {"job": "7"}]


def test_only_activated_tags_are_reported(twin: Any) -> None:
    platform(twin, tag_keys=["attempt"])
    ended(twin, tags="job=7,attempt=1")
    assert events(twin, **TAGGED)[0]["tags"] == {"attempt": "1"} and ids(twin, tag="job=7", **TAGGED) == []


def test_events_can_be_narrowed_by_endpoint_and_request(twin: Any) -> None:
    schnell, dev = ended(twin), ended(twin, DEV)
    assert ids(twin, endpoint_id=DEV) == [dev] and ids(twin, endpoint_id=f"{DEV},{SCHNELL}") == [dev, schnell]
    assert ids(twin, request_id=[schnell]) == [schnell]
    assert set(ids(twin, request_id=f"{schnell},{dev}")) == {schnell, dev}


def test_events_are_bounded_in_time(twin: Any) -> None:
    request_id = ended(twin)
    now = datetime.now(UTC)
    before, after = ((now + timedelta(minutes=by)).isoformat() for by in (-1, 1))
    assert ids(twin, start=before, end=after) == [request_id]
    assert ids(twin, start=after, end=after) == [] and ids(twin, end=before) == []


def test_events_may_show_late_and_with_tags_even_later(twin: Any, until: Any) -> None:
    twin.pace(billing_lag_s=1.5, tagged_lag_s=2)
    request_id = ended(twin)
    assert ids(twin) == []
    until(lambda: ids(twin) == [request_id], "the events have caught up")
    until(lambda: ids(twin, **TAGGED) == [request_id], "the tagged events have caught up")
    late_s = (datetime.now(UTC) - datetime.fromisoformat(events(twin)[0]["timestamp"])).total_seconds()
    assert late_s >= 1.99


def test_pages_join_without_gap_or_overlap(twin: Any) -> None:
    made = [ended(twin) for _ in range(5)]
    seen, cursor = [], None
    while True:
        answer = ask(twin, limit=2, **({"cursor": cursor} if cursor else {})).json()
        seen += [event["request_id"] for event in answer["billing_events"]]
        if not (cursor := answer["next_cursor"]):
            break
    assert seen == made[::-1]


def test_an_account_sees_its_own_events_only(twin: Any) -> None:
    other = {"Authorization": "Key other:secret"}
    own, foreign = ended(twin), ended(twin, headers=other)
    assert ids(twin) == [own] and ids(twin, headers=other) == [foreign]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"source": "all"}, "source: "),
        ({"tag": "job=7"}, "query: Value error, tag needs source=tagged-billed"),
        ({"tag": "job", **TAGGED}, "tag: Value error, a tag is key=value"),
        ({"tag": [f"t{n}=1" for n in range(11)], **TAGGED}, "tag: "),
        ({"request_id": ",".join(map(str, range(51)))}, "request_id: "),
        ({"limit": 10_001}, "limit: "),
        ({"start": "yesterday"}, "start: "),
        ({"start": "2026-01-01", "end": "2026-06-01"}, "start: the range is longer than 90 days"),
        ({"cursor": "MA=="}, "cursor: "),
    ],
)
def test_the_answer_to_a_bad_parameter_names_it(twin: Any, params: dict[str, Any], message: str) -> None:
    answer = ask(twin, **params)
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "validation_error"
    assert answer.json()["error"]["message"].startswith(message)


@pytest.mark.parametrize("value", ["", "Key bad:key", "Bearer test:secret"])
def test_without_a_good_key_no_event_is_shown(twin: Any, value: str) -> None:
    assert ask(twin, headers={"Authorization": value}).status_code == 401


@pytest.mark.parametrize(
    ("setting", "path", "params"),
    [
        ({"list_allowed": False}, LIST, {"endpoint_id": SCHNELL}),
        ({"billing_allowed": False}, EVENTS, {}),
        ({"tagged_reporting": False}, EVENTS, TAGGED),
    ],
)
def test_what_is_not_allowed_is_refused_until_the_reset(
    twin: Any, setting: dict[str, Any], path: str, params: dict[str, Any]
) -> None:
    platform(twin, **setting)
    answer = twin.http.get(path, params=params)
    assert answer.status_code == 403 and answer.json()["error"]["type"] == "authorization_error"
    twin.http.post("/_twin/reset")
    assert twin.http.get(path, params=params).status_code == 200


def test_the_plain_events_need_no_tagged_reporting(twin: Any) -> None:
    platform(twin, tagged_reporting=False)
    assert ids(twin) == []


@pytest.mark.parametrize(("share", "count"), [(1.0, 0), (0.0, 3)])
def test_the_list_can_miss_requests_that_are_billed(twin: Any, share: float, count: int) -> None:
    platform(twin, list_missing_share=share)
    made = [ended(twin) for _ in range(3)]
    assert len(twin.http.get(LIST, params={"endpoint_id": SCHNELL}).json()["items"]) == count
    assert ids(twin) == made[::-1]


def test_an_account_can_store_no_payloads(twin: Any) -> None:
    platform(twin, stores_payloads=False)
    ended(twin)
    (item,) = twin.http.get(LIST, params={"endpoint_id": SCHNELL, "expand": "payloads"}).json()["items"]
    assert item["json_input"] is None and item["json_output"] is None


def test_the_platform_is_changed_field_by_field(twin: Any) -> None:
    platform(twin, list_allowed=False)
    platform(twin, list_missing_share=0.5)
    settings = twin.http.get("/_twin/platform").json()
    assert (settings["list_allowed"], settings["list_missing_share"], settings["tag_keys"]) == (False, 0.5, None)
    bad = twin.http.post("/_twin/platform", json={"list_missing_share": 2})
    assert bad.status_code == 422 and "list_missing_share: " in bad.json()["detail"]


def test_a_fault_can_happen_at_the_billing_events(twin: Any) -> None:
    twin.script(call="billing", what="http", status=429)
    answer = ask(twin)
    assert answer.status_code == 429 and answer.json()["error"]["type"] == "rate_limited"
    assert ask(twin).status_code == 200
