"""The story of a row: from the shortest life to the one with the most errors."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.engine.world import World
from worker.errors import ServiceUnavailableError, SubmitUnknownError
from worker.explain.history import FIRST, LAST
from worker.explain.story import began_at, money, story
from worker.jobs.cost import NOTHING_BILLED, Cost
from worker.jobs.job import (
    Artefact,
    Attempt,
    ErrorRecord,
    HistoryEntry,
    Job,
    Options,
    Receipt,
    Stage,
    Step,
    Ticket,
)
from worker.providers.base import CancelResult, Ended, Running

START = 1_700_000_000.0
PLAIN = Job("a", "generation.text_to_image", "generation", {}, Step("flux-schnell", {}, ()), Options(), START)
COST = Cost(0.006, 2, "megapixel", estimated=False)
POSSIBLE = Cost(0.0, 0, "megapixel", True, 0.0, 0.003)


def attempt(number: int = 1, **changes: Any) -> Attempt:
    usual: dict[str, Any] = {"ticket": Ticket(f"r-{number}"), "submitted_at": START + 0.3, "ended_at": START + 2.7}
    return Attempt(number, "fal", "fal-ai/flux/schnell", START + 0.1, **(usual | changes))


def job(stage: Stage = Stage.COMPLETED, **changes: Any) -> Job:
    ending = stage if stage in {Stage.COMPLETED, Stage.FAILED, Stage.CANCELLED} else None
    return replace(PLAIN, **{"stage": stage, "ending": ending, **changes})


def notes(*told: tuple[float, str, str]) -> tuple[HistoryEntry, ...]:
    return tuple(HistoryEntry(START + after, what, text) for after, what, text in told)


@pytest.fixture
def world() -> World:
    return World(now=START)


def test_a_good_life_is_told_from_the_sending_to_the_money() -> None:
    history = notes(
        (0.0, "sent", "to the queue generation"), (0.04, "accepted", ""),
        (0.1, "submitting", "attempt 1: fal fal-ai/flux/schnell"), (0.3, "ticket", "r-1"), (1.2, "looked", "running"),
        (2.7, "answered", "billed 0.0060 USD"), (2.9, "stored", "1 file, 84000 bytes"), (2.9, "ending", "completed"),
        (3.0, "closed", ""),
    )  # fmt: skip
    history = (*history[:4], replace(history[4], times=3), *history[5:])
    told = job(history=history, attempts=(attempt(inference_s=1.5, cost=COST),))
    assert story(told) == [
        "job a: generation.text_to_image with flux-schnell, SUCCESS (completed)",
        "2023-11-14 22:13:20 UTC",
        "     +0.0 s  sent to the queue generation",
        "     +0.0 s  accepted by a worker: the request is valid",
        "     +0.1 s  begins to submit attempt 1: fal fal-ai/flux/schnell",
        "     +0.3 s  taken by the provider as request r-1",
        "     +1.2 s  polled: running (3 times until then)",
        "     +2.7 s  the provider's answer is saved: billed 0.0060 USD",
        "     +2.9 s  stored 1 file, 84000 bytes",
        "     +2.9 s  the ending is decided: completed",
        "     +3.0 s  the ending has reached Celery",
        "attempt 1: fal fal-ai/flux/schnell; request r-1; taken after 0.2 s; ended 2.4 s later (the model: 1.5 s); "
        "billed 0.0060 USD",
        "money: billed 0.0060 USD",
    ]


def test_a_job_that_was_only_sent_has_cost_nothing() -> None:
    told = job(Stage.SENT, history=notes((0.0, "sent", "to the queue generation")))
    assert story(told)[-1] == "money: nothing was submitted, so nothing was billed"


def test_a_row_without_a_history_says_so_and_begins_when_it_was_accepted() -> None:
    told = job(Stage.WAITING, sent_at=None)
    assert began_at(told) == START
    assert "an older version" in story(told)[2]


def test_every_word_of_a_history_is_a_sentence() -> None:
    whats = (
        "sent", "message_sent_again", "accepted", "submitting", "ticket", "unknown", "again_later", "waiting", "looked",
        "answered", "fetch_again", "stored", "ending", "closing_message_again", "closed", "something_new",
    )  # fmt: skip
    told = story(job(history=notes(*((0.0, what, "why") for what in whats))))
    assert not [line for line in told if "{" in line or "_again" in line or "something_new" in line]
    assert any("something new: why" in line for line in told)


@pytest.mark.parametrize(
    ("signal", "said"),
    [
        ("cancel", "a cancel arrived"),
        ("webhook:2", "the provider's webhook for attempt 2 arrived"),
        ("ticket:1", "the ticket of attempt 1 arrived late, from the worker that had submitted it"),
        ("{x}", "signal {x}"),
        ("step:item-1-1x4", "step item-1-1x4 is sent"),
        ("step_ended:item-1-1x4", "step item-1-1x4 has ended"),
    ],
)
def test_what_was_heard_is_told(signal: str, said: str) -> None:
    told = story(job(history=notes((0.0, "accepted", ""), (1.0, "heard", signal))))
    assert told[3] == f"     +1.0 s  {said}"


def test_an_attempt_that_was_refused_and_one_that_may_be_a_duplicate_say_so() -> None:
    lost = ErrorRecord("submit_unknown", "the answer was lost", "fal")
    refused = ErrorRecord("rate_limited", "fal: slow down (HTTP 429)", "fal", 429)
    attempts = (
        attempt(1, ticket=None, submitted_at=None, error=lost),
        attempt(2, ticket=None, submitted_at=None, error=refused, possible_duplicate=True),
        attempt(3, ended_at=None, possible_duplicate=True),
    )
    told = story(job(Stage.WAITING, attempts=attempts))
    assert "attempt 1: fal fal-ai/flux/schnell; given up after 2.6 s; submit_unknown: the answer was lost" in told
    assert [line for line in told if "rate_limited: fal: slow down (HTTP 429); a possible duplicate" in line]
    assert [line for line in told if "taken after 0.2 s; running; a possible duplicate" in line]
    assert money(job(Stage.WAITING, attempts=attempts)) == (
        "billed an unknown sum; attempt 1 may have been taken and billed an unknown sum; "
        "attempt 3 has not ended: it may cost an unknown sum"
    )


def test_money_is_the_sum_of_all_attempts() -> None:
    about = Cost(0.008, 2, "megapixel", True, 0.0, 0.01)
    assert money(job(attempts=(attempt(1, cost=COST), attempt(2, cost=about)))) == (
        "billed between 0.0060 and 0.0160 USD; attempt 2 ended without a whole bill: between 0.0000 and 0.0100 USD"
    )
    unknown = Cost(None, 2, "megapixel", estimated=True)
    assert money(job(attempts=(attempt(1, cost=unknown),))).startswith(
        "billed 2 units whose price is not known; attempt 1"
    )
    zero = Cost(None, 0.0, "megapixel", estimated=True)
    assert money(job(attempts=(attempt(1, cost=zero),))).startswith("billed an unknown sum; attempt 1")
    assert money(job(attempts=(attempt(1),))).startswith("billed an unknown sum; attempt 1 ended without a whole bill")
    failed = attempt(1, error=ErrorRecord("service_unavailable", "x"), cost=NOTHING_BILLED)
    assert money(job(Stage.FAILED, attempts=(failed, attempt(2, cost=COST)))) == "billed 0.0060 USD"
    refused = attempt(1, ticket=None, error=ErrorRecord("rate_limited", "x"))
    assert money(job(Stage.FAILED, attempts=(refused,))) == "nothing was billed"


def test_a_cost_of_an_older_version_is_an_estimate_without_a_limit() -> None:
    old = Cost(0.004, 1, "image", estimated=True)
    assert money(job(attempts=(attempt(1, cost=old),))).startswith(
        "billed about 0.0040 USD, and no upper bound is known"
    )


@pytest.mark.parametrize(
    ("receipt", "files", "said"),
    [
        (Receipt(START, in_time=True), (), "stopped in time; nothing was billed"),
        (
            Receipt(START, in_time=True, cost=POSSIBLE, total_cost=POSSIBLE),
            (),
            "stopped in time; up to 0.0030 USD may have been billed",
        ),
        (Receipt(START, in_time=False, cost=COST), ("x",), "cancelled too late; billed 0.0060 USD; its files are kept"),
        (Receipt(START, in_time=False), (), "cancelled too late; it may have been billed; there are no files"),
    ],
)
def test_the_receipt_is_the_last_word(receipt: Receipt, files: tuple[str, ...], said: str) -> None:
    artefacts = tuple(Artefact(name, name, "image", "image/png", 1, "00") for name in files)
    told = job(Stage.CANCELLED, receipt=receipt, artefacts=artefacts, attempts=(attempt(1),))
    assert story(told)[-1] == f"receipt: {said}"
    assert not [line for line in story(replace(told, stage=Stage.WAITING, ending=None)) if "receipt" in line]


def test_of_a_long_history_the_gap_is_marked() -> None:
    told = story(job(history=tuple(HistoryEntry(START + n, "looked", str(n)) for n in range(FIRST + LAST))))
    (gap,) = [place for place, line in enumerate(told) if "the middle of a long history is left out" in line]
    assert gap == 2 + FIRST
    assert not [line for line in story(job(history=notes((0.0, "looked", "x")))) if "left out" in line]


async def test_the_life_of_a_lost_submission_can_be_read(world: World) -> None:
    world.fal.submits = [SubmitUnknownError("fal: no answer"), Ticket("r-2")]
    world.fal.polls = [Running(), Ended(inference_s=1.0)]
    await world.accept()
    told = "\n".join(story(await world.until(Stage.CLOSING)))
    assert "unknown whether the provider has taken it: not in the provider's list yet" in told
    assert "will be tried again: nobody has it: it was not taken" in told
    assert "attempt 2: fal fal-ai/flux/schnell, a possible duplicate" in told
    assert told.endswith(
        "money: billed between 0.0060 and 0.0090 USD; "
        "attempt 1 may have been taken and billed between 0.0000 and 0.0030 USD"
    )


async def test_the_life_of_a_cancelled_job_can_be_read(world: World) -> None:
    world.fal.polls = [Running()]
    world.fal.cancels = [ServiceUnavailableError("away"), CancelResult.STOPPED]
    await world.accept()
    await world.turn()
    await world.ledger.signal("a", "cancel")
    told = "\n".join(story(await world.until(Stage.CLOSING)))
    assert "a cancel arrived" in told
    assert "waiting: the provider cannot be told to stop" in told
    assert "the ending is decided: cancelled; stopped in time; nothing was billed" in told
    assert "money: nothing was billed\n" in told
