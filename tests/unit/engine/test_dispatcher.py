"""The life of a row, step by step, with a clock that the test winds: what is written before what is done."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.engine.fakes import DONE
from tests.unit.engine.world import LEASE_S, World
from worker.engine import row_writer
from worker.engine.row_writer import DEFECTS
from worker.errors import (
    AuthenticationError,
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
)  # fmt: skip
from worker.explain.story import story
from worker.jobs.job import Job, Kind, Options, Piece, Stage, Step, Ticket, dump_job, dump_ticket
from worker.jobs.signals import ticket_signal
from worker.jobs.status import JobStatus
from worker.ledger.base import Claim
from worker.providers.base import Call, Ended, Queued, Reply, RunFailure, Running


@pytest.fixture
def world() -> World:
    return World()


async def test_a_job_goes_through_every_stage_once(world: World) -> None:
    await world.accept(labels={"k": "v"})
    row = await world.until(Stage.CLOSING)
    assert world.fal.calls == ["submit", "poll", "result"]
    assert row.ending == Stage.COMPLETED
    result = dict(row.result or {})
    assert result["images"][0]["url"] == "https://ours/jobs/a/images-0.png"
    assert (result["seed"], result["labels"], result["request_id"]) == (7, {"k": "v"}, "r-1")
    sums = {"usd": 0.006, "lower_usd": 0.006, "upper_usd": 0.006, "certainty": "exact"}
    assert result["cost"] == {"units": 2, "per": "megapixel", "estimated": False, **sums}
    assert result["total_cost"] == result["cost"]
    assert [job.ending for job in world.publisher.closed] == [Stage.COMPLETED]
    assert world.publisher.milestones == ["QUEUED", "IN_PROGRESS"]


async def test_the_intent_is_on_the_row_before_the_post(world: World) -> None:
    await world.accept()
    seen: list[Stage] = []
    world.fal.before_submit = lambda: seen.append(world.ledger.rows["a"].job.stage)
    await world.turn()
    assert seen == [Stage.SUBMITTING]


async def test_the_ticket_is_saved_before_the_first_look(world: World) -> None:
    await world.accept()
    row = await world.turn()
    assert (row.stage, row.attempts[0].ticket) == (Stage.WAITING, Ticket("r-1"))
    assert world.fal.calls == ["submit"]


async def test_what_was_refused_is_tried_again_after_a_pause(world: World) -> None:
    world.fal.submits = [RateLimitError("slow", retry_after_s=20), ServiceUnavailableError("away"), Ticket("r-3")]
    await world.accept()
    await world.turn()
    world.now += 19
    await world.turn()
    assert world.fal.calls == ["submit"]
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    assert [a.error.code if a.error else None for a in row.attempts] == [
        "rate_limited",
        "service_unavailable",
        None,
    ]


async def test_after_a_minute_of_refusals_the_job_fails_with_the_last(world: World) -> None:
    world.fal.submits = [ServiceUnavailableError("away")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert world.fal.calls == ["submit"] * 10
    assert row.closed_at and 60 < row.closed_at - row.created_at < 120
    assert (row.ending, row.error and row.error.message) == (Stage.FAILED, "away; vertex is disabled")


@pytest.mark.parametrize(
    ("error", "told"),
    [(AuthenticationError("bad key"), "bad key; vertex is disabled"), (ContentRefusedError("no"), "no")],
)
async def test_what_is_final_is_not_tried_again(world: World, error: ExternalServiceError, told: str) -> None:
    world.fal.submits = [error]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert world.fal.calls == ["submit"]
    assert row.error and row.error.message == told


async def test_without_a_provider_the_job_fails_at_once_and_says_what_to_set(world: World) -> None:
    world.providers.clear()
    await world.accept()
    row = await world.until(Stage.CLOSING, seconds=1)
    assert row.error and row.error.code == "provider_disabled"
    assert "set FAL_KEY" in row.error.message


async def test_a_look_that_fails_is_only_a_look(world: World) -> None:
    world.fal.polls = [
        ServiceUnavailableError(),
        AuthenticationError(),
        RateLimitError(retry_after_s=5),
        Queued(2),
        Ended(),
    ]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    assert world.fal.calls.count("submit") == 1


async def test_a_run_that_failed_unbilled_is_tried_again_and_a_refused_one_is_not(world: World) -> None:
    world.fal.results = [RunFailure(ServiceUnavailableError("runner gone")), RunFailure(ContentRefusedError("no"), 1)]
    world.fal.submits = [Ticket("r-1"), Ticket("r-2")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert world.fal.calls.count("submit") == 2
    assert row.ending == Stage.FAILED
    assert [a.cost.usd if a.cost else None for a in row.attempts] == [0.0, 0.003]


async def test_a_file_that_does_not_come_is_asked_for_again_without_a_new_submission(world: World) -> None:
    world.fetcher.errors = [ServiceUnavailableError("cdn away")] * 5
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    assert world.fal.calls.count("submit") == 1


async def test_a_broken_piece_is_not_paid_for_twice(world: World) -> None:
    world.fetcher.errors = [BrokenPieceError("text/html instead of an image")] * 3
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert (row.ending, world.fal.calls.count("submit")) == (Stage.FAILED, 1)


async def test_a_page_in_the_pieces_place_is_asked_for_again(world: World) -> None:
    world.fetcher.errors = [BrokenPieceError("text/html instead of an image")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert (row.ending, world.fal.calls.count("submit")) == (Stage.COMPLETED, 1)


async def test_another_worker_goes_on_from_the_ticket_when_this_one_dies(world: World) -> None:
    world.fal.polls = [Running()]
    await world.accept()
    await world.turn()
    world.now += 1
    await world.ledger.claim(["generation"], 1, LEASE_S)  # a worker takes it, and dies
    world.fal.polls = [Ended()]
    world.now += LEASE_S + 0.1
    row = await world.turn(world.another())
    assert row.stage == Stage.CLOSING
    assert world.fal.calls.count("submit") == 1


async def test_a_worker_that_lost_its_claim_neither_writes_nor_tells(world: World) -> None:
    await world.accept()
    other: list[Claim] = []

    def stall() -> None:  # longer than the lease, in the middle of the POST
        world.now += LEASE_S + 1
        row = world.ledger.rows["a"]
        row.fence += 1
        other.append(Claim(row.job, row.fence, world.now))

    world.fal.before_submit = stall
    await world.turn()
    row = await world.row()
    assert row.stage == Stage.SUBMITTING
    assert world.publisher.told == []


async def test_a_ticket_that_comes_too_late_is_found_by_whoever_holds_the_row_now(world: World) -> None:
    await world.accept()

    def stall() -> None:  # stopped in the middle of the POST, long enough to lose the claim
        world.now += LEASE_S + 1

    other = world.another()
    real = world.fal.submit

    async def slow(call: Call) -> Ticket:
        stall()
        await other.run_once()  # another worker finds an intent that is not its own, and waits a little
        await other.idle()
        return await real(call)

    world.fal.submit = slow  # type: ignore[method-assign]
    await world.turn()
    assert (await world.row()).stage == Stage.UNKNOWN
    row = await world.turn(other)
    assert row.attempts[0].ticket == Ticket("r-1")
    await world.until(Stage.CLOSING)
    assert world.fal.calls.count("submit") == 1


async def test_a_row_that_comes_back_to_the_worker_that_is_still_at_it_is_not_minded_twice(world: World) -> None:
    await world.accept()
    real = world.fal.submit

    async def slow(call: Call) -> Ticket:
        world.now += LEASE_S + 1  # the ledger was away for longer than the lease
        await world.dispatcher.run_once()
        return await real(call)

    world.fal.submit = slow  # type: ignore[method-assign]
    row = await world.turn()
    assert (row.stage, row.attempts[0].ticket) == (Stage.WAITING, Ticket("r-1"))
    assert world.fal.calls == ["submit"]


async def test_nothing_stands_between_an_intent_and_its_post(world: World) -> None:
    order: list[str] = []
    tell = world.publisher.publish

    async def told(job: Job, status: JobStatus, milestone: bool) -> None:
        order.append(f"told {job.stage}")
        await tell(job, status, milestone)

    world.publisher.publish = told  # type: ignore[method-assign]
    world.fal.before_submit = lambda: order.append("POST")
    await world.accept()
    await world.turn()
    assert order == ["POST", "told waiting"]


async def test_a_job_without_a_deadline_of_its_own_ends_all_the_same(world: World) -> None:
    world.fal.polls = [AuthenticationError("the key was taken away")]
    await world.accept()
    row = await world.until(Stage.CLOSING, seconds=10_000)
    assert row.error and row.error.code == "deadline_exceeded"
    assert row.closed_at and 7200 < row.closed_at - row.created_at < 7300


async def test_a_pause_that_a_provider_asks_for_does_not_outlast_the_deadline(world: World) -> None:
    world.fal.polls = [RateLimitError(retry_after_s=86_400)]
    await world.accept(deadline_s=30)
    row = await world.until(Stage.CLOSING)
    assert row.closed_at and 30 < row.closed_at - row.created_at < 32


async def test_a_request_must_be_denied_several_times_before_it_is_believed_to_be_gone(world: World) -> None:
    gone = RequestRefusedError("not known any more", kind="not_found")
    world.fal.polls = [gone, gone, Ended()]
    await world.accept()
    assert (await world.until(Stage.CLOSING)).ending == Stage.COMPLETED
    world.fal.polls = [gone]
    await world.ledger.confirm("a", 0)
    await world.accept()
    assert (await world.until(Stage.CLOSING)).ending == Stage.FAILED


async def test_a_job_whose_model_has_left_the_catalogue_goes_on_where_it_is(world: World) -> None:
    await world.accept()
    await world.turn()
    row = world.ledger.rows["a"]
    row.job = replace(row.job, step=replace(row.job.step, model="gone"))
    assert (await world.until(Stage.CLOSING)).ending == Stage.COMPLETED


async def test_what_cannot_be_written_is_no_outage_and_ends_the_job(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.accept()
    await world.turn()
    release = world.ledger.release

    async def strict(claim: Claim, job: Job, due_in_s: float) -> None:
        if job.observed.logs:
            raise ValueError("half a surrogate pair")
        await release(claim, job, due_in_s)

    monkeypatch.setattr(world.ledger, "release", strict)
    world.fal.polls = [Running(("\ud800",))]
    row = await world.until(Stage.CLOSING)
    assert row.error and row.error.code == "internal"


async def test_a_claim_that_arrives_while_stopping_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.accept()
    claim = world.ledger.claim

    async def late(queues: list[str], limit: int, lease_s: float) -> object:
        found = await claim(queues, limit, lease_s)
        await world.dispatcher.stop(0.0, 0.0)
        return found

    monkeypatch.setattr(world.ledger, "claim", late)
    await world.dispatcher.run_once()
    assert world.dispatcher.jobs == {}
    assert world.fal.calls == []


async def test_a_closing_message_that_nobody_confirms_is_sent_again_in_growing_steps(world: World) -> None:
    await world.accept()
    await world.until(Stage.CLOSING)
    times = [world.now]
    while len(times) < 4:
        world.now += 1
        before = len(world.publisher.closed)
        await world.turn()
        if len(world.publisher.closed) > before:
            times.append(world.now)
    assert [round(b - a) for a, b in itertools.pairwise(times)] == [8, 16, 32]
    await world.ledger.confirm("a", 1e6)
    world.now += 1000
    await world.turn()
    assert len(world.publisher.closed) == 4


async def test_what_could_not_be_told_does_not_stop_the_job(world: World) -> None:
    world.publisher.away = True
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    world.publisher.away = False
    world.now += 60
    await world.turn()
    assert len(world.publisher.closed) == 1


async def test_a_ticket_is_written_however_long_the_ledger_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.accept()
    release, tries = world.ledger.release, [0]

    async def away(*args: Any) -> None:
        tries[0] += 1
        if tries[0] < 6:
            raise ConnectionError("redis is restarting")
        await release(*args)

    async def no_time(seconds: float) -> None:
        return None

    monkeypatch.setattr(world.ledger, "release", away)
    monkeypatch.setattr(row_writer.asyncio, "sleep", no_time)
    row = await world.turn()
    assert (row.stage, row.attempts[0].ticket) == (Stage.WAITING, Ticket("r-1"))


async def test_a_row_that_kills_workers_is_given_up(world: World) -> None:
    await world.accept()
    for _ in range(8):
        await world.ledger.claim(["generation"], 1, LEASE_S)
        world.now += LEASE_S + 1
    row = await world.turn()
    assert row.error and row.error.code == "internal"
    assert "died or hung each time, at stage accepted" in row.error.message
    assert world.fal.calls == []


async def test_an_error_that_nobody_foresaw_ends_the_job_after_a_few_tries(world: World) -> None:
    world.fal.polls = [RuntimeError("a bug with password=hunter22")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert row.error and row.error.code == "internal"
    assert "RuntimeError: a bug with password=*** (worker.engine." in row.error.message, "why it failed"
    told = "\n".join(story(row))
    assert "an unexpected error in the worker: RuntimeError: a bug" in told and "hunter22" not in told
    assert "(5 times until then)" in told and "the ending is decided: failed; internal: 5 unexpected errors" in told
    assert world.fal.calls.count("poll") == DEFECTS


async def test_progress_is_told_at_most_once_a_second_and_milestones_always(world: World) -> None:
    await world.accept()
    world.fal.polls = [Running((f"{n}/100",)) for n in range(1, 21)] + [Ended()]
    await world.turn()
    stamps: list[float] = []
    while (await world.row()).stage == Stage.WAITING:
        world.now += 0.1
        before = len(world.publisher.told)
        await world.turn()
        if len(world.publisher.told) > before and (await world.row()).stage == Stage.WAITING:
            stamps.append(world.now)
    assert all(b - a >= 0.99 for a, b in itertools.pairwise(stamps)), stamps
    assert len(stamps) >= 3


async def test_no_more_rows_are_held_than_allowed(world: World) -> None:
    step = Step("flux-schnell", {"prompt": "x"}, ())
    for n in range(25):
        await world.ledger.accept(Job(f"j{n}", "t", "generation", {}, step, Options(), 0.0))
    gate = asyncio.Event()
    real = world.fal.submit

    async def slow(call: Call) -> Ticket:
        await gate.wait()
        return await real(call)

    world.fal.submit = slow  # type: ignore[method-assign]
    for _ in range(5):
        await world.dispatcher.run_once()
    assert len(world.dispatcher.jobs) == 10
    gate.set()
    await world.dispatcher.idle()


async def test_stopping_waits_for_what_is_in_hand_and_then_lets_it_go(world: World) -> None:
    await world.accept()
    hangs = asyncio.Event()

    async def slow(call: Call) -> Ticket:
        await hangs.wait()
        return Ticket("r-1")

    world.fal.submit = slow  # type: ignore[method-assign]
    await world.dispatcher.run_once()
    await asyncio.sleep(0)
    await world.dispatcher.stop(0.05, 0.05)
    assert (await world.row()).stage == Stage.SUBMITTING
    await world.dispatcher.run()  # a stopped dispatcher takes nothing more


async def test_a_submission_under_way_gets_its_ticket_written_before_the_worker_goes(world: World) -> None:
    await world.accept()

    async def slow(call: Call) -> Ticket:
        await asyncio.sleep(0.1)
        return Ticket("r-1")

    world.fal.submit = slow  # type: ignore[method-assign]
    await world.dispatcher.run_once()
    await asyncio.sleep(0)
    await world.dispatcher.stop(0.0, 5.0)
    assert (await world.row()).attempts[0].ticket == Ticket("r-1")


@pytest.mark.parametrize(("grace_s", "stage"), [(5.0, Stage.CLOSING), (0.05, Stage.FETCHED)])
async def test_an_upload_under_way_is_seen_through_for_so_long(world: World, grace_s: float, stage: Stage) -> None:
    world.fetcher.upload_s = 0.3
    await world.accept()
    await world.turn()
    world.now += 5
    await world.dispatcher.run_once()
    while not world.fetcher.uploading:
        await asyncio.sleep(0.01)
    await world.dispatcher.stop(0.0, grace_s)
    assert (await world.row()).stage == stage


async def test_a_submission_whose_claim_was_lost_is_seen_through(world: World) -> None:
    await world.accept()
    gate = asyncio.Event()

    async def slow(call: Call) -> Ticket:
        await gate.wait()
        return Ticket("r-1")

    world.fal.submit = slow  # type: ignore[method-assign]
    await world.dispatcher.run_once()
    await asyncio.sleep(0)
    world.ledger.rows["a"].fence += 1
    await world.dispatcher.renew_once()
    await asyncio.sleep(0)
    assert set(world.dispatcher.jobs) == {"a"}
    gate.set()
    await world.dispatcher.idle()
    assert world.ledger.rows["a"].signals == {ticket_signal(1): dump_ticket(Ticket("r-1"))}


@pytest.fixture
async def fetching(world: World) -> AsyncIterator[list[str]]:
    """What became of a fetch that goes on until it is cancelled."""
    became: list[str] = []

    async def hang(*_: Any, **__: Any) -> Any:
        became.append("begun")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            became.append("cancelled")
            raise

    world.fetcher.fetch_all = hang  # type: ignore[method-assign]
    await world.accept()
    await world.turn()
    world.now += 5
    await world.dispatcher.run_once()
    async with asyncio.timeout(60):
        while not became:
            await asyncio.sleep(0)
    yield became
    await world.dispatcher.stop(0.0, 0.0)


async def test_other_work_whose_claim_was_lost_is_dropped(world: World, fetching: list[str]) -> None:
    world.ledger.rows["a"].fence += 1
    await world.dispatcher.renew_once()
    await world.dispatcher.idle(timeout_s=60)
    assert (fetching, world.dispatcher.jobs) == (["begun", "cancelled"], {})


async def test_a_lost_claim_that_was_followed_by_another_of_ours_drops_nothing(
    world: World, fetching: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    renew, lost = world.ledger.renew, list[set[str]]()

    async def late(held: Any, lease_s: float) -> set[str]:
        world.now += LEASE_S + 1
        await world.dispatcher.run_once()  # claims the row anew while the lost claim is on its way
        lost.append(await renew(held, lease_s))
        return lost[-1]

    monkeypatch.setattr(world.ledger, "renew", late)
    await world.dispatcher.renew_once()
    await asyncio.sleep(0)
    assert (lost, fetching, set(world.dispatcher.jobs)) == ([{"a"}], ["begun"], {"a"})


async def test_time_in_the_providers_queue_is_no_progress(world: World) -> None:
    world.fal.polls = [Queued(3)] * 4 + [Running()]
    await world.accept()
    await world.turn()
    while (row := await world.turn()).observed.running is False:
        world.now += 0.04
    assert row.observed.queued_at and row.observed.queued_at - row.created_at > 2
    assert row.observed.progress is not None and row.observed.progress < 0.95


async def test_a_row_that_was_accepted_in_our_hands_is_minded_anew(world: World) -> None:
    sent = Job("a", "generation.text_to_image", "generation", {}, Step("", {}, ()), Options(), 0.0, Stage.SENT)
    await world.ledger.send(sent, 0.0)
    release, crossed = world.ledger.release, [False]

    async def crossing(claim: Claim, job: Job, due_in_s: float) -> None:
        if not crossed[0]:
            crossed[0] = True
            await world.accept()  # the message arrives after all,
            await world.dispatcher.run_once()  # and the row is due for the same dispatcher
        await release(claim, job, due_in_s)

    world.ledger.release = crossing  # type: ignore[method-assign]
    await world.turn()
    await world.dispatcher.idle()
    assert (await world.row()).stage == Stage.WAITING
    assert world.fal.calls == ["submit"]


async def test_a_process_that_is_behind_asks_for_a_picture_without_a_look_once_its_webhook_came(world: World) -> None:
    world.fal.results = [replace(DONE, inference_s=0.4)]
    await world.accept()
    await world.turn()
    await world.hear()
    world.now += 0.6
    row = await world.turn()
    assert (row.ending, world.fal.calls) == (Stage.COMPLETED, ["submit", "result"])
    assert row.attempts[0].inference_s == 0.4, "its answer told"


@pytest.mark.parametrize(("kind", "late_s"), [("image", 0.4), ("file", 0.6)])
async def test_a_status_that_lags_behind_its_webhook_does_not_hold_up_the_job(
    world: World, kind: Kind, late_s: float
) -> None:
    world.fal.polls = [Running()]
    await world.accept_step(Step("flux-schnell", {"prompt": "x"}, (Piece("images", kind, "images.*"),)))
    await world.turn()
    await world.hear()
    world.now += late_s
    row = await world.turn()
    assert (row.ending, world.fal.calls) == (Stage.COMPLETED, ["submit", "poll", "result"])


async def test_what_a_webhook_brought_counts_when_the_answer_cannot_be_asked_for(world: World) -> None:
    world.fal.polls = [ServiceUnavailableError("away")]
    await world.accept()
    await world.turn()
    await world.hear()
    assert (await world.turn()).stage == Stage.WAITING, "the bill comes with the answer, so it is asked for again"
    row = await world.until(Stage.CLOSING, seconds=30)
    assert row.ending == Stage.COMPLETED
    assert row.result and row.result["seed"] == 7
    assert row.attempts[0].cost and (row.attempts[0].cost.usd, row.attempts[0].cost.estimated) == (0.003, True)


async def test_what_a_webhook_brought_counts_at_once_when_the_provider_has_forgotten_it(world: World) -> None:
    world.fal.polls = [RequestRefusedError("gone", kind="not_found")]
    await world.accept()
    await world.turn()
    await world.hear()
    assert (await world.turn()).ending == Stage.COMPLETED


async def test_a_row_that_comes_due_while_its_step_is_told_is_minded_at_once(world: World) -> None:
    world.fal.polls = [Running()]
    await world.accept()
    real = world.publisher.publish

    async def slow_tell(job: Job, status: JobStatus, milestone: bool) -> None:
        await real(job, status, milestone)
        if job.stage == Stage.WAITING and job.receipt is None:
            await world.ledger.signal("a", "cancel")
            await world.dispatcher.run_once()  # claims the row anew, while the one before it is still told

    world.publisher.publish = slow_tell  # type: ignore[method-assign]
    row = await world.turn()
    assert (row.ending, world.now) == (Stage.CANCELLED, 1000)


async def test_a_call_that_failed_after_a_while_says_how_long_it_took(world: World) -> None:
    def slow() -> None:
        world.now += 4.5

    world.fal.before_submit = slow
    world.fal.submits = [ServiceUnavailableError("503")]
    await world.accept(fallback=False)
    attempt = (await world.turn()).attempts[0]
    assert (attempt.started_at, attempt.ended_at) == (1000, 1004.5)


async def test_a_picture_that_is_long_in_coming_ends_when_it_is_there(world: World) -> None:
    fetch_all = world.fetcher.fetch_all

    async def slowly(*asked: Any, **more: Any) -> Any:
        world.now += LEASE_S - 1
        return await fetch_all(*asked, **more)

    world.fetcher.fetch_all = slowly  # type: ignore[method-assign]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert row.closed_at == world.now


async def test_a_busy_worker_claims_few_rows_beyond_a_tenants_share(world: World) -> None:
    asked: list[tuple[int, int]] = []
    claim = world.ledger.claim

    async def watched(queues: Any, limit: int, lease_s: float, spare: int | None = None) -> Any:
        asked.append((limit, spare or 0))
        return await claim(queues, limit, lease_s, spare)

    world.ledger.claim = watched  # type: ignore[method-assign]
    gate, submit = asyncio.Event(), world.fal.submit

    async def submit_later(call: Call) -> Ticket:
        await gate.wait()
        return await submit(call)

    world.fal.submit = submit_later  # type: ignore[method-assign]
    await world.dispatcher.run_once()
    step = Step("flux-schnell", {"prompt": "x"}, ())
    for n in range(9):
        await world.ledger.accept(Job(f"j{n}", "generation.text_to_image", "generation", {}, step, Options(), 0.0))
    await world.dispatcher.run_once()
    await world.dispatcher.run_once()
    gate.set()
    await world.dispatcher.idle()
    assert asked == [(10, 2), (10, 2), (1, 1)]


async def test_a_file_inside_an_answer_is_stored_before_the_row_is_written(world: World) -> None:
    inline = {"images": [{"url": "data:image/png;base64," + "A" * 100_000}], "junk": ["x" * 1000] * 1000, "seed": 7}
    world.fal.results = [Reply(inline, billed_units=1)]
    await world.accept()
    row = await world.turn()
    sizes = []
    while row.ending is None:
        sizes.append(len(dump_job(row)))
        world.now += 0.5
        row = await world.turn()
    assert row.ending == Stage.COMPLETED and row.result and row.result["seed"] == 7
    assert max(sizes) < 10_000, "neither the file nor the rest of the answer is on the row"
