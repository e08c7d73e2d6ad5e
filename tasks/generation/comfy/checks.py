"""What is wrong with a workflow, as far as it can be known before anything is sent. Pure.

fal publishes no list of the nodes of its server. Known are the form of the workflow, its links, nodes that no cloud can
run, and paths of the machine that exported it. Each problem is a pair of field and message.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from tasks.generation.comfy.nodes import FILES, IMPOSSIBLE, URLS, VALUES

_TEXTS = {**VALUES, "CLIPTextEncode": "text"}  # kind of node -> its input that may be any text
Problem = tuple[str, str]
Nodes = Mapping[str, Any]
_LOCAL = re.compile(
    r"(?:(?:~|\.{1,2})[/\\]\S{0,1000}\.\w{1,12}|(?:file://|[A-Za-z]:[\\/]|\\\\|/(?:home|Users|root|mnt|media|tmp|var|opt|data|workspace|content|Volumes)/)"
    r"[^\n]{0,1000})",
    re.IGNORECASE,
)


def graph_problems(workflow: Nodes) -> list[Problem]:
    """Problems of the workflow's form, its links, its kinds of nodes, and paths of one machine."""
    if is_of_editor(workflow):
        return [("workflow", "is the format of ComfyUI's editor; export it with 'Save (API Format)'")]
    return [problem for node, found in workflow.items() for problem in _node_problems(node, found, workflow)]


def is_of_editor(workflow: Nodes) -> bool:
    """Whether it is what ComfyUI's editor saves, and not the API format."""
    return isinstance(workflow.get("nodes"), list) and "links" in workflow


def sound_nodes(workflow: Nodes) -> dict[str, Any]:
    """The nodes that have the form of one: their names, values and files can be checked, whatever else is wrong."""
    return {node: found for node, found in workflow.items() if _is_sound(found)}


def _is_sound(node: Any) -> bool:
    return (
        isinstance(node, Mapping)
        and isinstance(node.get("class_type"), str)
        and isinstance(node.get("inputs"), Mapping)
    )


def _node_problems(node: str, found: Any, workflow: Nodes) -> Iterator[Problem]:
    where = f"workflow.{node}"
    if not isinstance(found, Mapping):
        yield where, "is no node; a node has class_type and inputs"
        return
    kind, inputs = found.get("class_type"), found.get("inputs")
    if not isinstance(kind, str) or not kind:
        yield f"{where}.class_type", "must be the name of a kind of node"
    elif kind in IMPOSSIBLE:
        yield f"{where}.class_type", f"{kind}: {IMPOSSIBLE[kind]}"
    if not isinstance(inputs, Mapping):
        yield f"{where}.inputs", "must be an object; a node without inputs has {}"
        return
    if kind == "SaveImage_fal" and not inputs.get("output_name"):
        yield f"{where}.inputs.output_name", "is required by SaveImage_fal"
    place = {**FILES, **URLS, **_TEXTS}.get(str(kind), ("",))[0]
    for name, value in inputs.items():
        yield from _input_problems(f"{where}.inputs.{name}", value, workflow, may_be_path=name == place)


def _input_problems(where: str, value: Any, workflow: Nodes, *, may_be_path: bool) -> Iterator[Problem]:
    if is_link(value):
        if str(value[0]) not in workflow:
            yield where, f"is linked to node {value[0]!r}, which the workflow does not have"
    elif isinstance(value, str) and not may_be_path and _LOCAL.fullmatch(value.strip()):
        yield (
            where,
            f"{value[:100]!r} is a path of one machine, which the cloud cannot read; give a URL",
        )


def is_link(value: Any) -> bool:
    """Whether an input takes the output of another node: its id, and the place of the output."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int
