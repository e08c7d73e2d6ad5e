"""The request: a workflow in API format, values for its inputs, files for its nodes."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, model_validator

from tasks.generation.comfy.nodes import FILES, URLS
from worker.jobs.file_keys import OURS
from worker.jobs.file_refs import Audio, Image, Video, Weights
from worker.jobs.picture_fields import ModelName
from worker.jobs.request import BaseRequest, Label

MOST_NODES = 500
NodeId = Annotated[str, StringConstraints(min_length=1, max_length=100)]
_REFERENCES = ("http://", "https://", "data:", OURS)


class NodeFile(BaseModel):
    """The file of one node: an `image`, a `video`, an `audio` or `weights`, as the node loads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: NodeId
    image: Image | None = None
    video: Video | None = None
    audio: Audio | None = None
    weights: Weights | None = None

    @property
    def given(self) -> dict[str, str]:
        """Kind -> reference."""
        return self.model_dump(exclude={"node"}, exclude_none=True)

    @model_validator(mode="after")
    def _is_one_file(self) -> "NodeFile":
        if len(self.given) != 1:
            raise ValueError("needs one of image, video, audio, weights")
        return self


class Comfy(BaseRequest):
    """A ComfyUI workflow in API format, as `Save (API Format)` exports it; the connector's own export works too.

    `inputs`: values for `StringInput_fal` and its siblings, by their names. `files`: for nodes that load a file.
    `image`: the file of the only such node that loads a picture and has none.
    """

    model: ModelName = "comfy-server"
    workflow: dict[NodeId, JsonValue] = Field(min_length=1, max_length=MOST_NODES)
    inputs: dict[Label, JsonValue] = Field({}, max_length=100)
    files: list[NodeFile] = Field([], max_length=64)
    image: Image | None = None

    follows: ClassVar[Mapping[str, str]] = {"image": "images.0.url"}

    @model_validator(mode="before")
    @classmethod
    def _takes_other_forms(cls, given: Any) -> Any:
        """Take the nodes out of the connector's export, and the files that the workflow itself names by a reference."""
        if not isinstance(given, dict) or not isinstance(given.get("workflow"), dict):
            return given
        nodes = _nodes_in(given["workflow"])
        files = given.get("files") or []
        if isinstance(files, list):
            named = {each.get("node") for each in files if isinstance(each, Mapping)}
            files = [*files, *(each for each in _own_files(nodes) if each["node"] not in named)]
        return {**given, "workflow": nodes, "files": files}


def _nodes_in(workflow: dict[str, Any]) -> dict[str, Any]:
    """The nodes of the connector's payload (`prompt`) or of ComfyUI's `graphToPrompt` (`output`)."""
    for name in ("prompt", "output"):
        found = workflow.get(name)
        if isinstance(found, dict) and "class_type" not in found:
            return found
    return workflow


def _own_files(nodes: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """A file for each node whose input is a URL, a data: URI or a key of ours already."""
    for node, found in nodes.items():
        if isinstance(found, Mapping) and isinstance(inputs := found.get("inputs"), Mapping):
            place = {**FILES, **URLS}.get(str(found.get("class_type")))
            value = inputs.get(place[0]) if place else None
            if place and isinstance(value, str) and value.lower().startswith(_REFERENCES):
                yield {"node": node, place[1]: value}
