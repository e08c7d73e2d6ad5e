"""Faults of the script, as they appear on the wire."""

import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

SCHNELL = "fal-ai/flux/schnell"
BODY = {"prompt": "a fox", "image_size": "square"}


def submit(twin: Any, **options: Any) -> httpx.Response:
    response: httpx.Response = twin.http.post(f"/queue/{SCHNELL}", json=BODY, **options)
    return response


def raw(twin: Any, method: str, path: str) -> bytes:
    """Send a request over a socket and return all bytes until the connection is closed."""
    parts = urlsplit(twin.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as line:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Key a\r\nContent-Length: 2\r\n\r\n{{}}"
        )
        line.sendall(head.encode())
        return b"".join(iter(lambda: line.recv(65536), b""))


def test_a_dropped_submission_was_taken(twin: Any) -> None:
    twin.script(call="submit", what="drop")
    with pytest.raises(httpx.RemoteProtocolError):
        submit(twin)
    assert twin.count() == 1
    assert submit(twin).status_code == 200 and twin.count() == 2


def test_a_drop_sends_no_byte(twin: Any) -> None:
    twin.script(call="submit", what="drop")
    assert raw(twin, "POST", "/queue/fal-ai/fast-sdxl") == b""


def test_a_drop_may_come_before_the_job_is_taken(twin: Any) -> None:
    twin.script(call="submit", what="drop", accepted=False)
    with pytest.raises(httpx.RemoteProtocolError):
        submit(twin)
    assert twin.count() == 0


def test_a_truncated_answer_promises_more_than_it_brings(twin: Any) -> None:
    twin.script(call="submit", what="truncated")
    head, _, body = raw(twin, "POST", "/queue/fal-ai/fast-sdxl").partition(b"\r\n\r\n")
    promised = next(
        int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    assert 0 < len(body) < promised and twin.count() == 1


def test_a_file_may_come_byte_by_byte(twin: Any) -> None:
    url = twin.make()["images"][0]["url"]
    whole = twin.http.get(url).content
    twin.script(call="file", what="drip", seconds=0)
    assert twin.http.get(url).content == whole
    twin.script(call="file", what="drip", seconds=60)
    with twin.http.stream("GET", url, timeout=0.3) as answer:
        got = b""
        with pytest.raises(httpx.ReadTimeout):
            for chunk in answer.iter_raw():
                got += chunk
    assert (answer.status_code, got) == (200, whole[:1])


def test_a_hang_outlasts_the_caller(twin: Any) -> None:
    twin.script(call="submit", what="hang", seconds=60)
    with pytest.raises(httpx.ReadTimeout):
        submit(twin, timeout=0.2)
    assert twin.count() == 1


def test_a_hang_ends_in_silence(twin: Any) -> None:
    twin.script(call="submit", what="hang", seconds=0.1)
    assert raw(twin, "POST", "/queue/fal-ai/fast-sdxl") == b""


def test_a_slow_answer_is_a_good_one(twin: Any) -> None:
    twin.script(call="submit", what="slow", seconds=0.3)
    response = submit(twin)
    assert response.status_code == 200 and response.elapsed.total_seconds() >= 0.3


def test_an_http_error_is_as_ordered_and_takes_no_job(twin: Any) -> None:
    twin.script(call="submit", what="http", status=429, body={"detail": "slow down"}, headers={"Retry-After": "7"})
    response = submit(twin)
    assert (response.status_code, response.json(), response.headers["retry-after"]) == (
        429,
        {"detail": "slow down"},
        "7",
    )
    assert twin.count() == 0


def test_an_http_error_may_come_after_the_job_is_taken(twin: Any) -> None:
    twin.script(call="submit", what="http", status=409, accepted=True)
    assert submit(twin).status_code == 409 and twin.count() == 1


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_nginx_page_looks_like_one(twin: Any, status: int) -> None:
    twin.script(call="submit", what="nginx", status=status)
    response = submit(twin)
    assert response.status_code == status and "<center>nginx</center>" in response.text
    assert "x-fal-request-id" not in response.headers and twin.count() == 1


def test_garbage_is_no_json(twin: Any) -> None:
    twin.script(call="submit", what="garbage")
    response = submit(twin)
    assert response.status_code == 200 and response.headers["content-type"] == "application/json"
    with pytest.raises(ValueError):
        response.json()


@pytest.mark.parametrize("call", ["status", "result", "cancel"])
def test_every_later_call_may_fail(twin: Any, call: str) -> None:
    ticket = twin.submit()
    twin.wait(ticket)
    twin.script(call=call, what="http", status=500, endpoint=SCHNELL)
    urls = {"status": ticket["status_url"], "result": ticket["response_url"], "cancel": ticket["cancel_url"]}
    answers = [twin.http.request("PUT" if call == "cancel" else "GET", urls[call]).status_code for _ in range(2)]
    assert answers == [500, 400 if call == "cancel" else 200]


def test_a_file_may_be_of_a_wrong_type(twin: Any) -> None:
    url = twin.make()["images"][0]["url"]
    twin.script(what="wrong_type", times=1)
    twin.script(what="wrong_type", body={"error": "expired"})
    assert twin.http.get(url).headers["content-type"].startswith("text/html")
    assert twin.http.get(url).json() == {"error": "expired"}
    assert twin.http.get(url).headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("what", ["drop", "truncated", "garbage"])
def test_a_file_may_break(twin: Any, what: str) -> None:
    url = twin.make()["images"][0]["url"]
    whole = twin.http.get(url).content
    twin.script(call="file", what=what)
    try:
        assert twin.http.get(url).content != whole
    except httpx.RemoteProtocolError:
        assert what != "garbage"
    assert twin.http.get(url).content == whole


def test_an_upload_may_fail(twin: Any) -> None:
    twin.script(call="upload", what="http", status=503)
    answer = twin.http.post("/rest/storage/upload/initiate", json={"file_name": "a", "content_type": "text/plain"})
    assert answer.status_code == 503
    assert twin.upload(b"hello")


def test_a_silent_filter_gives_a_black_picture(twin: Any) -> None:
    import io

    from PIL import Image

    twin.script(what="black", endpoint=SCHNELL)
    output = twin.make(body=BODY)
    assert output["has_nsfw_concepts"] == [True]
    with Image.open(io.BytesIO(twin.http.get(output["images"][0]["url"]).content)) as image:
        assert image.getextrema() == ((0, 0), (0, 0), (0, 0))
    assert twin.make(body=BODY)["has_nsfw_concepts"] == [False]


def test_a_run_may_be_stuck_until_it_is_cancelled(twin: Any, until: Any) -> None:
    twin.script(what="stuck", call="status")
    ticket, healthy = twin.submit(), twin.submit()
    assert twin.wait(healthy).status_code == 200
    assert twin.status(ticket).json()["status"] == "IN_PROGRESS"
    assert [line["message"] for line in twin.status(ticket, logs=True).json()["logs"]][-1] == "step 2/4"
    assert twin.http.put(ticket["cancel_url"]).status_code == 202
    assert twin.status(ticket).json()["error_type"] == "client_cancelled"


def test_a_run_may_end_in_an_infrastructure_error(twin: Any) -> None:
    body = {"detail": "Runner disconnected", "error_type": "runner_disconnected"}
    twin.script(what="error", status=503, body=body)
    ticket = twin.submit()
    result = twin.wait(ticket)
    assert (result.status_code, result.json(), result.headers["x-fal-error-type"]) == (503, body, "runner_disconnected")
    status = twin.status(ticket).json()
    assert (status["status"], status["error"], status["error_type"]) == ("COMPLETED", *body.values())


def test_a_model_error_shows_in_the_result_only(twin: Any) -> None:
    detail = [{"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation"}]
    twin.script(what="error", status=422, body={"detail": detail}, headers={"x-fal-retryable": "false"})
    ticket = twin.submit()
    result = twin.wait(ticket)
    assert (result.status_code, result.json()["detail"], result.headers["x-fal-retryable"]) == (422, detail, "false")
    assert "error" not in twin.status(ticket).json()


def test_a_cancel_may_be_ignored_by_a_running_model(twin: Any, until: Any) -> None:
    twin.pace(seconds=0.4)
    twin.script(what="ignored", endpoint=SCHNELL)
    ticket = twin.submit(body=BODY)
    until(lambda: twin.status(ticket).json()["status"] == "IN_PROGRESS", "the run starts")
    answer = twin.http.put(ticket["cancel_url"])
    assert (answer.status_code, answer.json()) == (202, {"status": "CANCELLATION_REQUESTED"})
    assert twin.status(ticket).json()["status"] == "IN_PROGRESS"
    assert twin.wait(ticket).status_code == 200
    assert twin.http.put(ticket["cancel_url"]).json() == {"status": "ALREADY_COMPLETED"}
    (record,) = twin.requests()
    assert (record["is_cancelled"], record["cancels"], record["billed"]["units"]) == (False, 2, 1)


def test_a_cancel_may_be_ignored_by_a_waiting_request_as_well(twin: Any) -> None:
    twin.pace(queue_seconds=0.3)
    twin.script(call="cancel", what="ignored")
    ticket = twin.submit(body=BODY)
    assert twin.http.put(ticket["cancel_url"]).status_code == 202
    assert twin.wait(ticket).status_code == 200


LIST = f"/api/v1/models/requests/by-endpoint?endpoint_id={SCHNELL}"


@pytest.mark.parametrize("what", ["drop", "hang", "truncated"])
def test_a_list_may_break_off(twin: Any, what: str) -> None:
    twin.script(call="list", what=what, seconds=0.1)
    with pytest.raises(httpx.RemoteProtocolError):
        twin.http.get(LIST)
    assert twin.http.get(LIST).json()["items"] == []


def test_a_list_may_be_slow_or_no_json_or_a_page_of_nginx(twin: Any) -> None:
    twin.script(call="list", what="slow", seconds=0.3)
    twin.script(call="list", what="garbage")
    twin.script(call="list", what="nginx")
    slow, garbage, page = (twin.http.get(LIST) for _ in range(3))
    assert slow.elapsed.total_seconds() >= 0.3 and slow.json()["items"] == []
    with pytest.raises(ValueError):
        garbage.json()
    assert page.status_code == 502 and "<center>nginx</center>" in page.text


def test_an_error_of_the_list_is_in_the_platforms_form(twin: Any) -> None:
    twin.script(call="list", what="http", status=429, headers={"Retry-After": "7"})
    twin.script(call="list", what="http")
    twin.script(call="list", what="http", status=401, body={"mine": 1})
    limited, broken, own = (twin.http.get(LIST) for _ in range(3))
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "7")
    assert limited.json()["error"]["type"] == "rate_limited"
    assert (broken.status_code, broken.json()["error"]["type"]) == (500, "server_error")
    assert (own.status_code, own.json()) == (401, {"mine": 1})


def test_a_fault_of_the_list_is_for_the_endpoints_that_are_named(twin: Any) -> None:
    twin.script(call="list", what="http", endpoint="fal-ai/flux/dev")
    assert twin.http.get(LIST).status_code == 200
    assert twin.http.get(f"{LIST},fal-ai/flux/dev").status_code == 500


def test_direct_runs_meet_the_faults_of_submissions(twin: Any) -> None:
    twin.script(call="submit", what="http", status=503, times=1)
    answers = [twin.http.post(f"/run/{SCHNELL}", json=BODY).status_code for _ in range(2)]
    assert answers == [503, 200]


def test_a_fault_happens_as_often_as_ordered(twin: Any) -> None:
    twin.script(call="submit", what="http", status=500, times=2, skip=1)
    assert [submit(twin).status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    twin.script(call="submit", what="http", status=500, times=-1)
    assert {submit(twin).status_code for _ in range(4)} == {500}


def test_a_fault_is_for_its_endpoint_only(twin: Any) -> None:
    twin.script(call="submit", what="http", status=500, endpoint="fal-ai/flux/dev")
    assert submit(twin).status_code == 200
    assert twin.http.post("/queue/fal-ai/flux/dev", json=BODY).status_code == 500


def test_what_is_left_can_be_seen_and_reset(twin: Any) -> None:
    twin.http.post("/_twin/script", json=[{"call": "submit", "what": "drop"}, {"what": "black", "times": 3}])
    left = twin.http.get("/_twin/script").json()["script"]
    assert [(fault["what"], fault["times"]) for fault in left] == [("drop", 1), ("black", 3)]
    twin.http.post("/_twin/reset")
    assert twin.http.get("/_twin/script").json() == {"script": []}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"call": "submit"}, "what: Field required"),
        ({"call": "submit", "what": "explode"}, "what: Input should be 'drop', 'hang'"),
        ({"call": "sbmit", "what": "drop"}, "call: Input should be 'submit', 'status'"),
        ({"what": "drop"}, "call is missing; drop can happen at: submit, status"),
        ({"call": "webhook", "what": "nginx"}, "nginx cannot happen at webhook; allowed: submit"),
        ({"call": "status", "what": "ignored"}, "ignored cannot happen at status; allowed: cancel"),
        ({"call": "submit", "what": "drop", "times": 0}, "times must be -1"),
        ({"call": "submit", "what": "drop", "wat": 1}, "wat: Extra inputs are not permitted"),
        ({"call": "submit", "what": "http", "status": 99}, "status: Input should be greater than or equal to 200"),
        ({"call": "upload", "what": "drop", "endpoint": SCHNELL}, "an upload belongs to no endpoint"),
    ],
)
def test_the_answer_to_a_bad_fault_says_what_is_wrong(twin: Any, fault: dict[str, Any], message: str) -> None:
    answer = twin.http.post("/_twin/script", json=fault)
    assert answer.status_code == 422 and message in answer.json()["detail"]
    assert twin.http.get("/_twin/script").json() == {"script": []}
