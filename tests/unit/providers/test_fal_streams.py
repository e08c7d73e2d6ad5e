"""fal's streams: how events are read, where they stop, what a run on the Comfy server came to, links of Hugging Face."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pydantic import SecretStr

from config.keys.comfy import find_comfy_access
from config.settings import FalSettings
from tests.unit.tasks.comfy_workflow import workflow
from worker.errors import (
    AuthenticationError,
    BrokenPieceError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.net.event_stream import StreamBrokenError, StreamLimits, read_events
from worker.providers.base import Call, Reply, RunFailure, Running
from worker.providers.fal import streaming
from worker.providers.fal.comfy_run import ComfyRun
from worker.providers.fal.hugging_face import sign_links
from worker.providers.fal.provider import open_fal
from worker.providers.fal.streaming import FalStream

LIMITS = StreamLimits(total_s=5, silent_s=0.05, event_bytes=100, total_bytes=1000)
FILE = {"url": "https://fal.media/a.png", "filename": "a.png", "type": "output"}
NODES = {node: {"class_type": found["class_type"], "inputs": found["inputs"]} for node, found in workflow().items()}


async def events(*chunks: bytes, end: BaseException | None = None) -> list[bytes]:
    async def raw() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        if end:
            raise end

    return [event async for event in read_events(raw(), LIMITS)]


@pytest.mark.parametrize(
    ("chunks", "found"),
    [
        ([b"data: a\n\ndata:b\n\n"], [b"a", b"b"]),
        ([b"da", b"ta: a\r", b"\n\r\n"], [b"a"]),
        ([b": ping\n\nevent: x\nid: 3\ndata: a\ndata: b\n\n"], [b"a\nb"]),
        ([b"data: a\n\ndata: cut"], [b"a"]),
        ([b"\n\n\n"], []),
    ],
)
async def test_events_are_read_across_chunks(chunks: list[bytes], found: list[bytes]) -> None:
    assert await events(*chunks) == found


@pytest.mark.parametrize(
    "chunks",
    [[b"data: " + b"x" * 200], [b"data: " + b"x" * 60 + b"\n", b"data: " + b"x" * 60 + b"\n"], [b": x\n" * 300]],
)
async def test_a_stream_may_not_bring_too_much(chunks: list[bytes]) -> None:
    with pytest.raises(StreamBrokenError, match="more than"):
        await events(*chunks)


async def test_a_silent_stream_is_given_up() -> None:
    import asyncio

    async def raw() -> AsyncIterator[bytes]:
        yield b"data: a\n\n"
        await asyncio.Event().wait()

    with pytest.raises(StreamBrokenError, match="silent"):
        [event async for event in read_events(raw(), LIMITS)]


def told(*given: Mapping[str, Any]) -> ComfyRun:
    run = ComfyRun(NODES)
    for event in given:
        run.take(event)
    return run


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": data}


SAVED = event("executed", node="10", output={"images": [FILE]})
END = event("executing", node=None)


def test_progress_counts_nodes_and_steps() -> None:
    run = told(
        event("execution_cached", nodes=["1", "2"]), event("executing", node="8"), event("progress", value=3, max=4)
    )
    assert run.running == Running(("node 8 (KSampler): 3/4",), 0.275)
    run.take(event("executing", node="9"))
    assert run.running.logs == ("node 8 (KSampler): done", "node 9 (VAEDecode): is running")
    assert run.running.progress == 0.3 and not run.is_over


@pytest.mark.parametrize("last", [END, event("execution_success")])
def test_a_run_that_has_ended_brings_the_files_of_each_node(last: dict[str, Any]) -> None:
    run = told(event("executing", node="10"), SAVED, last)
    assert run.is_over
    assert run.outcome(is_cut=False) == Reply(
        {"outputs": [{"node": "10", "files": [{"url": FILE["url"], "file_name": "a.png"}], "texts": []}]}
    )


def test_a_stream_that_ends_before_the_run_has_no_outcome() -> None:
    assert told(event("executing", node="8")).outcome(is_cut=False) is None
    assert isinstance(told(SAVED).outcome(is_cut=False), Reply), "every node has run that hands nothing on"


def test_previews_count_only_where_there_is_nothing_else() -> None:
    temp = {**FILE, "type": "temp", "url": "https://fal.media/t.png"}
    both = told(event("executed", node="10", output={"images": [temp, FILE], "text": ["words"]}), END).outcome(
        is_cut=False
    )
    assert isinstance(both, Reply)
    assert both.output["outputs"][0] == {
        "node": "10", "files": [{"url": FILE["url"], "file_name": "a.png"}], "texts": ["words"]
    }  # fmt: skip
    alone = told(event("executed", node="10", output={"images": [temp]}), END).outcome(is_cut=False)
    assert isinstance(alone, Reply) and len(alone.output["outputs"][0]["files"]) == 1


NODE_ERRORS = {"8": {"class_type": "KSampler", "errors": [{"message": "Value not in list", "details": "sampler_name"}]}}


@pytest.mark.parametrize(
    ("given", "cls", "message"),
    [
        (event("execution_error", node_id="8", exception_message="out of memory"), RequestRefusedError, "node 8 (KSampler) failed: out of memory"),
        (event("execution_error", node_id="77", node_type="X"), RequestRefusedError, "node 77 (X) failed"),
        (event("fal-execution-error", code=400, error={"error": {"message": "node Foo does not exist."}}), RequestRefusedError, "node Foo does not exist."),
        (event("fal-execution-error", code=400, error={"error": {"message": "invalid"}, "node_errors": NODE_ERRORS}), RequestRefusedError, "node 8 (KSampler): Value not in list: sampler_name"),
        (event("fal-execution-error", code=500, error="boom"), BrokenPieceError, "boom"),
        ({"type": "fal-execution-error", "data": "boom"}, BrokenPieceError, "boom"),
        (END, BrokenPieceError, "it needs a node that saves"),
    ],
)  # fmt: skip
def test_a_failed_run_says_where_and_why(given: dict[str, Any], cls: type[ExternalServiceError], message: str) -> None:
    outcome = told(given).outcome(is_cut=False)
    assert isinstance(outcome, RunFailure) and type(outcome.error) is cls
    assert message in outcome.error.message


@pytest.mark.parametrize(
    "odd",
    [{}, {"type": 3}, event("progress", value="x", max=0), event("executing", node="404"), event("execution_cached", nodes=3)],
)  # fmt: skip
def test_odd_events_change_nothing(odd: dict[str, Any]) -> None:
    run = told(odd)
    assert not run.is_over and run.outcome(is_cut=False) is None


class Server(httpx.AsyncBaseTransport):
    """Answers every POST in the same way, and keeps what was sent."""

    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.answer, self.sent = answer, list[httpx.Request]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def stream_of(*given: Any, cut: bool = False) -> httpx.Response:
    async def body() -> AsyncIterator[bytes]:
        for each in given:
            yield f"data: {json.dumps(each)}\n\n".encode()
        if cut:
            raise httpx.ReadError("reset")

    headers = {"content-type": "text/event-stream; charset=utf-8", "x-fal-billable-units": "2"}
    return httpx.Response(200, headers=headers, content=body())


async def opened(
    server: Server, hub: Any = None, env: Mapping[str, str] | None = None, nodes: Path | None = None
) -> FalStream:
    settings = FalSettings(fal_base_url="http://twin", fal_stream_s=2, fal_comfy_nodes=nodes)
    access = find_comfy_access(Path("/nonexistent"), env or {})
    fal = await open_fal(settings, None, server)
    client = httpx.AsyncClient(transport=httpx.MockTransport(hub or (lambda request: httpx.Response(500))))
    return FalStream(fal, settings, access, client)


CALL = Call("job", "fal-ai/comfy-server/stream", {"prompt": NODES, "fal_inputs": {}})


async def submit(server: Server, call: Call = CALL, **given: Any) -> Any:
    provider = await opened(server, **given)
    try:
        return await provider.submit(call)
    finally:
        await provider.aclose()


async def test_a_run_is_one_post_and_reports_its_progress() -> None:
    server, heard = Server(stream_of(event("executing", node="8"), SAVED, END)), list[tuple[str, Running]]()
    provider = await opened(server)
    provider.listener = lambda job, running: heard.append((job, running))
    reply = await provider.submit(CALL)
    await provider.aclose()

    assert isinstance(reply, Reply)
    assert (reply.billed_units, reply.version) == (2.0, "fal-ai/comfy-server/stream")
    assert [str(request.url) for request in server.sent] == ["http://twin/run/fal-ai/comfy-server/stream"]
    assert server.sent[0].headers["accept"] == "text/event-stream"
    assert "job=job" in server.sent[0].headers["x-fal-tags"]
    assert [job for job, _ in heard] == ["job"] * 3 and heard[0][1].logs == ("node 8 (KSampler): is running",)


@pytest.mark.parametrize(
    ("answer", "cls"),
    [
        (stream_of(event("executing", node="8")), SubmitUnknownError),
        (stream_of(event("executing", node="8"), cut=True), SubmitUnknownError),
        (stream_of(), SubmitUnknownError),
        (httpx.Response(200, json={"images": []}), SubmitUnknownError),
        (httpx.Response(502, text="nginx"), SubmitUnknownError),
        (httpx.Response(500, json={"detail": "x"}, headers={"x-fal-error-type": "runner_error"}), SubmitUnknownError),
        (httpx.Response(503, json={"detail": "x"}, headers={"x-fal-error-type": "no_runner"}), SubmitUnknownError),
        (httpx.Response(429, json={"detail": "later"}), RateLimitError),
        (httpx.ReadTimeout("slow"), SubmitUnknownError),
        (httpx.ConnectError("refused"), ServiceUnavailableError),
        (httpx.Response(422, json={"detail": "no"}), RequestRefusedError),
        (httpx.Response(401, json={"detail": "no"}), AuthenticationError),
        (httpx.Response(403, json={"detail": "User is locked"}), AuthenticationError),
        (httpx.Response(307, headers={"location": "https://elsewhere"}), SubmitUnknownError),
    ],
)
async def test_a_lost_stream_is_unknown_and_a_refusal_is_not(answer: Any, cls: type[Exception]) -> None:
    server = Server(answer)
    with pytest.raises(cls):
        await submit(server)
    assert len(server.sent) == 1


@pytest.mark.parametrize("events", [(SAVED, END), (SAVED,)])
async def test_a_break_after_the_last_output_does_no_harm(events: tuple[dict[str, Any], ...]) -> None:
    assert isinstance(await submit(Server(stream_of(*events, cut=True))), Reply)


async def test_silence_after_the_last_output_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield f"data: {json.dumps(SAVED)}\n\n".encode()
            await asyncio.sleep(3600)

    monkeypatch.setattr(streaming, "SILENT_S", 0.05)
    answer = httpx.Response(200, stream=Silent(), headers={"content-type": "text/event-stream"})
    assert isinstance(await submit(Server(answer)), Reply)


@pytest.mark.parametrize("answer", [stream_of({"output": "a"}, cut=True), stream_of()])
async def test_a_stream_of_another_endpoint_without_a_whole_answer_is_unknown(answer: httpx.Response) -> None:
    with pytest.raises(SubmitUnknownError):
        await submit(Server(answer), Call("job", "me/app", {"prompt": "x"}))


async def test_the_last_event_is_the_answer_of_any_other_endpoint() -> None:
    server = Server(stream_of({"output": "a"}, {"output": "ab", "image": {"url": "https://x/y.png"}}))
    reply = await submit(server, Call("job", "me/app", {"prompt": "x"}))
    assert reply.output["output"] == "ab" and str(server.sent[0].url) == "http://twin/run/me/app/stream"


async def test_another_comfy_server_is_used_and_named() -> None:
    server = Server(stream_of(SAVED, END))
    reply = await submit(server, env={"FAL_COMFY_ENDPOINT": "me/comfy/stream"})
    assert str(server.sent[0].url) == "http://twin/run/me/comfy/stream" and reply.version == "me/comfy/stream"


async def test_a_node_that_the_server_lacks_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    nodes = tmp_path / "object_info.json"
    nodes.write_text(
        json.dumps(
            {kind: {} for kind in {each["class_type"] for each in NODES.values()} - {"KSampler"}}
            | {"KSamplerAdvanced": {}}
        )
    )
    server = Server(stream_of(SAVED, END))
    with pytest.raises(
        RequestRefusedError,
        match=r"workflow.8.class_type: the Comfy server has no node 'KSampler'; similar: KSamplerAdvanced",
    ):
        await submit(server, nodes=nodes)
    assert server.sent == []


ADDRESS = "https://huggingface.co/me/private/resolve/main/model.safetensors"
LINK = "https://cas-bridge.xethub.hf.co/x?X-Amz-Signature=s3cret"
TOKEN = "hf_t0ken"


def hub(answer: httpx.Response, asked: list[httpx.Request] | None = None) -> Any:
    def handle(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(request)
        return answer

    return handle


async def test_the_token_goes_to_hugging_face_alone() -> None:
    asked: list[httpx.Request] = []
    graph = {**NODES, "1": {"class_type": "RemoteCheckpointLoader_fal", "inputs": {"ckpt_url": ADDRESS}}}
    broken = event("execution_error", node_id="1", exception_message=f"Failed to download {LINK}")
    server = Server(stream_of(broken))
    signed = httpx.Response(302, headers={"location": LINK})
    outcome = await submit(
        server,
        Call("job", "fal-ai/comfy-server/stream", {"prompt": graph}),
        hub=hub(signed, asked),
        env={"HF_TOKEN": TOKEN},
    )
    sent = server.sent[0]

    assert [str(each.url) for each in asked] == [ADDRESS] and asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert LINK in sent.content.decode() and TOKEN not in sent.content.decode() + str(sent.headers)
    assert ADDRESS in outcome.error.message and "s3cret" not in outcome.error.message


LONG_LINK = f"https://cas-bridge.xethub.hf.co/{'y' * 400}?X-Amz-Signature=s3cret&x-id=GetObject"


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize("link", [LINK, LONG_LINK])
@pytest.mark.parametrize("shown", [str, lambda link: link.partition("?")[2], lambda link: quote(link, safe="")])
async def test_no_refusal_shows_a_signed_link(status: int, link: str, shown: Callable[[str], str]) -> None:
    server = Server(httpx.Response(status, json={"detail": f"Value not in list: {shown(link)}"}))
    call = Call("job", "fal-ai/comfy-server/stream", {"prompt": {"1": {"inputs": {"url": ADDRESS}}}})
    with pytest.raises(ExternalServiceError) as refused:
        await submit(server, call, hub=hub(httpx.Response(302, headers={"location": link})), env={"HF_TOKEN": TOKEN})
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "cls"),
    [
        (httpx.Response(401), RequestRefusedError),
        (httpx.Response(404), RequestRefusedError),
        (httpx.Response(500), ServiceUnavailableError),
    ],
)
async def test_a_file_that_the_token_may_not_read_is_refused_before_anything_is_sent(
    answer: httpx.Response, cls: type[Exception]
) -> None:
    call = Call("job", "fal-ai/comfy-server/stream", {"prompt": {}, "fal_inputs": {"x": ADDRESS}})
    server = Server(stream_of(SAVED, END))
    with pytest.raises(cls, match="/me/private/resolve/main/model") as refused:
        await submit(server, call, hub=hub(answer), env={"HF_TOKEN": TOKEN})
    assert server.sent == [] and TOKEN not in str(refused.value)


async def test_a_small_file_and_another_host_keep_their_addresses() -> None:
    client = httpx.AsyncClient(transport=httpx.MockTransport(hub(httpx.Response(200))))
    arguments = {"a": ADDRESS, "b": "https://example.com/me/x/resolve/main/y"}
    assert (await sign_links(client, SecretStr(TOKEN), arguments)).put_into(arguments) == arguments


INI = "[fal]\napplication_name = me/from-file/stream\n[huggingface]\ntoken = hf_file\n"


@pytest.mark.parametrize(
    ("ini", "env", "endpoint", "token"),
    [
        ("", {}, "fal-ai/comfy-server/stream", None),
        (INI, {}, "me/from-file/stream", "hf_file"),
        (INI, {"FAL_COMFY_ENDPOINT": "me/from-env/stream", "HF_TOKEN": "hf_env"}, "me/from-env/stream", "hf_env"),
        ("[fal]\napi_key = a:b\n", {"HF_TOKEN": " "}, "fal-ai/comfy-server/stream", None),
    ],
)
def test_the_endpoint_and_the_token_are_found(
    ini: str, env: dict[str, str], endpoint: str, token: str | None, tmp_path: Path
) -> None:
    (tmp_path / "fal-config.ini").write_text(ini)
    access = find_comfy_access(tmp_path, env)
    assert access.endpoint == endpoint
    assert (access.hugging_face and access.hugging_face.get_secret_value()) == token
    assert "hf_" not in repr(access)


@pytest.mark.parametrize("endpoint", ["https://fal.run/me/x", "comfy", "me/../x", "me/x?y=1"])
def test_an_endpoint_that_cannot_be_one_is_refused(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="FAL_COMFY_ENDPOINT"):
        find_comfy_access(tmp_path, {"FAL_COMFY_ENDPOINT": endpoint})
