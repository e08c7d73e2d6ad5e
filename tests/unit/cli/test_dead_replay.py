"""The arguments of a replay, and the warnings before it."""

from dataclasses import replace
from typing import Any

import pytest

from worker.cli.commands.dead_replay import estimated_cost_usd, replay_arguments, replay_warnings
from worker.jobs.job import Attempt, Cost, Job, Options, Stage, Step, Ticket

STEP = Step("flux-schnell", {"prompt": "x", "image_size": "square", "num_images": 2}, ())
REQUEST = {"prompt": "x", "num_images": 2}
FAILED = Job("old", "generation.text_to_image", "generation", REQUEST, STEP, Options(), 1.0, Stage.FAILED)


def test_a_replay_has_the_same_request_with_a_label_and_a_new_idempotency_key() -> None:
    options = Options("acme", {"order": "7"}, 30.0, "low", "the first one's key")
    args, given = replay_arguments(replace(FAILED, options=options))
    key = given.pop("idempotency_key")
    assert (args, given) == (
        (),
        {**REQUEST, "tenant": "acme", "labels": {"order": "7", "replay_of": "old"}, "deadline_s": 30.0, "priority": "low"},
    )  # fmt: skip
    assert key != "the first one's key"
    assert replay_arguments(replace(FAILED, options=options))[1]["idempotency_key"] == key, (
        "a second replay returns the same job"
    )
    assert replay_arguments(replace(FAILED, id="another"))[1]["idempotency_key"] != key


def test_default_options_are_not_sent_again() -> None:
    assert set(replay_arguments(FAILED)[1]) == {*REQUEST, "labels", "idempotency_key"}


@pytest.mark.parametrize("labels", [{}, {"labels": {"a": "b"}}, {"labels": "no labels at all"}])
def test_a_job_that_no_worker_accepted_is_replayed_from_its_message(labels: dict[str, Any]) -> None:
    message = {"args": [{"task": "x"}], "kwargs": {"prompt": "x", "idempotency_key": "k", **labels}}
    args, given = replay_arguments(replace(FAILED, request={}, message=message))
    assert args == ({"task": "x"},)
    assert given["prompt"] == "x" and given["idempotency_key"] != "k"
    assert given["labels"]["replay_of"] == "old"
    assert message["kwargs"]["idempotency_key"] == "k", "the row is unchanged"


def test_the_warnings_have_the_price_and_what_the_failed_job_cost() -> None:
    ticket = Ticket("r-1")
    attempt = Attempt(1, "fal", "e", 1.0, ticket, 1.0, 2.0, cost=Cost(0.006, 2, "megapixel", estimated=False))
    assert replay_warnings(replace(FAILED, attempts=(attempt,))) == [
        "old: generation.text_to_image with flux-schnell",
        "a replay costs about 0.0060 USD",
        "the failed job: billed 0.0060 USD",
    ]
    assert (
        replay_warnings(replace(FAILED, step=replace(STEP, model="sdxl")))[1] == "a replay costs money: price unknown"
    )


@pytest.mark.parametrize("name", ["chain", "callbacks", "errbacks", "chord"])
def test_the_warnings_say_that_followers_are_not_replayed(name: str) -> None:
    assert "are not replayed" in replay_warnings(replace(FAILED, message={name: [{"task": "x"}]}))[-1]


def test_a_model_that_is_no_longer_in_the_catalogue_has_no_price() -> None:
    assert estimated_cost_usd(replace(FAILED, step=replace(STEP, model="gone"))) is None
