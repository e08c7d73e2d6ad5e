"""The gateway as a process on a real socket: signed files, health, start and stop."""

import io
import os
import resource
import signal
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.gateway.conftest import SECRET, Start, address_of
from worker.files.base import Store
from worker.files.signing import sign

KEY = "jobs/j1/images-0.png"
CONTENT = bytes(range(256)) * 4096  # 1 MB


@pytest.fixture
async def url(store: Store) -> str:
    await store.put(KEY, io.BytesIO(CONTENT), "image/png")
    return await store.url(KEY, 60)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"code", "message"}
    return answer.status_code, error["code"]


def test_a_signed_url_opens_the_file(gateway: httpx.Client, url: str) -> None:
    answer = gateway.get(url)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(CONTENT))
    assert answer.headers["content-disposition"] == 'inline; filename="images-0.png"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["content-security-policy"].endswith("sandbox")
    private, age, immutable = answer.headers["cache-control"].split(", ")
    assert (private, immutable) == ("private", "immutable")
    assert 0 < int(age.removeprefix("max-age=")) <= 60
    assert "server" not in answer.headers


def test_head_answers_the_same_without_the_file(gateway: httpx.Client, url: str) -> None:
    full, head = gateway.get(url), gateway.head(url)
    assert (head.status_code, head.content) == (200, b"")
    changing = ("date", "cache-control")
    assert [(k, v) for k, v in head.headers.items() if k not in changing] == [
        (k, v) for k, v in full.headers.items() if k not in changing
    ]


def test_a_range_gives_that_part(gateway: httpx.Client, url: str) -> None:
    answer = gateway.get(url, headers={"range": "bytes=1000-1999"})
    assert (answer.status_code, answer.content) == (206, CONTENT[1000:2000])
    assert answer.headers["content-range"] == f"bytes 1000-1999/{len(CONTENT)}"
    assert gateway.get(url, headers={"range": "bytes=-10"}).content == CONTENT[-10:]
    assert gateway.get(url, headers={"range": f"bytes={len(CONTENT)}-"}).status_code == 416


def test_a_version_that_the_caller_has_is_not_sent_again(gateway: httpx.Client, url: str) -> None:
    etag = gateway.get(url).headers["etag"]
    answer = gateway.get(url, headers={"if-none-match": etag})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert gateway.get(url, headers={"if-none-match": '"another"'}).status_code == 200


async def test_a_file_that_a_browser_could_run_is_only_downloaded(gateway: httpx.Client, store: Store) -> None:
    for name in ("page-0.html", "drawing-0.svg", "weights-0.safetensors", "config-0.json", "script-0.js", "plain"):
        await store.put(f"jobs/j1/{name}", io.BytesIO(b"<script>alert(1)</script>"), "text/html")
        answer = gateway.get(await store.url(f"jobs/j1/{name}", 60))
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["content-type"] in {
            "application/octet-stream",
            "application/json",
            "application/vnd.safetensors",
        }


def test_a_forged_signature_is_refused_as_wrong(gateway: httpx.Client, url: str) -> None:
    path, _, query = url.partition("?")
    for forged in (
        path,
        f"{path}?{query}x",
        f"{path}?expires=99999999999&{query.partition('&')[2]}",
        f"{path}?expires=1",
    ):
        assert refusal(gateway.get(forged)) == (403, "wrong_signature")
    assert refusal(gateway.get(url.replace("images-0", "images-1"))) == (403, "wrong_signature")


def test_an_expired_signature_is_refused_as_expired(gateway: httpx.Client, url: str) -> None:
    assert refusal(gateway.get(f"/files/{KEY}?{sign(SECRET, KEY, time.time() - 1)}")) == (403, "expired_signature")


def test_only_a_valid_signature_learns_that_a_file_is_missing(gateway: httpx.Client, store: Store) -> None:
    signed = f"/files/jobs/j1/gone.png?{sign(SECRET, 'jobs/j1/gone.png', time.time() + 60)}"
    assert refusal(gateway.get(signed)) == (404, "not_found")
    assert refusal(gateway.get("/files/jobs/j1/gone.png")) == (403, "wrong_signature")
    assert refusal(gateway.get(f"/files/jobs?{sign(SECRET, 'jobs', time.time() + 60)}")) == (404, "not_found")


@pytest.mark.parametrize(
    "path",
    ["../secret.txt", "%2e%2e/secret.txt", "jobs/%2e%2e/%2e%2e/secret.txt", "%2Fetc%2Fpasswd", "/etc/passwd", "a%00"],
)
def test_no_path_leaves_the_folder(gateway: httpx.Client, folder: Path, path: str) -> None:
    (folder.parent / "secret.txt").write_text("hush")
    request = gateway.build_request("GET", "/", params=None)
    request.url = request.url.copy_with(raw_path=b"/files/" + path.encode() + b"?expires=99999999999&signature=x")
    answer = gateway.send(request)
    assert answer.status_code in {403, 404}
    assert "hush" not in answer.text


def test_a_link_out_of_the_folder_is_not_followed(gateway: httpx.Client, folder: Path) -> None:
    (folder.parent / "secret.txt").write_text("hush")
    (folder / "link.png").symlink_to(folder.parent / "secret.txt")
    assert refusal(gateway.get(f"/files/link.png?{sign(SECRET, 'link.png', time.time() + 60)}")) == (404, "not_found")


def test_other_methods_and_paths_are_refused_in_the_same_form(gateway: httpx.Client, url: str) -> None:
    answer = gateway.post(url)
    assert refusal(answer) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert refusal(gateway.get("/nowhere")) == (404, "not_found")


def test_a_gateway_with_all_its_parts_is_ready(gateway: httpx.Client) -> None:
    assert gateway.get("/healthz").status_code == 200
    answer = gateway.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "parts": {"ledger": "ok", "store": "ok"}})


def test_a_gateway_without_redis_lives_but_is_not_ready(start: Start) -> None:
    with httpx.Client(
        base_url=address_of(start(KILNHAND_REDIS_URL="redis://127.0.0.1:1/0")), trust_env=False
    ) as client:
        assert client.get("/healthz").status_code == 200
        began = time.monotonic()
        answer = client.get("/readyz")
        assert time.monotonic() - began < 30
    assert (answer.status_code, answer.json()["ready"], answer.json()["parts"]["store"]) == (503, False, "ok")
    assert answer.json()["parts"]["ledger"] != "ok"
    assert "127.0.0.1" not in answer.text


def test_a_check_of_a_redis_that_never_answers_ends_after_a_second(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        redis = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        with httpx.Client(base_url=address_of(start(KILNHAND_REDIS_URL=redis)), trust_env=False) as client:
            answer = client.get("/readyz", timeout=60)
    assert (answer.status_code, answer.json()["parts"]["ledger"]) == (503, "no answer within 1 s")


def test_a_gateway_whose_folder_vanished_is_not_ready(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    with httpx.Client(base_url=address_of(start()), trust_env=False) as client:
        folder.rmdir()
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]) == (503, {"ledger": "ok", "store": "out of reach"})
    assert str(folder) not in answer.text


def test_a_gateway_without_a_secret_does_not_start_and_names_the_variable(start: Start) -> None:
    process = start(KILNHAND_SECRET="")
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert err.startswith("kilnhand gateway: KILNHAND_SECRET is not set")
    assert "Traceback" not in err


def test_a_gateway_for_s3_needs_no_secret_and_serves_no_files(start: Start) -> None:
    environment = {"KILNHAND_SECRET": "", "KILNHAND_STORE_URL": "s3://bucket/prefix", "AWS_REGION": "eu-west-1"}
    with httpx.Client(base_url=address_of(start(**environment)), trust_env=False) as client:
        assert client.get("/healthz").status_code == 200
        assert refusal(client.get(f"/files/{KEY}")) == (404, "not_found")


def test_a_port_in_use_ends_it_with_a_message(gateway: httpx.Client, start: Start) -> None:
    process = start(KILNHAND_GATEWAY_PORT=str(gateway.base_url.port))
    out, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert out == ""
    assert "address already in use" in err


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGINT])
def test_a_gateway_ends_at_once_and_quietly_on_a_signal(start: Start, way: signal.Signals) -> None:
    process = start()
    address_of(process)
    os.kill(process.pid, way)
    _, err = process.communicate(timeout=120)
    assert process.returncode in {0, -way}
    assert err == ""


def test_two_thousand_idle_connections_do_not_close_it_for_others(start: Start) -> None:
    process = start()
    address = httpx.URL(address_of(process))
    if hasattr(resource, "prlimit"):  # a process has often less than 2,000 open files
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (1300, 1300))
    idle = [socket.create_connection((address.host, address.port or 0), 60) for _ in range(2000)]
    try:
        with httpx.Client(base_url=address, trust_env=False, timeout=60) as another:
            assert another.get("/healthz").status_code == 200
    finally:
        for each in idle:
            each.close()
