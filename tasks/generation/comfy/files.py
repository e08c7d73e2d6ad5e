"""Which file goes to which node, and what is missing. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.generation.comfy.checks import Nodes, Problem, is_link
from tasks.generation.comfy.nodes import FILES, URLS
from tasks.generation.comfy.request import Comfy


@dataclass(frozen=True)
class FilePlace:
    """An input of a node that names a file: the node, its kind, the input, the kind of file, what stands there now."""

    node: str
    kind: str
    input: str
    file: str
    value: str

    @property
    def field(self) -> str:
        """The place as messages name it."""
        return f"workflow.{self.node}.inputs.{self.input}"


def file_places(workflow: Nodes) -> dict[str, FilePlace]:
    """The nodes that load a file, by id. A node whose file comes from another node has no place."""
    found: dict[str, FilePlace] = {}
    for node, each in workflow.items():
        kind = each["class_type"]
        place = {**FILES, **URLS}.get(kind)
        value = each["inputs"].get(place[0]) if place else None
        if place and not is_link(value):
            found[node] = FilePlace(node, kind, place[0], place[1], str(value or ""))
    return found


def assigned_files(request: Comfy, places: Mapping[str, FilePlace]) -> tuple[dict[str, str], list[Problem]]:
    """The reference of the file of each node, and what is wrong."""
    found: dict[str, str] = {}
    problems: list[Problem] = []
    for n, each in enumerate(request.files):
        (kind, ref), place = next(iter(each.given.items())), places.get(each.node)
        if place is None:
            nodes = ", ".join(f"{one.node} ({one.kind})" for one in places.values()) or "none"
            problems.append((f"files.{n}.node", f"node {each.node!r} loads no file; those that do: {nodes}"))
        elif place.file != kind:
            problems.append((f"files.{n}.{kind}", f"node {each.node} ({place.kind}) loads {_a(place.file)}"))
        elif each.node in found:
            problems.append((f"files.{n}.node", f"node {each.node} has a file already"))
        else:
            found[each.node] = ref
    free = [place for place in places.values() if place.file == "image" and place.node not in found]
    if request.image:
        if len(free) == 1:
            found[free[0].node] = request.image
        else:
            nodes = ", ".join(place.node for place in free) or "none"
            problems.append(("image", f"needs one node without a picture; there are: {nodes}; use files"))
    open_places = [place for place in places.values() if place.node not in found]
    return found, problems + [_missing(place) for place in open_places]


def _missing(place: FilePlace) -> Problem:
    example = f'{{"node": "{place.node}", "{place.file}": …}}'
    if place.kind in URLS:
        return place.field, f"{place.value[:100]!r} is no URL and no key of ours; give one, or files=[{example}]"
    return place.field, f"{place.value[:100]!r} is a file of one machine; give it: files=[{example}]"


def _a(kind: str) -> str:
    return kind if kind == "weights" else f"an {kind}" if kind[0] in "aio" else f"a {kind}"
