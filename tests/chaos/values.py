"""Compares the values of a result that are no files with what the twin answered: a part of the promise `whole_piece`."""

from collections.abc import Callable, Iterator
from typing import Any

from tests.chaos.history import History, result_of_success

VALUES = frozenset({"answer", "description", "objects", "points", "text"})  # pieces of a result that are no files


def find_wrong_values(history: History) -> Iterator[tuple[str, str]]:
    """Return results whose values are not those of the twin's answer."""
    outputs = {request["request_id"]: request.get("output") or {} for request in history.requests}
    for expected in history.expected_jobs:
        result = result_of_success(history, expected.id)
        compare = _COMPARED.get(expected.piece)
        if result and compare and expected.id:
            got, answered = compare(result, outputs.get(str(result.get("request_id")), {}))
            if got != answered:
                yield expected.id, f"its {expected.piece}: {got} instead of {answered}"


def count_of(result: dict[str, Any], piece: str) -> int:
    """Return how many pieces a result has: the files of a list, else one if there is something."""
    found = result.get(piece)
    return len(found) if isinstance(found, list) and piece not in VALUES else int(bool(found))


def _texts(result: dict[str, Any], output: dict[str, Any]) -> tuple[Any, Any]:
    return result["text"], str(output.get("text") or output.get("output") or "").strip()


def _points(result: dict[str, Any], output: dict[str, Any]) -> tuple[Any, Any]:
    return _rounded(found["normalised"] for found in result["points"]), _rounded(output.get("points", ()))


def _words(result: dict[str, Any], output: dict[str, Any]) -> tuple[Any, Any]:
    return result["description"], str(output.get("output", "")).strip()


def _places(result: dict[str, Any], output: dict[str, Any]) -> tuple[Any, Any]:
    return _rounded(found["normalised"] for found in result["objects"]), _rounded(output.get("objects", ()))


def _masks(result: dict[str, Any], output: dict[str, Any]) -> tuple[Any, Any]:
    return (len(result["masks"]), len(result["objects"])), (len(output.get("masks", ())), len(output.get("boxes", ())))


def _rounded(boxes: Any) -> list[dict[str, float]]:
    return [{name: round(share, 3) for name, share in sorted(box.items())} for box in boxes]


_COMPARED: dict[str, Callable[[dict[str, Any], dict[str, Any]], tuple[Any, Any]]] = {
    "text": _texts,
    "objects": _places,
    "points": _points,
    "description": _words,
    "masks": _masks,
}
