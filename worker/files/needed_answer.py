"""The part of a provider's answer that a row needs: its files, their flags, the seed, words about errors. Pure.

An answer may have megabytes of other things, and a row is kept in Redis for days. The parts keep their places, so that
`pieces` finds the same files as before.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from worker.errors import BrokenPieceError
from worker.files.answer_files import is_url
from worker.files.answer_words import WORDS, short_words
from worker.files.pieces import FLAGS
from worker.jobs.job import Piece
from worker.jobs.seed import seed_in
from worker.jobs.status import VALUES

_NAMES = frozenset({"url", "content_type", "file_name"})
_LONGEST_TEXT = 300
_LONGEST_URL = 4096  # `download` takes no longer one
_MOST_ITEMS = 64  # of a list or an object
_MOST_PARTS = 1000  # of the whole
_LEVELS = 12  # as deep as files are searched
_INLINE = "data:"
MOST_VALUES_BYTES = 4_000_000  # of a task's own values in a row and a result; providers' answers may have as many


def needed_answer(answer: Mapping[str, Any], pieces: Sequence[Piece], *, checked: bool = False) -> dict[str, Any]:
    """The part of the answer that its row needs. The answer of a job without pieces is its result: all of it.

    `checked`: the task's own check has made the answer, so the values in it are kept as they are. A provider that
    sends values of its own under that name adds nothing to a result.
    """
    if pieces and checked and VALUES in answer:
        files = {name: value for name, value in answer.items() if name != VALUES}
        return {**needed_answer(files, pieces), VALUES: answer[VALUES]}
    if not pieces:
        return dict(answer)
    heads = [piece.at.partition(".")[0] for piece in pieces]
    first = {name: answer[name] for name in dict.fromkeys([*heads, FLAGS]) if name in answer}
    kept: dict[str, Any] = _Slimmed().of({**first, **answer}, _LEVELS) or {}
    seed = seed_in(answer)
    return kept if seed is None else {**kept, "seed": seed}


def check_values(answer: Mapping[str, Any]) -> None:
    """Raise `BrokenPieceError` for values of a task that are too large for a row and a result."""
    size = len(json.dumps(answer.get(VALUES), ensure_ascii=False, default=str).encode(errors="replace"))
    if size > MOST_VALUES_BYTES:
        text = f"the values of the answer have {size / 1e6:.1f} MB; allowed: {MOST_VALUES_BYTES / 1e6:g} MB"
        raise BrokenPieceError(text, kind="too_large")


def is_inline(answer: Any) -> bool:
    """Whether a file is inside the answer, as a data: URI. The values of the task's own check hold none."""
    answer = {**answer, VALUES: None} if isinstance(answer, Mapping) else answer
    return any(text[:5].lower() == _INLINE for text in _texts(answer))


def without_inline(answer: Any) -> Any:
    """The answer once the files inside it are stored."""
    match answer:
        case str() if answer[:5].lower() == _INLINE:
            return _INLINE
        case dict():
            return {name: value if name == VALUES else without_inline(value) for name, value in answer.items()}
        case list():
            return [without_inline(value) for value in answer]
    return answer


class _Slimmed:
    def __init__(self) -> None:
        self._left = _MOST_PARTS

    def of(self, node: Any, levels: int) -> Any:
        """The node without what no file needs; None where nothing of it is left."""
        self._left -= 1
        if self._left < 0 or levels < 0 or node is None:
            return None
        if isinstance(node, Mapping):
            parts = ((str(name)[:_LONGEST_TEXT], name, value) for name, value in list(node.items())[:_MOST_ITEMS])
            found = {short: self._field(name, value, levels) for short, name, value in parts}
            return {name: value for name, value in found.items() if value is not None} or None
        if isinstance(node, list):
            items = [self.of(each, levels - 1) for each in node[:_MOST_ITEMS]]  # places count: flags name files by them
            return items if any(item is not None for item in items) else None
        return node if _is_url(node) else None

    def _field(self, name: str, value: Any, levels: int) -> Any:
        if name == FLAGS:
            flags = value if isinstance(value, list) else [value]
            return [flag is True for flag in flags[:_MOST_ITEMS]] if value is not None else None
        if name in WORDS and not _has_file(value):
            return short_words(value)
        if name in _NAMES and isinstance(value, str):
            return value if _is_url(value) else value[:_LONGEST_TEXT]
        return self.of(value, levels - 1)


def _is_url(value: Any) -> bool:
    return is_url(value) and (value[:5].lower() == _INLINE or len(value) <= _LONGEST_URL)


def _has_file(value: Any) -> bool:
    return any(_is_url(text) for text in _texts(value))


def _texts(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    children = node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ()
    return [text for child in children for text in _texts(child)]
