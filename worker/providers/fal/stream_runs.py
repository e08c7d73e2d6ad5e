"""Reads the events of a stream: a workflow's, or those of an endpoint that sends longer and longer outputs. Pure.

Sources: https://fal.ai/docs/model-apis/inference/streaming, and the event types of fal's workflows (`submit`,
`completion`, `output`, `error`; `projects/fal/src/fal/workflows.py`). A workflow does not tell how many nodes it has.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from worker.files.answer_files import file_of
from worker.providers.base import Reply, RunFailure, Running
from worker.providers.fal.answers import as_object
from worker.providers.fal.errors import fal_error

MOST_LINES = 20
MOST_TEXT = 500
_ERROR = frozenset({"detail", "error", "error_type", "message", "status", "type"})  # the keys of an event that is one


class LastEvent:
    """The run of an endpoint that sends longer and longer parts of its output: the last event is the answer."""

    is_over = False

    def __init__(self) -> None:
        self._last: Mapping[str, Any] | None = None
        self._count = 0

    @property
    def running(self) -> Running:
        """The end of the text so far; of an output without text its files so far."""
        last = self._last or {}
        text = last.get("output")
        if isinstance(text, str) and text:
            return Running((text[-MOST_TEXT:],))
        return Running((f"{self._count} events", *_urls(last))) if self._count else Running()

    def take(self, event: Mapping[str, Any]) -> None:
        """Keep it."""
        self._last, self._count = event, self._count + 1

    def outcome(self, *, is_cut: bool) -> Reply | RunFailure | None:
        """The last event; of a stream that broke it may be a part of the answer."""
        if is_cut or self._last is None:
            return None
        if _is_error(self._last):
            return _failure(self._last)
        return Reply(as_object(dict(self._last)))


class WorkflowRun:
    """The run of a workflow: its nodes one by one, then its output."""

    def __init__(self) -> None:
        self._lines = dict[str, str]()  # by node
        self._output: Any = None
        self._error: Mapping[str, Any] | None = None
        self.is_over = False

    @property
    def running(self) -> Running:
        """A line for each of the newest nodes."""
        return Running(tuple(self._lines.values())[-MOST_LINES:])

    def take(self, event: Mapping[str, Any]) -> None:
        """Read the next event. One of an unknown kind changes nothing."""
        node = str(event.get("node_id") or "a node")[:100]
        app = str(event.get("app_id") or "")[:200]
        match event.get("type"):
            case "submit":
                self._say(node, app, "is running")
            case "completion":
                self._say(node, app, "done")
            case "output":
                self._output, self.is_over = event.get("output"), True
            case "error":
                self._say(node, app, "failed")
                self._error, self.is_over = event, True

    def outcome(self, *, is_cut: bool) -> Reply | RunFailure | None:
        """The output, or the error of the node that failed; None if the stream has ended before the run."""
        if self._error is not None:
            return _failure(self._error)
        return Reply(as_object(self._output)) if self.is_over else None

    def _say(self, node: str, app: str, what: str) -> None:
        known = self._lines.pop(node, "").rpartition(": ")[0]  # a completion need not name the app
        self._lines[node] = f"{f'{node} ({app})' if app else known or node}: {what}"


def _failure(event: Mapping[str, Any]) -> RunFailure:
    """A run that has begun is not repeated by itself: its error is fal's refusal of it, whatever its status was."""
    found = event.get("error")
    inner = found if isinstance(found, Mapping) else event
    status = inner.get("status")
    body = inner.get("body") or {
        "detail": found if isinstance(found, str) else inner.get("detail", inner.get("message"))
    }
    is_refusal = isinstance(status, int) and 400 <= status < 500 and status not in {401, 403, 408, 409, 429}
    return RunFailure(fal_error(int(status) if is_refusal and status else 422, body, {}))


def _is_error(event: Mapping[str, Any]) -> bool:
    return bool({"detail", "error"} & event.keys()) and event.keys() <= _ERROR


def _urls(event: Mapping[str, Any]) -> Iterator[str]:
    items = [item for value in event.values() for item in (value if isinstance(value, list) else [value])]
    files = [file.url for item in items if (file := file_of(item))]
    yield from [url for url in files if url[:5].lower() != "data:" and len(url) <= MOST_TEXT][: MOST_LINES - 1]
