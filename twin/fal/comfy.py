"""The Comfy server of fal: a workflow's values for the drawing, and the events of its run.

It sends ComfyUI's own events, with URLs in place of file names, and a few of fal's. Source: the ComfyUI connector
(https://github.com/badayvedat/ComfyUI-fal-Connector). Each saving node brings one picture, or a video.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from twin.fal.job import Job

ENDPOINT = "fal-ai/comfy-server"
SAVES = ("SaveImage", "SaveImage_fal", "PreviewImage", "SaveAnimatedWEBP")
UNKNOWN = "DoesNotExist"
"""The kind of node that the twin's server does not have; it has all others."""
STEPS = 4
"""The progress events of a sampler."""


def nodes_of(values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the workflow's nodes by id, with the values of `fal_inputs` in their places."""
    prompt = values.get("prompt")
    nodes: dict[str, Any] = {node: dict(found) for node, found in prompt.items()} if isinstance(prompt, Mapping) else {}
    for name, value in (values.get("fal_inputs") or {}).items():
        key = ((values.get("fal_inputs_dev_info") or {}).get(name) or {}).get("key")
        if isinstance(key, list) and len(key) == 3 and key[0] in nodes:
            nodes[key[0]]["inputs"] = {**nodes[key[0]].get("inputs", {}), str(key[2]): value}
    return nodes


def drawing_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values by which the pictures are drawn: words, size, seed, their number."""
    nodes = nodes_of(values)
    inputs = [found.get("inputs", {}) for found in nodes.values()]
    texts = [each[name] for each in inputs for name in ("text", "value") if isinstance(each.get(name), str)]
    sizes = [each for each in inputs if isinstance(each.get("width"), int) and isinstance(each.get("height"), int)]
    found: dict[str, Any] = {
        "prompt": texts[0] if texts else "",
        "num_images": len(saving_nodes(nodes)),
        "output_format": "png",
    }
    if sizes:
        found["image_size"] = {"width": sizes[0]["width"], "height": sizes[0]["height"]}
    return found


def input_files(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the files that a workflow loads, by names that say what they are."""
    names = {
        "LoadImage": ("image", "image_url"),
        "LoadImageFromURL_fal": ("url", "image_url"),
        "RemoteLoraLoader_fal": ("lora_url", "file_url"),
    }
    found = {}
    for node, each in nodes_of(values).items():
        place, name = names.get(str(each.get("class_type")), ("", ""))
        value = each.get("inputs", {}).get(place)
        if isinstance(value, str):
            found[node] = {name: value}
    return found


def saving_nodes(nodes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the ids of the nodes that save a picture."""
    return [node for node, found in nodes.items() if found.get("class_type") in SAVES]


def refusal(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the error event with which ComfyUI refuses a workflow; None if it runs."""
    for node, found in nodes.items():
        if found.get("class_type") == UNKNOWN:
            message = f"Cannot execute because node {UNKNOWN} does not exist."
            return _refused("invalid_prompt", message, f"Node ID '#{node}'", {})
        for name, value in found.get("inputs", {}).items():
            if isinstance(value, list) and value and str(value[0]) not in nodes:
                errors = [{"message": "Bad linked input", "details": f"{name}: node {value[0]} is missing"}]
                entry = {node: {"class_type": found.get("class_type"), "errors": errors}}
                return _refused("prompt_outputs_failed_validation", "Prompt outputs failed validation", "", entry)
    if not saving_nodes(nodes):
        return _refused("prompt_no_outputs", "Prompt has no outputs", "", {})
    return None


async def events(job: Job) -> AsyncIterator[dict[str, Any]]:
    """Yield the events of a run. Samplers share its time, other nodes take none."""
    nodes = nodes_of(job.submission.input)
    if error := refusal(nodes):
        yield {"type": "fal-execution-error", "data": error}
        return
    yield {"type": "fal-info", "data": {"message": "Executing the workflow"}}
    yield {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 1}}}}
    yield {"type": "execution_start", "data": {"prompt_id": job.request_id}}
    yield {"type": "execution_cached", "data": {"nodes": [], "prompt_id": job.request_id}}
    saves = saving_nodes(nodes)
    working = [node for node in nodes if node not in saves]
    samplers = [node for node in working if "Sampler" in str(nodes[node].get("class_type"))]
    for node in working:
        yield _event("executing", job, node=node)
        if node in samplers:
            for step in range(1, STEPS + 1):
                await _wait(job, job.seconds / len(samplers) / STEPS)
                yield _event("progress", job, node=node, value=step, max=STEPS)
    await job.ended.wait()
    outcome = job.outcome
    if outcome is None or not outcome.is_good:
        detail = outcome.body.get("detail") if outcome and isinstance(outcome.body, dict) else "failed"
        node = working[-1] if working else saves[0]
        kind = nodes[node].get("class_type")
        yield _event("execution_error", job, node_id=node, node_type=kind, exception_message=str(detail))
        return
    for node, image in zip(saves, outcome.body["images"], strict=False):
        file = {**image, "filename": image.get("file_name", ""), "subfolder": "", "type": "output"}
        if nodes[node].get("class_type") == "PreviewImage":
            file["type"] = "temp"
        yield _event("executing", job, node=node)
        yield _event("executed", job, node=node, output={"images": [file]})
    yield _event("executing", job, node=None)
    yield {"type": "fal-node-timings", "data": dict.fromkeys(nodes, 0.1)}


def _event(kind: str, job: Job, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": {**data, "prompt_id": job.request_id}}


async def _wait(job: Job, seconds: float) -> None:
    waiting = asyncio.ensure_future(job.ended.wait())
    await asyncio.wait({waiting}, timeout=seconds)
    waiting.cancel()


def _refused(kind: str, message: str, details: str, node_errors: Mapping[str, Any]) -> dict[str, Any]:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return {"code": 400, "error": {"error": error, "node_errors": dict(node_errors)}}
