"""The result: the files of all output nodes, and which node each is from."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from worker.jobs.answers import AnswerFaults
from worker.jobs.job import Piece
from worker.jobs.status import VALUES, FileOut, JobResult

MOST_PICTURES, MOST_OTHERS = 64, 16
MOST_MEGAPIXELS = 100
PIECES = (
    Piece("images", "image", "images.*", count=MOST_PICTURES, fewest=0, most_megapixels=MOST_MEGAPIXELS),
    Piece("videos", "video", "videos.*", count=MOST_OTHERS, fewest=0),
    Piece("audio", "audio", "audio.*", count=MOST_OTHERS, fewest=0),
    Piece("files", "file", "files.*", count=MOST_OTHERS, fewest=0),
)
_ENDINGS = {
    "images": {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"},
    "videos": {".mp4", ".webm", ".mov", ".mkv", ".m4v", ".avi"},
    "audio": {".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac"},
}


class NodeOutput(BaseModel):
    """What one node brought: the places of its files in the lists of the result, and its texts."""

    model_config = ConfigDict(frozen=True)

    node: str
    class_type: str
    name: str | None = Field(None, description="the output_name of a SaveImage_fal")
    images: list[int] = []
    videos: list[int] = []
    audio: list[int] = []
    files: list[int] = []
    texts: list[str] = []


class Comfied(JobResult):
    """The result: all files by their kind, and `outputs`, which says of each node what is its own."""

    images: list[FileOut]
    videos: list[FileOut]
    audio: list[FileOut]
    files: list[FileOut]
    outputs: list[NodeOutput]


class ComfyCheck:
    """Sorts the files of a run by their kind. See `worker.jobs.answers.AnswerCheck`."""

    def check(
        self, request: Mapping[str, Any], output: Mapping[str, Any], facts: Mapping[str, Any]
    ) -> dict[str, Any] | AnswerFaults:
        """The files in four lists, with an output for each node. A run without any is an error of the provider."""
        lists: dict[str, list[Any]] = {piece.name: [] for piece in PIECES}
        outputs = []
        for each in output.get("outputs", []):
            places: dict[str, list[int]] = {name: [] for name in lists}
            for file in each["files"]:
                kind = _kind_of(file)
                if len(lists[kind]) < (MOST_PICTURES if kind == "images" else MOST_OTHERS):
                    places[kind].append(len(lists[kind]))
                lists[kind].append(file)  # those that have no place are named in `provenance.missing`
            node = request.get("workflow", {}).get(each["node"], {})
            name = node.get("inputs", {}).get("output_name")
            own = {"node": each["node"], "class_type": node.get("class_type", ""), "texts": each["texts"]}
            outputs.append(NodeOutput(**own, name=name if isinstance(name, str) else None, **places))
        return {**lists, VALUES: {"outputs": [each.model_dump(mode="json") for each in outputs]}}

    def repair(self, arguments: Mapping[str, Any], faults: AnswerFaults) -> dict[str, Any]:
        """Never called: no answer is faulty."""
        return dict(arguments)


def _kind_of(file: Mapping[str, Any]) -> str:
    """By the content type, then by the ending of its name or its URL."""
    kind = str(file.get("content_type", "")).partition("/")[0]
    if kind in {"image", "video", "audio"}:
        return {"image": "images", "video": "videos", "audio": "audio"}[kind]
    names = (str(file.get("file_name", "")), urlsplit(str(file.get("url", ""))).path)
    endings = {PurePosixPath(name).suffix.lower() for name in names}
    return next((name for name, known in _ENDINGS.items() if endings & known), "files")
