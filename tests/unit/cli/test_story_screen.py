"""`kilnhand why` names the steps of a pipeline."""

from tests.unit.explain.test_story import job, notes
from worker.cli.screen.story import story_as_json
from worker.edge.pipeline import step_id
from worker.ledger.base import Row


def test_steps_are_named_from_signals_and_when_these_are_gone_from_the_history() -> None:
    whole = job(history=notes((0.0, "accepted", ""), (1.0, "heard", "step:a"), (2.0, "heard", "step_ended:a")))
    running = Row(whole, None, None, 1, 0, signals={"step:a": "x", "step:b": "x", "step_ended:a": ""})
    ended = Row(whole, None, None, 1, 0)
    assert story_as_json(ended, 9.0)["steps"] == [{"name": "a", "job_id": step_id(whole.id, "a")}]
    assert [step["name"] for step in story_as_json(running, 9.0)["steps"]] == ["a", "b"]
