"""Any endpoint and any answer, through a real worker and the twin: files of any shape are kept, and nothing is lost."""

import base64
import io
import json
import zipfile
from typing import Any

import pytest
from celery import chain

from tasks.editing import upscale
from tasks.generation import run, workflow
from tests.acceptance.conftest import HTTP, Twin
from tests.unit.tasks.pictures import photo
from twin.mesh import write_mesh
from worker.cli.processes.stack import Stack

PICTURE = photo(160, 120, orientation=1)
URI = "data:image/jpeg;base64," + base64.b64encode(PICTURE.data).decode()
ODD = "acme/odd"


def _zip() -> bytes:
    spool = io.BytesIO()
    with zipfile.ZipFile(spool, "w") as packed:
        packed.writestr("readme.txt", "a kiln")
    return spool.getvalue()


def _answer(twin: Twin, body: Any) -> None:
    """The next run of the odd endpoint ends with this answer."""
    twin.platform(any_endpoint=True)
    twin.script(provider="fal", endpoint=ODD, what="error", status=200, body=body)


def _bytes(file: dict[str, Any]) -> bytes:
    return HTTP.get(file["url"]).raise_for_status().content


def _uri(data: bytes, content_type: str) -> str:
    return f"data:{content_type};base64,{base64.b64encode(data).decode()}"


def test_files_deep_in_an_answer_become_ours(stack: Stack, twin: Twin) -> None:
    result = run.delay(model="fal-ai/hunyuan3d-v3/image-to-3d", arguments={"input_image_url": URI}).get(timeout=120)

    answer = result["answer"]
    assert [file["content_type"] for file in result["files"]] == [
        *("model/gltf-binary", "model/gltf-binary", "image/jpeg", "image/jpeg")
    ]
    assert answer["model_urls"]["textures"]["base_color"]["url"] == result["files"][2]["url"]
    assert answer["thumbnail"]["url"] == result["images"][1]["url"]
    assert _bytes(result["files"][0])[:4] == b"glTF"
    assert result["images"][0]["width"] and result["video"] is None
    assert (result["seed"], result["cost"]["usd"]) == (answer["seed"], None)
    assert twin.url not in json.dumps(answer)


def test_our_files_are_brought_wherever_they_stand(stack: Stack, twin: Twin) -> None:
    mesh = run.delay(model="fal-ai/hunyuan3d/v2", arguments={"input_image_url": URI}).get(timeout=120)
    _answer(twin, {"text": "seen"})
    given = {"scene": {"meshes": [{"mesh_url": mesh["files"][0]["key"], "note": "jobs are plain text"}]}, "image": 3}

    run.delay(model=ODD, arguments=given).get(timeout=120)

    (record,) = twin.requests(ODD)
    sent = record["input"]["scene"]["meshes"][0]
    assert sent["note"] == "jobs are plain text" and record["input"]["image"] == 3
    assert HTTP.get(sent["mesh_url"]).raise_for_status().content[:4] == b"glTF"


@pytest.mark.parametrize(
    ("body", "types"),
    [
        pytest.param([URI, URI], ["image/jpeg"], id="a bare list, the same file twice"),
        pytest.param("Only words: data: none", [], id="text only"),
        pytest.param([1, 2.5, None], [], id="a list of numbers"),
        pytest.param(
            {"data": [{"b64_json": base64.b64encode(PICTURE.data).decode()}]}, ["image/jpeg"], id="base64 in JSON"
        ),
        pytest.param({"pack": _uri(_zip(), "application/zip")}, ["application/zip"], id="a zip"),
        pytest.param(
            {"m": _uri(write_mesh("m"), "application/octet-stream")}, ["application/octet-stream"], id="a mesh"
        ),
        pytest.param({"cues": _uri(b'{"a": 1}', "application/json")}, ["application/json"], id="a JSON file"),
        pytest.param(
            {"o": {"url": "data:image/png;base64,iVBORw0KGgoAAAA="}}, [], id="no picture, although it says so"
        ),
        pytest.param({"see": "https://example.com/about", "n": {}}, [], id="a link"),
    ],
)
def test_no_answer_is_lost_for_its_shape(stack: Stack, twin: Twin, body: Any, types: list[str]) -> None:
    _answer(twin, body)

    result = run.delay(model=ODD, arguments={"x": 1}).get(timeout=120)

    assert [file["content_type"] for file in result["files"]] == types
    assert (result["answer"] if isinstance(body, dict) else result["answer"]["output"]) is not None
    assert twin.count == 1


def test_a_run_fits_into_a_chain(stack: Stack, twin: Twin) -> None:
    drawn = run.s(model="flux-schnell", arguments={"prompt": "a kiln", "num_images": 2})

    result = chain(drawn, upscale.s()).apply_async().get(timeout=120)

    assert result["images"][0]["width"]


def test_a_workflow_takes_a_chains_picture_and_typed_inputs(stack: Stack, twin: Twin) -> None:
    drawn = run.s(model="flux-schnell", arguments={"prompt": "a person"})
    edit = workflow.s(model="editing-workflow", inputs={"prompt": "a red coat", "strength": 0.5})

    result = chain(drawn, edit).apply_async().get(timeout=120)

    (record,) = twin.requests("workflows/Shootify/editing-workflow")
    assert record["input"]["strength"] == 0.5 and record["input"]["image_url"].startswith("http")
    assert [each["url"] for each in result["answer"]["edited"].values()] == [file["url"] for file in result["files"]]
    assert result["provenance"]["asked_for"] == "editing-workflow"


def test_any_workflow_runs_by_its_name(stack: Stack, twin: Twin) -> None:
    result = workflow.delay(model="workflows/me/mine", inputs={"prompt": "a fox"}).get(timeout=120)

    assert result["images"][0]["width"] and result["endpoint"] == "workflows/me/mine"


def test_a_direct_call_has_its_answer_in_the_call(stack: Stack, twin: Twin) -> None:
    asked = {"model": "flux-schnell", "arguments": {"prompt": "a jade cup", "image_size": "square"}, "mode": "direct"}
    result = run.delay(**asked).get(timeout=120)

    (request,) = twin.requests("fal-ai/flux/schnell")
    assert request["is_direct"] and request["polls"] == 0
    assert (result["provider"], result["endpoint"]) == ("fal-direct", "fal-ai/flux/schnell")
    assert len(result["images"]) == 1 and result["answer"]["images"][0]["url"] == result["images"][0]["url"]


def test_parts_of_a_streamed_answer_are_in_the_status(stack: Stack, twin: Twin) -> None:
    twin.pace(endpoints={"openrouter/router": 4.0})
    job = run.delay(
        model="openrouter/router", arguments={"prompt": "Name a colour.", "model": "openai/gpt-4.1"}, mode="stream"
    )
    result = job.get(timeout=120)
    assert result["answer"]["output"] and result["provider"] == "fal-stream"

    drawn = workflow.delay(model="workflows/acme/cups", inputs={"prompt": "a cup"}, mode="stream").get(timeout=120)
    assert drawn["images"] and drawn["provider"] == "fal-stream"
