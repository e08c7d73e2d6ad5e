"""Finds the promised files in a provider's answer. Pure; `download` fetches them.

A piece says where its files should be (`images.*`, `video`). Answers change their shape without notice: if that place
is empty, the whole answer is searched (`answer_files`). A file that was paid for is not lost because another one is
missing or flagged by a content filter: the others are found, and `missing` says why that one is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.errors import BrokenPieceError, ContentRefusedError, ExternalServiceError
from worker.files.answer_files import AnswerFile, file_of, search
from worker.files.answer_words import is_about_content, words_of
from worker.jobs.job import Piece

FLAGS = "has_nsfw_concepts"
MOST_FILES = 64  # of one list; a row keeps no longer ones
_DEPTH = 12  # levels of an answer that are searched


@dataclass(frozen=True)
class FoundFile:
    """The file that a provider's answer holds for the `n`-th of a piece, as the provider describes it.

    `suspected`: the provider flags one of several pictures, and does not say which.
    """

    piece: Piece
    n: int
    url: str
    content_type: str = ""
    file_name: str = ""
    suspected: bool = False

    @property
    def label(self) -> str:
        """Its name in messages: `images.0`, or `video` where only one is promised."""
        return f"{self.piece.name}.{self.n}" if is_list(self.piece) else self.piece.name


@dataclass(frozen=True)
class Found:
    """The files of an answer in the order of promise, and why others of the same lists are not among them."""

    files: tuple[FoundFile, ...]
    missing: tuple[ExternalServiceError, ...] = ()


def is_list(piece: Piece) -> bool:
    """Whether a result has a list for this piece: it may have fewer or more files than promised."""
    return piece.count > 1 or "*" in piece.at


def pieces_of(answer: Mapping[str, Any], pieces: Sequence[Piece]) -> tuple[FoundFile, ...]:
    """The files of `find_pieces`."""
    return find_pieces(answer, pieces).files


def find_pieces(answer: Mapping[str, Any], pieces: Sequence[Piece]) -> Found:
    """Every file of the promised lists, and the promised single files.

    Raises `BrokenPieceError` when the answer has no file for a piece, `ContentRefusedError` when the provider flags all
    of them: several models answer 200 with a black picture and `has_nsfw_concepts` true (fal.ai does not call it an
    error). Both messages quote what the answer says in place of the files.
    """
    taken: set[str] = set()
    found = [_of_one(answer, piece, taken) for piece in pieces]
    return Found(
        tuple(file for one in found for file in one.files), tuple(error for one in found for error in one.missing)
    )


def _of_one(answer: Mapping[str, Any], piece: Piece, taken: set[str]) -> Found:
    least = piece.count if piece.fewest is None else piece.fewest
    flags = _flags(answer) if piece.kind in {"image", "video"} or piece.as_found else []
    places = _places(answer, piece, taken)
    named, suspected = _flagged(flags, len(places), piece)
    files = [(n, file) for n, file in enumerate(places) if file and n not in named]
    kept = files[: _most(piece)]
    if not kept and (least or named):
        raise _nothing_found(answer, piece, flags)
    taken.update(file.url for _, file in kept)
    found = tuple(_found(piece, n, file, suspected=suspected) for n, file in kept)
    few = () if len(files) + len(named) >= least else (_too_few(piece, len(files), answer),)
    return Found(found, (*(_refused(piece, n) for n in sorted(named)), *few, *_too_many(piece, files, kept)))


def _most(piece: Piece) -> int:
    """How many files are kept. Of a list that may have fewer than `count`, `count` is the most."""
    if piece.fewest is not None:
        return piece.count
    return MOST_FILES if is_list(piece) else 1


def _places(answer: Mapping[str, Any], piece: Piece, taken: set[str]) -> list[AnswerFile | None]:
    """The files at the piece's place, with None for a place without one; otherwise what a search finds.

    A list that may be empty says by its emptiness that there is no such file: others are not searched for.
    """
    at_place = [file_of(node) for node in _at([answer], piece.at.split("."))]
    if any(at_place) or piece.fewest == 0:
        return at_place
    return [file for file in search(answer, piece.kind) if file.url not in taken]


def _at(nodes: list[Any], path: list[str]) -> list[Any]:
    """The values at a path; a list at its end counts as its items."""
    for part in path:
        nodes = [child for node in nodes for child in _children(node, part)]
    return [child for node in nodes for child in (node if isinstance(node, list) else [node])]


def _children(node: Any, part: str) -> list[Any]:
    if isinstance(node, list):
        return node if part == "*" else []
    return [node[part]] if isinstance(node, Mapping) and part in node else []


def _flags(node: Any, depth: int = _DEPTH) -> list[Any]:
    """The first list of flags, top level first; a single flag counts as a list of one."""
    if isinstance(node, Mapping) and node.get(FLAGS) is not None:
        flags = node[FLAGS]
        return flags if isinstance(flags, list) else [flags]
    children = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    return next((flags for child in children if depth and (flags := _flags(child, depth - 1))), [])


def _flagged(flags: Sequence[Any], places: int, piece: Piece) -> tuple[set[int], bool]:
    """The numbers of the flagged files, and whether a flag stands for all of them together.

    One flag for several pictures does not say which one: a black picture is found when it is decoded. Flags of pictures
    that were left out of the list name none of the others.
    """
    flagged = {n for n, flag in enumerate(flags) if flag is True}
    if len(flags) == 1 and places > 1:
        return set(), bool(flagged)
    if len(flags) > places and places == len(flags) - len(flagged):
        return set(), False
    return {n for n in flagged if n < places}, False


def _nothing_found(answer: Mapping[str, Any], piece: Piece, flags: Sequence[Any]) -> ExternalServiceError:
    if flagged := sum(flag is True for flag in flags):
        of = max(piece.count, len(flags))
        text = f"{piece.name}: the provider's content filter blackened {flagged} of {of} ({FLAGS})"
        return ContentRefusedError(text, kind=FLAGS)
    error = _too_few(piece, 0, answer)
    return ContentRefusedError(error.message, kind="content") if is_about_content(answer) else error


def _too_few(piece: Piece, files: int, answer: Mapping[str, Any]) -> ExternalServiceError:
    said = words_of(answer)
    text = f"{piece.name}: promised {piece.count}, the answer holds {files}"
    return BrokenPieceError(f"{text}; it says: {said}" if said else text, kind="too_few")


def _refused(piece: Piece, n: int) -> ExternalServiceError:
    return ContentRefusedError(f"{piece.name}.{n}: blackened by the provider's content filter ({FLAGS})", kind=FLAGS)


def _too_many(piece: Piece, files: Sequence[Any], kept: Sequence[Any]) -> tuple[ExternalServiceError, ...]:
    """The files that a result has no place for: they are named, so that nothing is dropped in silence."""
    more = len(files) - len(kept)
    if not more:
        return ()
    return (BrokenPieceError(f"{piece.name}: the answer holds {more} more, which were not stored", kind="too_many"),)


def _found(piece: Piece, n: int, file: AnswerFile, *, suspected: bool) -> FoundFile:
    return FoundFile(piece, n, file.url, file.content_type, file.file_name, suspected)
