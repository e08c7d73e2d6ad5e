"""A ComfyUI workflow: what is sent for it, what is refused by field, and how its files are sorted."""

from typing import Any

import pytest

from config.catalogue import load_catalogue
from config.mapping import arguments_for
from tasks.generation.comfy import comfy
from tasks.generation.comfy.result import ComfyCheck
from tasks.generation.comfy.task import INLINE
from tests.unit.tasks.comfy_workflow import LOAD, workflow
from worker.errors import InvalidRequestError
from worker.jobs.file_arguments import file_arguments
from worker.jobs.job import Step
from worker.jobs.status import VALUES

URL = "https://example.com/photo.png"


def ordered(**given: Any) -> Step:
    return comfy._read({"workflow": workflow(), **given})[2]


def refusal(**given: Any) -> str:
    with pytest.raises(InvalidRequestError) as refused:
        ordered(**given)
    return refused.value.message


def test_the_call_is_that_of_the_connector() -> None:
    step = ordered(
        workflow=workflow(n11=LOAD), inputs={"prompt": "a jar", "steps": 24}, files=[{"node": "11", "image": URL}]
    )
    route = load_catalogue().find("comfy").first_route
    sent = arguments_for(route, step.arguments, step.extra)

    assert sent.keys() == {"prompt", "fal_inputs", "fal_inputs_dev_info", "extra_data"}
    assert sent["prompt"]["2"]["inputs"]["value"] == "a jar"
    assert sent["prompt"]["11"]["inputs"]["image"] == "photo.png", "the server puts the file of its input there"
    assert sent["fal_inputs"] == {"loadimage_1": URL, "prompt": "a jar", "steps": 24, "cfg": 7.5, "tiled": False}
    assert sent["fal_inputs_dev_info"]["steps"] == {"key": ["4", "inputs", "number"], "class_type": "IntegerInput_fal"}
    assert sent["fal_inputs_dev_info"]["loadimage_1"] == {"key": ["11", "inputs", "image"], "class_type": "LoadImage"}
    assert route.provider == "fal-stream"


def test_files_are_recorded_wherever_they_stand() -> None:
    step = ordered(workflow=workflow(n11=LOAD), files=[{"node": "11", "image": "jobs/a/b.png"}])
    assert {(file.path, file.kind) for file in file_arguments(step)} == {
        ("graph.1.inputs.ckpt_url", "weights"),
        ("fal_inputs.loadimage_1", "image"),
    }


@pytest.mark.parametrize(
    ("node", "name", "kind"),
    [
        ({"class_type": "LoadImageFromURL_fal", "inputs": {"url": "jobs/a/b.png"}}, "graph.11.inputs.url", "image"),
        ({"class_type": "LoadImage", "inputs": {"image": URL}}, "fal_inputs.loadimage_1", "image"),
        ({"class_type": "VHS_LoadVideo", "inputs": {"video": URL}}, "fal_inputs.vhs_loadvideo_1", "video"),
        ({"class_type": "VHS_LoadAudio", "inputs": {"audio_file": URL}}, "fal_inputs.vhs_loadaudio_1", "audio"),
        ({"class_type": "RemoteLoraLoader_fal", "inputs": {"lora_url": URL}}, "graph.11.inputs.lora_url", "weights"),
    ],
)
def test_a_reference_inside_the_workflow_is_a_file(node: Any, name: str, kind: str) -> None:
    assert (name, kind) in {(file.path, file.kind) for file in file_arguments(ordered(workflow=workflow(n11=node)))}


def test_a_picture_inside_the_request_is_uploaded_and_stands_where_any_other_would() -> None:
    data = "data:image/png;base64,AAAA"
    url_node = {"class_type": "LoadImageFromURL_fal", "inputs": {"url": data, "mode": "RGB"}}
    step = ordered(workflow=workflow(n11=LOAD, n12=url_node), files=[{"node": "11", "image": data}])
    sent = arguments_for(load_catalogue().find("comfy").first_route, step.arguments, step.extra)

    assert {file.parameter for file in file_arguments(step) if file.kind == "image"} == set(INLINE)
    assert sent["fal_inputs"]["loadimage_1"] == data and sent["fal_inputs"]["prompt"] == "a kiln"
    assert sent["prompt"]["12"] == url_node and sent["fal_inputs_dev_info"]["loadimage_1"]["key"][0] == "11"


@pytest.mark.parametrize("wrapped", [{"prompt": workflow(), "fal_inputs": {}}, {"output": workflow(), "workflow": {}}])
def test_other_exports_are_taken(wrapped: dict[str, Any]) -> None:
    assert ordered(workflow=wrapped) == ordered()


def test_one_picture_needs_no_node() -> None:
    step = ordered(workflow=workflow(n11=LOAD), image=URL)
    assert step.arguments["fal_inputs"]["loadimage_1"] == URL
    other = {**LOAD, "inputs": {"image": "b.png"}}
    refused = refusal(workflow=workflow(n11=LOAD, n12=other), image=URL)
    assert "image: needs one node without a picture; there are: 11, 12" in refused


def test_an_input_may_have_the_name_that_a_file_would_get() -> None:
    named = {"class_type": "StringInput_fal", "inputs": {"name": "loadimage_1", "value": "x"}}
    step = ordered(workflow=workflow(n11=LOAD, n12=named), image=URL)
    assert step.arguments["fal_inputs"]["loadimage_2"] == URL and step.arguments["fal_inputs"]["loadimage_1"] == "x"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"prompt": 3}, "inputs.prompt: is 3; allowed: a text"),
        ({"steps": 2}, "inputs.steps: is 2; allowed: from 4 to 60 in steps of 4"),
        ({"steps": 64}, "inputs.steps: is 64; allowed: from 4 to 60 in steps of 4"),
        ({"steps": 21}, "inputs.steps: is 21; allowed: from 4 to 60 in steps of 4"),
        ({"steps": 8.5}, "inputs.steps: is 8.5; allowed: a whole number from 4"),
        ({"steps": True}, "inputs.steps: is True; allowed: a whole number"),
        ({"cfg": 7.55}, "inputs.cfg: is 7.55; allowed: from 0 to 20 in steps of 0.1"),
        ({"cfg": 1e-300}, "inputs.cfg: is 1e-300; allowed: from 0 to 20 in steps of 0.1"),
        ({"cfg": "7"}, "inputs.cfg: is '7'; allowed: a number"),
        ({"tiled": 1}, "inputs.tiled: is 1; allowed: true or false"),
        ({"size": 1}, "inputs.size: the workflow has no input of this name; it has prompt, steps, cfg, tiled"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(inputs: dict[str, Any], message: str) -> None:
    assert message in refusal(inputs=inputs)


def test_a_number_with_many_digits_is_judged_as_well() -> None:
    count = {"class_type": "IntegerInput_fal", "inputs": {"name": "count", "number": 1, "step": 3}}
    assert "inputs.count: is 1" in refusal(workflow=workflow(n11=count), inputs={"count": 10**40})
    assert ordered(workflow=workflow(n11=count), inputs={"count": 3 * 10**40})


@pytest.mark.parametrize("cfg", [0, 0.7, 7.1, 20])
def test_a_step_is_counted_exactly(cfg: float) -> None:
    assert ordered(inputs={"cfg": cfg}).arguments["graph"]["5"]["inputs"]["number"] == cfg


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n11": LOAD}, """workflow.11.inputs.image: 'photo.png' is a file of one machine; give it: files=[{"node": "11", "image": …}]"""),
        ({"n1": _node("RemoteCheckpointLoader_fal", ckpt_url="a.ckpt")}, "workflow.1.inputs.ckpt_url: 'a.ckpt' is no URL"),
        ({"n11": _node("StringInput_fal", name="steps", value="x")}, "workflow.11.inputs.name: 'steps' is also the name of node 4"),
        ({"n2": _node("StringInput_fal", value="x")}, "workflow.2.inputs.name: is required by StringInput_fal"),
        ({"n11": _node("Note", text="x")}, "workflow.11.class_type: Note: exists only in ComfyUI's editor"),
        ({"n11": _node("VHS_LoadImagesPath", directory="in")}, "workflow.11.class_type: VHS_LoadImagesPath: reads a folder"),
        ({"n3": _node("CLIPTextEncode", text=["77", 0])}, "workflow.3.inputs.text: is linked to node '77', which the workflow does not"),
        ({"n11": _node("SaveLatent", path="/home/me/out")}, "workflow.11.inputs.path: '/home/me/out' is a path of one machine"),
        ({"n11": _node("X", path=r"C:\pictures")}, "workflow.11.inputs.path"),
        ({"n10": _node("SaveImage_fal", images=["9", 0])}, "workflow.10.inputs.output_name: is required by SaveImage_fal"),
        ({"n11": {"inputs": {}}}, "workflow.11.class_type: must be the name of a kind of node"),
        ({"n11": {"class_type": "X"}}, "workflow.11.inputs: must be an object"),
        ({"n11": 3}, "workflow.11: is no node"),
    ],
)  # fmt: skip
def test_a_workflow_that_cannot_run_in_the_cloud_is_refused(changed: dict[str, Any], message: str) -> None:
    assert message in refusal(workflow=workflow(**changed))


def test_all_problems_are_named_at_once() -> None:
    refused = refusal(workflow=workflow(n11=LOAD), inputs={"steps": 1, "cfg": 99})
    assert all(name in refused for name in ("inputs.steps", "inputs.cfg", "workflow.11.inputs.image"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"workflow": {"nodes": [], "links": []}}, "workflow: is the format of ComfyUI's editor; export it with"),
        ({"workflow": {}}, "workflow: dictionary should have at least 1 item"),
        ({"model": "fal-ai/flux/dev-x"}, "model: fal-ai/flux/dev-x is no Comfy server; set FAL_COMFY_ENDPOINT"),
        ({"files": [{"node": "3", "image": URL}]}, "files.0.node: node '3' loads no file; those that do: 1 (Remote"),
        ({"files": [{"node": "1", "image": URL}]}, "files.0.image: node 1 (RemoteCheckpointLoader_fal) loads weights"),
        ({"files": [{"node": "1"}]}, "needs one of image, video, audio, weights"),
        ({"files": [{"node": "1", "weights": "a.ckpt"}]}, "files.0.weights: must be an http:// or https:// URL"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(given: dict[str, Any], message: str) -> None:
    assert message in refusal(**given)


def test_files_are_sorted_by_their_kind_and_say_their_node() -> None:
    request = {"workflow": workflow()}
    files = [
        {"url": "https://x/a.png"},
        {"url": "https://x/b", "file_name": "b.mp4"},
        {"url": "https://x/c", "content_type": "audio/wav"},
        {"url": "https://x/d.glb"},
    ]
    found = ComfyCheck().check(request, {"outputs": [{"node": "10", "files": files, "texts": ["t"]}]}, {})
    assert isinstance(found, dict)
    assert [len(found[name]) for name in ("images", "videos", "audio", "files")] == [1, 1, 1, 1]
    assert found[VALUES]["outputs"] == [
        {"node": "10", "class_type": "SaveImage_fal", "name": "final", "images": [0], "videos": [0], "audio": [0],
         "files": [0], "texts": ["t"]}
    ]  # fmt: skip


def test_pictures_that_have_no_place_are_named_and_not_dropped_in_silence() -> None:
    files = [{"url": f"https://x/{n}.png"} for n in range(94)]
    found = ComfyCheck().check({"workflow": workflow()}, {"outputs": [{"node": "10", "files": files, "texts": []}]}, {})
    assert isinstance(found, dict)
    assert len(found["images"]) == 94
    assert found[VALUES]["outputs"][0]["images"] == list(range(64))


def test_problems_of_the_graph_come_with_those_of_values_and_files() -> None:
    bad = {"n11": LOAD, "n12": _node("LoadImageMask", image="m.png"), "n13": 3}
    refused = refusal(workflow=workflow(**bad), inputs={"stepz": 1, "cfg": 99})
    places = ("workflow.12.class_type", "workflow.13", "workflow.11.inputs.image", "inputs.stepz", "inputs.cfg")
    assert all(place in refused for place in places)


@pytest.mark.parametrize(
    "node",
    [
        _node("CLIPTextEncode", text="file: a photo of a form", clip=["1", 1]),
        _node("StringInput_fal", name="other", value="~/ is home, ./x.png too"),
        _node("ShowText", text="file: a photo"),
        _node("SaveImage_fal", images=["9", 0], output_name="o", filename_prefix="./out/x"),
    ],
)
def test_a_text_that_only_begins_like_a_path_is_no_path(node: dict[str, Any]) -> None:
    assert ordered(workflow=workflow(n11=node))


@pytest.mark.parametrize("path", ["file:///a/b.png", "~/a.png", "./in/a.png", "../a.safetensors", "/home/me/out"])
def test_a_path_of_one_machine_is_refused(path: str) -> None:
    assert "is a path of one machine" in refusal(workflow=workflow(n11=_node("X", path=path)))


def test_a_url_of_another_tenants_file_is_refused_in_a_node_that_nobody_knows() -> None:
    url = "http://127.0.0.1:8080/files/jobs/t-acme/5b0f/images-0.png?expires=1&signature=x"
    nodes = workflow(n11={"class_type": "LoadImageFromUrl", "inputs": {"url": url}})
    owners = [
        name
        for name, problem in comfy.problems_of({"workflow": nodes, "tenant": "other"})
        if "another tenant" in problem
    ]
    assert owners == ["graph.11.inputs.url"]
