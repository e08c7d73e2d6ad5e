"""A workflow as the ComfyUI connector sends it to fal's Comfy server."""

import copy
from collections.abc import Mapping
from typing import Any

from config.catalogue import Model
from tasks.generation.comfy.checks import graph_problems
from tasks.generation.comfy.files import FilePlace, assigned_files, file_places
from tasks.generation.comfy.inputs import NamedInput, named_inputs, value_problems
from tasks.generation.comfy.nodes import FILES
from tasks.generation.comfy.request import Comfy
from tasks.generation.comfy.result import PIECES, Comfied, ComfyCheck
from worker.edge.task import job_task
from worker.jobs.job import Step
from worker.jobs.request import refusal

NAME = "generation.comfy"


@job_task(NAME, queue="generation", asks=Comfy, gives=Comfied, check=ComfyCheck())
def comfy(request: Comfy, model: Model) -> Step:
    """Run a ComfyUI workflow in the cloud. Raises `InvalidRequestError` for one that cannot run there."""
    if model.passthrough:
        own = f"{model.name} is no Comfy server; set FAL_COMFY_ENDPOINT for one of your own, and leave model out"
        raise refusal(NAME, [("model", own)])
    if problems := graph_problems(request.workflow):
        raise refusal(NAME, problems)
    found, problems = named_inputs(request.workflow)
    problems += value_problems(found, request.inputs)
    places = file_places(request.workflow)
    files, of_files = assigned_files(request, places)
    if problems := problems + of_files:
        raise refusal(NAME, problems)
    return Step(model.name, _arguments(request, found, places, files), PIECES, request.extra)


def _arguments(
    request: Comfy, found: Mapping[str, NamedInput], places: Mapping[str, FilePlace], files: Mapping[str, str]
) -> dict[str, Any]:
    """The call, as the connector makes it: nodes, values by name, and where in the nodes each value stands."""
    graph: dict[str, Any] = copy.deepcopy(dict(request.workflow))
    values: dict[str, Any] = {}
    where: dict[str, Any] = {}
    for node, ref in files.items():
        place = places[node]
        if place.kind in FILES:
            name = _free_name(place.kind.lower(), {*found, *values})
            values[name], where[name] = ref, _key(node, place.input, place.kind)
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
    }


def _key(node: str, place: str, kind: str) -> dict[str, Any]:
    return {"key": [node, "inputs", place], "class_type": kind}


def _free_name(kind: str, taken: set[str]) -> str:
    """`loadimage_1`, or the next number that no input has as its name."""
    return next(name for n in range(1, len(taken) + 2) if (name := f"{kind}_{n}") not in taken)
