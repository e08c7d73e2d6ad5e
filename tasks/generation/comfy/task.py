"""A workflow as the ComfyUI connector sends it to fal's Comfy server."""

import copy
from collections.abc import Mapping
from typing import Any

from config.catalogue import Model
from tasks.generation.comfy.checks import graph_problems, is_of_editor, sound_nodes
from tasks.generation.comfy.files import FilePlace, assigned_files, file_places
from tasks.generation.comfy.inputs import NamedInput, named_inputs, value_problems
from tasks.generation.comfy.nodes import FILES
from tasks.generation.comfy.request import Comfy
from tasks.generation.comfy.result import PIECES, Comfied, ComfyCheck
from worker.edge.task import job_task
from worker.files.file_checks import Prepared
from worker.files.media import Media
from worker.jobs.job import Step
from worker.jobs.request import refusal

NAME = "generation.comfy"
INLINE = ("inline_inputs", "inline_urls")  # pictures that are data: URIs, of nodes that load a file or a URL


class InlinePictures:
    """Has pictures that are data: URIs uploaded: the server downloads what it loads. See `worker.files.file_checks`."""

    def looks_at(self, request: Mapping[str, Any]) -> tuple[str, ...]:
        """The arguments with such pictures, if there are any."""
        return INLINE

    def prepare(self, request: Mapping[str, Any], step: Step, files: Mapping[str, Media]) -> Prepared:
        """Nothing changes: what was brought is uploaded."""
        return Prepared(step)


@job_task(NAME, queue="generation", asks=Comfy, gives=Comfied, check=ComfyCheck(), files=InlinePictures())
def comfy(request: Comfy, model: Model) -> Step:
    """Run a ComfyUI workflow in the cloud. Raises `InvalidRequestError` for one that cannot run there."""
    if model.passthrough:
        own = f"{model.name} is no Comfy server; set FAL_COMFY_ENDPOINT for one of your own, and leave model out"
        raise refusal(NAME, [("model", own)])
    of_graph = graph_problems(request.workflow)
    if is_of_editor(request.workflow):
        raise refusal(NAME, of_graph)
    nodes = sound_nodes(request.workflow)
    found, of_names = named_inputs(nodes)
    of_values = value_problems(found, request.inputs)
    places = file_places(nodes)
    files, of_files = assigned_files(request, places)
    if problems := [*of_graph, *of_names, *of_values, *of_files]:
        raise refusal(NAME, problems)
    return Step(model.name, _arguments(request, found, places, files), PIECES, request.extra)


def _arguments(
    request: Comfy, found: Mapping[str, NamedInput], places: Mapping[str, FilePlace], files: Mapping[str, str]
) -> dict[str, Any]:
    """The call, as the connector makes it: nodes, values by name, and where in the nodes each value stands."""
    graph: dict[str, Any] = copy.deepcopy(dict(request.workflow))
    values: dict[str, Any] = {}
    where: dict[str, Any] = {}
    inline: dict[str, dict[str, Any]] = {INLINE[0]: {}, INLINE[1]: {}}
    for node, ref in files.items():
        place = places[node]
        is_inline = place.file == "image" and ref[:5].lower() == "data:"
        if place.kind in FILES:
            name = _free_name(place.kind.lower(), {*found, *where})
            where[name] = _key(node, place.input, place.kind)
            (inline[INLINE[0]] if is_inline else values)[name] = ref
            if place.value == ref:  # the server puts the file there
                graph[node]["inputs"][place.input] = name
        elif is_inline:
            graph[node]["inputs"].pop(place.input, None)
            inline[INLINE[1]][node] = {"inputs": {place.input: ref}}
        else:
            graph[node]["inputs"][place.input] = ref
    for name, each in found.items():
        inputs = graph[each.node]["inputs"]
        inputs[each.place] = request.inputs.get(name, inputs.get(each.place))
        values[name], where[name] = inputs[each.place], _key(each.node, each.place, each.kind)
    return {
        "graph": graph,
        "fal_inputs": values,
        "fal_inputs_dev_info": where,
        "extra_data": {"extra_pnginfo": {"workflow": {}}},
        **{name: refs for name, refs in inline.items() if refs},
    }


def _key(node: str, place: str, kind: str) -> dict[str, Any]:
    return {"key": [node, "inputs", place], "class_type": kind}


def _free_name(kind: str, taken: set[str]) -> str:
    """`loadimage_1`, or the next number that no input has as its name."""
    return next(name for n in range(1, len(taken) + 2) if (name := f"{kind}_{n}") not in taken)
