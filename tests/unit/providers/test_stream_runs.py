"""What the events of a stream say: longer and longer outputs, and the nodes of a workflow."""

from typing import Any

import pytest

from worker.errors import RequestRefusedError
from worker.providers.base import Reply, RunFailure, Running
from worker.providers.fal.stream_runs import LastEvent, WorkflowRun

URL = "https://v3.fal.media/files/a/b.png"


def told(run: Any, *events: dict[str, Any]) -> Any:
    for event in events:
        run.take(event)
    return run


def test_the_last_event_is_the_answer_and_the_ones_before_it_are_shown() -> None:
    run = LastEvent()
    assert run.running == Running() and run.outcome(is_cut=False) is None
    told(run, {"output": "A b", "partial": True})
    assert run.running == Running(("A b",)) and not run.is_over
    told(run, {"output": "x" * 900})
    assert run.running == Running(("x" * 500,))
    assert run.outcome(is_cut=False) == Reply({"output": "x" * 900})


def test_files_of_a_part_are_shown() -> None:
    run = told(LastEvent(), {"images": []}, {"images": [{"url": URL}, {"url": "data:image/png;base64,AA"}], "seed": 3})
    assert run.running == Running(("2 events", URL))
    assert run.outcome(is_cut=False) == Reply(
        {"images": [{"url": URL}, {"url": "data:image/png;base64,AA"}], "seed": 3}
    )


@pytest.mark.parametrize(
    "event",
    [
        {"detail": [{"loc": ["body", "prompt"], "msg": "is too long", "type": "value_error"}]},
        {"error": {"status": 422, "body": {"detail": "is too long"}}},
        {"type": "error", "error": {"status": 503, "body": {"detail": "is too long"}}},
        {"error": "is too long"},
    ],
)
def test_an_event_that_is_an_error_fails_the_run_and_is_never_one_to_try_again(event: dict[str, Any]) -> None:
    outcome = told(LastEvent(), {"output": "A"}, event).outcome(is_cut=False)
    assert isinstance(outcome, RunFailure) and isinstance(outcome.error, RequestRefusedError)
    assert "is too long" in outcome.error.message


def test_an_output_that_has_an_error_among_other_values_is_an_output() -> None:
    assert told(LastEvent(), {"output": "A", "error": None}).outcome(is_cut=False) == Reply(
        {"output": "A", "error": None}
    )


def submitted(node: str, app: str) -> dict[str, Any]:
    return {"type": "submit", "node_id": node, "app_id": app, "request_id": "r"}


def test_the_nodes_of_a_workflow_are_its_lines_and_its_output_is_the_answer() -> None:
    run = told(WorkflowRun(), submitted("n1", "fal-ai/flux/dev"), submitted("n2", "fal-ai/rembg"), {"type": "new"})
    assert run.running.logs == ("n1 (fal-ai/flux/dev): is running", "n2 (fal-ai/rembg): is running")
    told(run, {"type": "completion", "node_id": "n1", "output": {"images": [{"url": URL}]}})
    assert run.running.logs == ("n2 (fal-ai/rembg): is running", "n1 (fal-ai/flux/dev): done")
    assert not run.is_over and run.outcome(is_cut=False) is None
    told(run, {"type": "output", "output": {"image": {"url": URL}}})
    assert run.is_over and run.outcome(is_cut=False) == Reply({"image": {"url": URL}})


def test_a_node_that_failed_is_the_error_of_the_workflow() -> None:
    error = {"status": 422, "body": {"detail": [{"loc": ["body", "prompt"], "msg": "is too long", "type": "x"}]}}
    run = told(
        WorkflowRun(), submitted("n1", "a/b"), {"type": "error", "node_id": "n1", "message": "m", "error": error}
    )
    outcome = run.outcome(is_cut=False)
    assert run.is_over and run.running.logs == ("n1 (a/b): failed",)
    assert isinstance(outcome, RunFailure) and "prompt" in outcome.error.message
