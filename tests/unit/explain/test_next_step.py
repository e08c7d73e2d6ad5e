"""What happens next, in a sentence with its time: over rows of every stage."""

from dataclasses import replace
from typing import Any

import pytest

from worker.explain.next_step import next_step, span
from worker.jobs.job import FINAL, Attempt, Job, Options, Receipt, Stage, Step, Ticket
from worker.ledger.base import Row

NOW = 1000.0
FIRST = Attempt(1, "fal", "fal-ai/flux/schnell", 990.0, Ticket("r-1"), 990.1)
SENT = Job("a", "generation.text_to_image", "generation", {}, Step("flux-schnell", {}, ()), Options(), 990.0)


def row(stage: Stage, *, due_in: float | None = 2.1, held: float | None = None, **changes: Any) -> Row:
    more = {name: changes.pop(name) for name in ("claims_since_write", "signals", "forgotten_at") if name in changes}
    if stage not in {Stage.SENT, Stage.ACCEPTED}:
        changes.setdefault("attempts", (FIRST,))
    job = replace(SENT, stage=stage, **changes)
    due = None if due_in is None else NOW + due_in
    return Row(job, due, None if held is None else NOW + held, 3, **{"claims_since_write": 0, **more})


@pytest.mark.parametrize(
    ("stage", "changes", "said"),
    [
        (Stage.SENT, {}, "its message is sent again, unless a worker accepts it first"),
        (Stage.ACCEPTED, {}, "it is submitted"),
        (Stage.ACCEPTED, {"attempts": (FIRST,)}, "attempt 2 is made"),
        (Stage.SUBMITTING, {}, "the worker that submitted it counts as dead, and attempt 1 is searched for at fal"),
        (Stage.UNKNOWN, {}, "attempt 1 is searched for again at fal"),
        (Stage.WAITING, {}, "it is polled"),
        (Stage.WAITING, {"receipt": Receipt(999.0)}, "fal is asked again to stop it"),
        (
            Stage.WAITING,
            {"receipt": Receipt(999.0, told=True)},
            "it is polled, to see whether it has stopped",
        ),
        (Stage.FETCHED, {}, "its files are fetched"),
        (Stage.STORED, {}, "its ending is decided"),
        (
            Stage.CLOSING,
            {"ending": Stage.FAILED},
            "its closing message is sent again, unless it has arrived",
        ),
        (
            Stage.CLOSING,
            {"ending": Stage.CANCELLED},
            "its ending is published again, unless it has arrived",
        ),
    ],
)
def test_a_row_that_waits_says_what_is_done_and_when(stage: Stage, changes: dict[str, Any], said: str) -> None:
    found = next_step(row(stage, **changes), NOW)
    assert (found.text, found.at) == (f"in 2.1 s: {said}", NOW + 2.1)


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage not in FINAL])
def test_a_held_row_says_until_when(stage: Stage) -> None:
    ending = Stage.COMPLETED if stage == Stage.CLOSING else None
    found = next_step(row(stage, due_in=5.2, held=5.2, claims_since_write=1, ending=ending), NOW)
    assert found.text.startswith("a worker ")
    assert found.text.endswith("; if it dies, another worker continues in 5.2 s")


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage not in FINAL])
def test_an_overdue_row_asks_for_a_worker(stage: Stage) -> None:
    ending = Stage.COMPLETED if stage == Stage.CLOSING else None
    found = next_step(row(stage, due_in=-40.0, ending=ending), NOW).text
    assert found.startswith("it is due, and the next free worker takes it: ")
    assert found.endswith("It has been due for 40.0 s: does a worker consume the queue generation?")


def test_a_row_that_is_just_due_asks_for_nothing() -> None:
    assert next_step(row(Stage.WAITING, due_in=-0.2), NOW).text == (
        "it is due, and the next free worker takes it: it is polled"
    )


def test_a_cancel_that_no_worker_has_seen_is_shown() -> None:
    found = next_step(row(Stage.WAITING, due_in=3.0, held=3.0, claims_since_write=1, signals={"cancel": "1"}), NOW)
    assert found.text.endswith("continues in 3.0 s (a cancel is on the row)")
    asked = row(Stage.WAITING, due_in=3.0, signals={"cancel": "1"}, receipt=Receipt(999.0, told=True))
    assert next_step(asked, NOW).text == "in 3.0 s: it is polled, to see whether it has stopped"


def test_claims_without_a_write_are_shown() -> None:
    assert next_step(row(Stage.WAITING, claims_since_write=3), NOW).text.endswith(
        "(3 claims in a row ended without a write)"
    )
    held = row(Stage.WAITING, due_in=5.0, held=5.0, claims_since_write=2)
    assert next_step(held, NOW).text.endswith("(1 claim in a row ended without a write)")


@pytest.mark.parametrize(
    ("stage", "state"), [(Stage.COMPLETED, "SUCCESS"), (Stage.FAILED, "FAILURE"), (Stage.CANCELLED, "REVOKED")]
)
def test_an_ended_row_is_only_deleted(stage: Stage, state: str) -> None:
    ended = row(stage, due_in=None, ending=stage, forgotten_at=NOW + 6.9 * 86400)
    assert next_step(ended, NOW).text == f"nothing: it ended as {state}, and its row is deleted in 6.9 days"
    kept = next_step(replace(ended, forgotten_at=None), NOW).text
    assert kept == f"nothing: it ended as {state}, and its row is kept for KILNHAND_RESULT_DAYS"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.04, "0.0 s"), (119.9, "119.9 s"), (150, "2.5 min"), (7200, "2.0 h"), (200_000, "2.3 days")]
)
def test_a_span_has_a_readable_unit(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_a_row_beyond_its_tenants_share_waits_for_room() -> None:
    of_a_tenant = row(Stage.ACCEPTED, due_in=55.0, options=Options(tenant="t"))
    assert next_step(of_a_tenant, NOW).text == "it is submitted when a worker has room for more jobs of its tenant"
    assert next_step(row(Stage.ACCEPTED, due_in=55.0), NOW).text == "in 55.0 s: it is submitted"
