"""Reads the events of a run on fal's Comfy server: which node runs, how far it is, its files, its error. Pure.

The events are ComfyUI's own and a few of fal's (`fal-info`, `fal-node-timings`, `fal-execution-error`), each an object
with `type` and `data`; files come with URLs. Source: the ComfyUI connector (`routes.py`, `connector.js`) and clients of
the server. ComfyUI ends a run with `executing` of no node, or with `execution_success`.

A run that has begun is never repeated, so none of its errors is one that leads to another attempt.
"""

from collections.abc import Mapping
from typing import Any

from worker.errors import BrokenPieceError, ExternalServiceError, RequestRefusedError
from worker.files.answer_files import is_url
from worker.providers.base import Reply, RunFailure, Running

MOST_LINES = 20
MOST_TEXT = 500
MOST_FILES = 1000  # of one node; those that are not stored are counted
MOST_TEXTS = 64  # of one node
MOST_TEXTS_LENGTH = 256_000  # characters of all nodes together; a row has no place for more
_BEGUN, _DONE = "is running", "done"


class ComfyRun:
    """One run, as far as its events tell it. `nodes` are those of the workflow, in ComfyUI's API format."""

    def __init__(self, nodes: Mapping[str, Any]) -> None:
        self._nodes = nodes
        self._done = set[str]()
        self._node: str | None = None
        self._share = 0.0
        self._lines = dict[str, str]()  # by what they are about: a node has one line
        self._outputs = dict[str, dict[str, Any]]()
        self._texts_left = MOST_TEXTS_LENGTH
        self._error: ExternalServiceError | None = None
        self._has_ended = False

    @property
    def is_over(self) -> bool:
        """Whether the events have said that the run has ended, well or badly."""
        return self._has_ended or self._error is not None

    @property
    def running(self) -> Running:
        """The newest lines, and the progress: each node counts the same, as its duration is not known."""
        share = (len(self._done) + self._share) / max(1, len(self._nodes))
        return Running(tuple(self._lines.values())[-MOST_LINES:], round(min(share, 0.99), 3))

    def take(self, event: Mapping[str, Any]) -> None:
        """Read the next event. One of an unknown kind changes nothing."""
        data = event.get("data")
        data = data if isinstance(data, Mapping) else {"error": data}
        match event.get("type"):
            case "execution_cached":
                self._done |= {str(node) for node in _items(data.get("nodes"))} & self._nodes.keys()
            case "executing":
                self._execute(data.get("node"))
            case "progress":
                self._progress(data)
            case "executed":
                self._executed(str(data.get("node")), data.get("output"))
            case "execution_success":
                self._execute(None)
            case "execution_error" | "execution_interrupted":
                self._error = self._node_error(data)
            case "fal-execution-error":
                self._error = self._server_error(data)
            case "fal-info" if data.get("message"):
                self._say("fal", _text(data["message"]))

    def outcome(self, *, is_cut: bool) -> Reply | RunFailure | None:
        """What the run came to; None if the stream has ended before the run, however it ended."""
        if self._error is not None:
            return RunFailure(self._error)
        if not (self._has_ended or self._is_whole()):
            return None
        outputs = list(self._outputs.values())
        if not outputs:
            text = "fal: the workflow ended without a file or a text; it needs a node that saves, such as SaveImage_fal"
            return RunFailure(BrokenPieceError(text, provider="fal", kind="no_output"))
        return Reply({"outputs": outputs})

    def _execute(self, node: Any) -> None:
        """A node begins, so the one before it is done; without a node, the run has ended."""
        if self._node is not None:
            self._finish(self._node)
        self._node, self._share = None, 0.0
        if node is None:
            self._has_ended = True
        elif str(node) in self._nodes:
            self._node = str(node)
            self._say(self._node, f"{self._name(self._node)}: {_BEGUN}")

    def _progress(self, data: Mapping[str, Any]) -> None:
        value, most = data.get("value"), data.get("max")
        node = str(data.get("node") or self._node)
        if isinstance(value, int | float) and isinstance(most, int | float) and 0 <= value <= most and most > 0:
            self._share = value / most if node == self._node else self._share
            if node in self._nodes:
                self._say(node, f"{self._name(node)}: {value:g}/{most:g}")

    def _executed(self, node: str, output: Any) -> None:
        if node in self._nodes:
            self._finish(node)
            if isinstance(output, Mapping) and (found := self._output(node, output)):
                self._outputs[node] = found

    def _finish(self, node: str) -> None:
        self._done.add(node)
        if node == self._node:
            self._share = 0.0
        self._say(node, f"{self._name(node)}: {_DONE}")

    def _say(self, about: str, line: str) -> None:
        if self._lines.get(about) != line:
            self._lines.pop(about, None)
            self._lines[about] = line[:MOST_TEXT]

    def _is_whole(self) -> bool:
        """Whether every node has run that hands nothing on: the server may close the stream without a last event."""
        used = {str(link[0]) for node in self._nodes.values() for link in _inputs(node).values() if _items(link)}
        last = self._nodes.keys() - used
        return bool(last) and last <= self._done

    def _output(self, node: str, output: Mapping[str, Any]) -> dict[str, Any] | None:
        """The files and texts of a node; previews only where it has nothing else. Cut at once: events may be large."""
        items = [item for value in output.values() for item in _items(value)[:MOST_FILES]]
        files = [item for item in items if isinstance(item, Mapping) and is_url(item.get("url"))]
        files = [item for item in files if item.get("type") != "temp"] or files
        texts = self._cut([item for item in items if isinstance(item, str)][:MOST_TEXTS])
        if not files and not texts:
            return None
        return {"node": node, "files": [_file(item) for item in files[:MOST_FILES]], "texts": texts}

    def _cut(self, texts: list[str]) -> list[str]:
        """The texts, as far as the run still has room for them."""
        kept = list[str]()
        for text in texts:
            if self._texts_left <= 0:
                break
            kept.append(text[: min(20_000, self._texts_left)])
            self._texts_left -= len(kept[-1])
        return kept

    def _node_error(self, data: Mapping[str, Any]) -> ExternalServiceError:
        """ComfyUI's error of one node: its kind, and what it said."""
        node = str(data.get("node_id"))
        where = self._name(node) if node in self._nodes else f"node {node} ({_text(data.get('node_type'))})"
        why = _text(data.get("exception_message")) or "it was interrupted"
        return RequestRefusedError(f"fal: {where} failed: {why}", provider="fal", kind="node_failed")

    def _server_error(self, data: Mapping[str, Any]) -> ExternalServiceError:
        """fal's error of the whole run. With `node_errors` ComfyUI has refused the workflow, and says where."""
        error = data.get("error", data)
        inner = error.get("error", error) if isinstance(error, Mapping) else error
        said = [_message(inner)]
        node_errors = error.get("node_errors") if isinstance(error, Mapping) else None
        for node, found in list(node_errors.items())[:8] if isinstance(node_errors, Mapping) else ():
            reasons = _items(found.get("errors")) if isinstance(found, Mapping) else []
            words = "; ".join(_message(each) for each in reasons[:4])
            said.append(f"{self._name(str(node))}: {words}")
        code = data.get("code")
        is_ours = bool(node_errors) or (isinstance(code, int) and 400 <= code < 500)
        text = f"fal: the workflow failed: {'; '.join(filter(None, said)) or 'no detail'}"[: 4 * MOST_TEXT]
        status = code if isinstance(code, int) else None
        if is_ours:
            return RequestRefusedError(text, provider="fal", status=status, kind="workflow_refused")
        return BrokenPieceError(text, provider="fal", status=status, kind="run_failed")

    def _name(self, node: str) -> str:
        found = self._nodes.get(node)
        kind = found.get("class_type") if isinstance(found, Mapping) else None
        return f"node {node} ({kind})" if kind else f"node {node}"


def _message(error: Any) -> str:
    if not isinstance(error, Mapping):
        return _text(error)
    return ": ".join(filter(None, (_text(error.get("message")), _text(error.get("details")))))


def _text(value: Any) -> str:
    return " ".join(str(value or "").split())[:MOST_TEXT]


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _inputs(node: Any) -> Mapping[str, Any]:
    found = node.get("inputs") if isinstance(node, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _file(item: Mapping[str, Any]) -> dict[str, str]:
    names = {"url": item["url"], "file_name": item.get("filename") or item.get("file_name"),
             "content_type": item.get("content_type")}  # fmt: skip
    return {name: str(value) for name, value in names.items() if value}
