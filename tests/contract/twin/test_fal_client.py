"""The official fal-client, unmodified, works with the twin in every verb, sync and async."""

import asyncio
import io
import json
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import certifi
import fal_client
import fal_client.client as wire
import httpx
import msgpack
import pytest
from PIL import Image

SCHNELL = "fal-ai/flux/schnell"
BIG = 101 * 1024 * 1024


class AsyncFlavour:
    """fal_client.AsyncClient, unmodified."""

    def __init__(self, key: str) -> None:
        self.client: Any = fal_client.AsyncClient(key=key)

    async def call(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        return await getattr(self.client, verb)(*args, **kwargs)

    async def of(self, handle: Any, verb: str, **kwargs: Any) -> Any:
        return await getattr(handle, verb)(**kwargs)

    async def events(self, handle: Any) -> list[Any]:
        return [event async for event in handle.iter_events(with_logs=True, interval=0.01)]

    async def stream(self, *args: Any) -> list[Any]:
        return [event async for event in self.client.stream(*args)]

    async def talk(self, app: str, *messages: dict[str, Any], **options: Any) -> list[Any]:
        async with self.client.realtime(app, **options) as connection:
            answers = []
            for message in messages:
                await connection.send(message)
                answers.append(await connection.recv())
            return answers

    async def raw(self, app: str, text: str, **options: Any) -> list[Any]:
        async with self.client.ws_connect(app, **options) as socket:
            await socket.send(text)
            return [await socket.recv(), await socket.recv()]

    async def close(self) -> None:
        await (await self.client._client).aclose()


class SyncFlavour:
    """fal_client.SyncClient, each call in a thread."""

    def __init__(self, key: str) -> None:
        self.client: Any = fal_client.SyncClient(key=key)
        self._opened: list[httpx.Client] = []
        open_cdn = self.client._get_cdn_client
        # The SDK opens a client for each upload and never closes it (client.py, 1.0.3); remembered, to be closed by us.
        self.client.__dict__["_get_cdn_client"] = lambda: self._opened.append(open_cdn()) or self._opened[-1]

    async def call(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(getattr(self.client, verb), *args, **kwargs)

    async def of(self, handle: Any, verb: str, **kwargs: Any) -> Any:
        return await asyncio.to_thread(getattr(handle, verb), **kwargs)

    async def events(self, handle: Any) -> list[Any]:
        return await asyncio.to_thread(lambda: list(handle.iter_events(with_logs=True, interval=0.01)))

    async def stream(self, *args: Any) -> list[Any]:
        return await asyncio.to_thread(lambda: list(self.client.stream(*args)))

    async def talk(self, app: str, *messages: dict[str, Any], **options: Any) -> list[Any]:
        def run() -> list[Any]:
            with self.client.realtime(app, **options) as connection:
                answers = []
                for message in messages:
                    connection.send(message)
                    answers.append(connection.recv())
                return answers

        return await asyncio.to_thread(run)

    async def raw(self, app: str, text: str, **options: Any) -> list[Any]:
        def run() -> list[Any]:
            with self.client.ws_connect(app, **options) as socket:
                socket.send(text)
                return [socket.recv(), socket.recv()]

        return await asyncio.to_thread(run)

    async def close(self) -> None:
        for http in (self.client._client, *self._opened):
            http.close()


@pytest.fixture(scope="module")
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trust store with the first certificate of the usual one."""
    first, end, _ = Path(certifi.where()).read_text("utf-8").partition("-----END CERTIFICATE-----\n")
    path = tmp_path_factory.mktemp("trust") / "one.pem"
    path.write_text(first + end, "utf-8")
    return path


@pytest.fixture(params=[AsyncFlavour, SyncFlavour], ids=["async", "sync"])
async def fal(
    request: pytest.FixtureRequest, twin: Any, monkeypatch: pytest.MonkeyPatch, one_certificate: Path
) -> AsyncIterator[Any]:
    """A sync and an async client; constants of the SDK point them at the twin."""
    # Each of the SDK's many clients loads its trust store, 140 certificates or this one; nothing here speaks TLS.
    monkeypatch.setenv("SSL_CERT_FILE", str(one_certificate))
    monkeypatch.setattr(wire, "RUN_URL_FORMAT", f"{twin.url}/run/")
    monkeypatch.setattr(wire, "QUEUE_URL_FORMAT", f"{twin.url}/queue/")
    monkeypatch.setattr(wire, "REALTIME_URL_FORMAT", f"{twin.url}/run/".replace("http", "ws", 1))
    monkeypatch.setattr(wire, "REST_URL", f"{twin.url}/rest")
    monkeypatch.setattr(wire, "CDN_URL", f"{twin.url}/cdn")
    flavour = request.param("id:secret")
    yield flavour
    await flavour.close()


async def size_at(url: str) -> tuple[int, int]:
    async with httpx.AsyncClient(verify=False) as http:
        response = await http.get(url)
    with Image.open(io.BytesIO(response.content)) as image:
        return image.size


async def test_submit_status_and_result_bring_a_picture(fal: Any) -> None:
    handle = await fal.call("submit", SCHNELL, {"prompt": "a fox"}, hint="h", priority="low", start_timeout=20)
    result = await fal.of(handle, "get", interval=0.01)
    assert await size_at(result["images"][0]["url"]) == (1024, 768)
    status = await fal.call("status", SCHNELL, handle.request_id, with_logs=True)
    assert isinstance(status, fal_client.Completed) and status.error is None
    assert status.metrics["inference_time"] >= 0.02
    assert (await fal.call("result", SCHNELL, handle.request_id)) == result


async def test_subscribe_reports_queue_and_progress(fal: Any, twin: Any) -> None:
    twin.pace(seconds=0.4, queue_seconds=0.15)
    seen: list[Any] = []
    ids: list[str] = []
    result = await fal.call(
        "subscribe",
        SCHNELL,
        {"prompt": "a fox"},
        with_logs=True,
        interval=0.02,
        on_enqueue=ids.append,
        on_queue_update=seen.append,
    )
    kinds = [type(event) for event in seen]
    assert list(dict.fromkeys(kinds)) == [fal_client.Queued, fal_client.InProgress, fal_client.Completed]
    assert seen[-1].logs[-1]["message"] == "step 4/4"
    assert {"message", "timestamp", "level", "source"} <= seen[-1].logs[0].keys()
    assert result["prompt"] == "a fox" and len(ids) == 1


async def test_a_handle_iterates_over_events(fal: Any) -> None:
    handle = await fal.call("submit", SCHNELL, {"prompt": "a fox"})
    assert isinstance((await fal.events(handle))[-1], fal_client.Completed)


async def test_cancel_ends_a_request(fal: Any, twin: Any) -> None:
    twin.pace(seconds=30)
    handle = await fal.call("submit", SCHNELL, {"prompt": "a fox"})
    await fal.of(handle, "cancel")
    status = await fal.of(handle, "status")
    assert isinstance(status, fal_client.Completed) and status.error_type == "client_cancelled"
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        await fal.call("cancel", SCHNELL, handle.request_id)
    assert caught.value.status_code == 400


async def test_subscribe_gives_up_in_time_and_cancels(fal: Any, twin: Any) -> None:
    twin.pace(seconds=30)
    with pytest.raises(fal_client.FalClientTimeoutError) as caught:
        await fal.call("subscribe", SCHNELL, {"prompt": "a fox"}, client_timeout=1.01)
    record = twin.requests()[0]
    assert (record["request_id"], record["error_type"]) == (caught.value.request_id, "client_cancelled")


async def test_run_answers_with_the_output(fal: Any) -> None:
    result = await fal.call("run", "fal-ai/flux/dev", {"prompt": "a fox", "image_size": "square", "seed": 5})
    assert result["seed"] == 5 and await size_at(result["images"][0]["url"]) == (512, 512)


async def test_stream_yields_growing_outputs(fal: Any) -> None:
    events = await fal.stream("openrouter/router", {"prompt": "hello there", "model": "openai/gpt-4.1"})
    texts = [event["output"] for event in events]
    assert len(texts) > 1 and texts == sorted(texts, key=len) and texts[-1].endswith("hello there")


async def test_a_workflow_streams_its_nodes(fal: Any) -> None:
    events = await fal.stream("workflows/fal-ai/sdxl-sticker", {"prompt": "a fox"})
    assert [event["type"] for event in events] == ["submit", "completion", "output"]


@pytest.mark.parametrize("app", ["workflows/me/flow", "comfy/me/graph/sub", "fal-ai/flux/schnell/deeper"])
async def test_ids_of_every_depth_poll_on_their_app(fal: Any, twin: Any, app: str) -> None:
    twin.platform(any_endpoint=True)
    handle = await fal.call("submit", app, {"prompt": "a fox"})
    assert (await fal.of(handle, "get", interval=0.01)) == await fal.call("result", app, handle.request_id)


@pytest.mark.parametrize("repository", ["fal_v3", "fal"])
async def test_upload_brings_the_bytes_back(fal: Any, repository: str) -> None:
    url = await fal.call("upload", b"hello", "text/plain", "a.txt", repository=repository)
    async with httpx.AsyncClient(verify=False) as http:
        response = await http.get(url)
    assert (response.content, response.headers["content-type"]) == (b"hello", "text/plain; charset=utf-8")


async def test_upload_falls_back_to_the_second_repository(
    fal: Any, twin: Any, caplog: pytest.LogCaptureFixture
) -> None:
    twin.script(call="upload", what="http", status=500)
    url = await fal.call("upload", b"hello", "text/plain", "a.txt")
    async with httpx.AsyncClient(verify=False) as http:
        assert (await http.get(url)).content == b"hello"
    assert "falling back to fal" in caplog.text


async def test_upload_takes_a_life_time(fal: Any) -> None:
    lifecycle = fal_client.client.StorageSettings(expires_in="1h")
    assert await fal.call("upload", b"hello", "text/plain", lifecycle=lifecycle)


async def test_upload_file_above_100_mb_goes_in_pieces(fal: Any, tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    with path.open("wb") as file:
        file.truncate(BIG)
        file.seek(BIG - 4)
        file.write(b"tail")
    url = await fal.call("upload_file", path)
    async with httpx.AsyncClient(verify=False) as http, http.stream("GET", url) as response:
        assert response.headers["content-length"] == str(BIG)
        size, last = 0, b""
        async for chunk in response.aiter_raw():
            size, last = size + len(chunk), (last + chunk)[-4:]
    assert (size, last) == (BIG, b"tail")


async def test_pieces_are_put_in_order_of_their_numbers(fal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MULTIPART_THRESHOLD", 10)
    monkeypatch.setattr(wire, "MULTIPART_CHUNK_SIZE", 7)
    data = bytes(range(256)) * 2
    url = await fal.call("upload", data, "application/octet-stream", "a.bin")
    async with httpx.AsyncClient(verify=False) as http:
        assert (await http.get(url)).content == data


async def test_upload_image_can_be_worked_over(fal: Any) -> None:
    url = await fal.call("upload_image", Image.new("RGB", (320, 240), (200, 40, 40)), format="png")
    result = await fal.call("run", "fal-ai/flux/dev/image-to-image", {"image_url": url, "prompt": "bluer"})
    assert await size_at(result["images"][0]["url"]) == (320, 240)


@pytest.mark.parametrize("use_jwt", [True, False])
async def test_realtime_answers_each_message(fal: Any, twin: Any, use_jwt: bool) -> None:
    twin.platform(any_endpoint=True)
    answers = await fal.talk("fal-ai/fast-lcm", {"prompt": "a"}, {"prompt": "b"}, use_jwt=use_jwt)
    assert [answer["prompt"] for answer in answers] == ["a", "b"]


@pytest.mark.parametrize("use_jwt", [True, False])
async def test_a_bare_websocket_takes_json_and_answers_msgpack(fal: Any, twin: Any, use_jwt: bool) -> None:
    twin.platform(any_endpoint=True)
    hello, answer = await fal.raw("fal-ai/fast-lcm", json.dumps({"prompt": "a"}), path="realtime", use_jwt=use_jwt)
    assert json.loads(hello)["type"] == "x-fal-message"
    assert msgpack.unpackb(answer)["prompt"] == "a"


async def test_realtime_reports_errors(fal: Any) -> None:
    with pytest.raises(fal_client.client.RealtimeError, match="MODEL_ERROR"):
        await fal.talk(SCHNELL, {"prompt": 3})


@pytest.mark.parametrize(
    ("key", "endpoint", "status", "message"),
    [
        ("bad", SCHNELL, 401, "Invalid key"),
        ("locked", SCHNELL, 403, "User is locked. Reason: Exhausted balance"),
        ("good", "fal-ai/flux-realism", 404, 'Application "fal-ai/flux-realism" not found'),
        ("good", "fal-ai/flux-pro", 404, "not found"),
    ],
)
async def test_account_errors_reach_the_caller(fal: Any, key: str, endpoint: str, status: int, message: str) -> None:
    flavour = type(fal)(key)
    for verb in ("submit", "run"):
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            await flavour.call(verb, endpoint, {"prompt": "a fox"})
        assert caught.value.status_code == status and message in caught.value.message
    await flavour.close()


async def test_a_refused_input_is_a_list_of_details(fal: Any) -> None:
    for verb in ("run", "subscribe"):
        with pytest.raises(fal_client.FalClientHTTPError) as caught:
            await fal.call(verb, SCHNELL, {"num_images": 9})
        error = caught.value
        assert error.status_code == 422 and error.response_headers["x-fal-retryable"] == "false"
        assert {entry["type"] for entry in error.message} == {"missing", "less_than_equal"}


async def test_a_result_read_too_early_is_400(fal: Any, twin: Any) -> None:
    twin.pace(seconds=30)
    handle = await fal.call("submit", SCHNELL, {"prompt": "a fox"})
    response = twin.http.get(handle.response_url)
    assert (response.status_code, response.json()) == (400, {"detail": "Request is still in progress"})


async def test_an_unknown_request_is_404(fal: Any) -> None:
    with pytest.raises(fal_client.FalClientHTTPError) as caught:
        await fal.call("status", SCHNELL, "00000000-0000-0000-0000-000000000000")
    assert caught.value.status_code == 404 and "NOT_FOUND" in str(caught.value)


async def test_the_old_cdn_name_still_works(fal: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        assert await fal.call("upload", b"hello", "text/plain", repository="cdn")
