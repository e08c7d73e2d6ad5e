"""Finds the promised files in a provider's answer. Pure; `download` fetches them.

A piece says where its file should be (`images.*`, `video`). Answers change their shape without notice: if that place is
empty, the whole answer is searched for `{"url": …}` objects of the right kind.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from worker.errors import BrokenPieceError, ContentRefusedError
from worker.files.formats import by_content_type, by_ending
from worker.jobs.job import Piece

FLAGS = "has_nsfw_concepts"
_DEPTH = 12  # levels of an answer that are searched


@dataclass(frozen=True)
class FoundFile:
    """The file that a provider's answer holds for the `n`-th of a piece, as the provider describes it."""

    piece: Piece
    n: int
    url: str
    content_type: str = ""
    file_name: str = ""

    @property
    def label(self) -> str:
        """Its name in messages: `images.0`, or `video` where only one is promised."""
        return f"{self.piece.name}.{self.n}" if self.piece.count > 1 or "*" in self.piece.at else self.piece.name


def pieces_of(answer: Mapping[str, Any], pieces: Sequence[Piece]) -> tuple[FoundFile, ...]:
    """Every promised file of the answer, in the order of promise.

    Raises `BrokenPieceError` when there are fewer than promised, `ContentRefusedError` when the provider flags one of
    the pictures: several models answer 200 with a black picture and `has_nsfw_concepts` true (fal.ai does not call it
    an error).
    """
    taken: set[str] = set()
    return tuple(found for piece in pieces for found in _of_one(answer, piece, taken))


def _of_one(answer: Mapping[str, Any], piece: Piece, taken: set[str]) -> list[FoundFile]:
    _refuse_flagged(answer, piece)
    files = [file for node in _at([answer], piece.at.split(".")) if (file := _file(node))]
    least = piece.count if piece.fewest is None else piece.fewest
    if least:  # an empty list that may be empty says that there is no such file: others are not searched for
        files = files or [file for file in _walk(answer) if file["url"] not in taken and _may_be(file, piece)]
    if len(files) < least:
        raise BrokenPieceError(f"{piece.name}: promised {least}, the answer holds {len(files)}")
    files = files[: piece.count]
    taken.update(file["url"] for file in files)
    return [_found(piece, n, file) for n, file in enumerate(files)]


def _at(nodes: list[Any], path: list[str]) -> list[Any]:
    """The values at a path; a list at its end counts as its items."""
    for part in path:
        nodes = [child for node in nodes for child in _children(node, part)]
    return [child for node in nodes for child in (node if isinstance(node, list) else [node])]


def _children(node: Any, part: str) -> list[Any]:
    if isinstance(node, list):
        return node if part == "*" else []
    return [node[part]] if isinstance(node, Mapping) and part in node else []


def _file(node: Any) -> Mapping[str, Any] | None:
    """The file object; some models answer with a bare URL instead."""
    if isinstance(node, Mapping):
        return node if isinstance(node.get("url"), str) and node["url"] else None
    return {"url": node} if isinstance(node, str) and node.startswith(("http://", "https://", "data:")) else None


def _walk(node: Any, depth: int = _DEPTH) -> Iterator[Mapping[str, Any]]:
    """Every `{"url": …}` object, top level first."""
    if isinstance(node, Mapping) and _file(node):
        yield node
    elif depth and isinstance(node, Mapping | list):
        for child in node.values() if isinstance(node, Mapping) else node:
            yield from _walk(child, depth - 1)


def _may_be(file: Mapping[str, Any], piece: Piece) -> bool:
    """Whether its content type, or else its name, announces the promised kind. Kind `file` accepts any file."""
    names = (str(file.get("file_name") or ""), urlsplit(file["url"]).path)
    kinds = [by_content_type(_content_type(file)).kind, *(by_ending(name).kind for name in names)]
    return next((kind for kind in kinds if kind != "file"), "file") == piece.kind or piece.kind == "file"


def _content_type(file: Mapping[str, Any]) -> str:
    url = str(file["url"])
    inline = url[5:].partition(",")[0].partition(";")[0] if url.startswith("data:") else ""
    return inline or str(file.get("content_type") or "")


def _refuse_flagged(answer: Mapping[str, Any], piece: Piece) -> None:
    flags = _flags(answer) if piece.kind in {"image", "video"} else []
    flagged = sum(flag is True for flag in flags[: piece.count])
    if flagged:
        raise ContentRefusedError(
            f"{piece.name}: the provider's content filter blackened {flagged} of {piece.count} ({FLAGS})", kind=FLAGS
        )


def _flags(node: Any, depth: int = _DEPTH) -> list[Any]:
    """The first list of flags, top level first; a single flag counts as a list of one."""
    if isinstance(node, Mapping) and node.get(FLAGS) is not None:
        flags = node[FLAGS]
        return flags if isinstance(flags, list) else [flags]
    children = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    return next((flags for child in children if depth and (flags := _flags(child, depth - 1))), [])


def _found(piece: Piece, n: int, file: Mapping[str, Any]) -> FoundFile:
    return FoundFile(piece, n, file["url"], _content_type(file), str(file.get("file_name") or ""))
