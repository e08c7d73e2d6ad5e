"""Where a job goes when its provider cannot serve it, through the real dispatcher: what follows, and what never does."""

from typing import Any

import pytest

from tests.unit.engine.fakes import PICTURE, FakeAtOnce
from tests.unit.engine.world import IMAGES, World, world_of_two
from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
)  # fmt: skip
from worker.health.base import Policy
from worker.jobs.job import Job, Stage, Step, Ticket
from worker.providers.base import RunFailure

LORA: dict[str, Any] = {"model": "flux-lora", "given": {"loras": [{"path": "https://x/l.safetensors"}]}}
AWAY = ServiceUnavailableError("fal: HTTP 503", provider="fal", status=503)


@pytest.fixture
def world() -> World:
    return world_of_two(Policy(window_s=30))  # the tries of one job open a circuit


def vertex(world: World) -> FakeAtOnce:
    return world.providers["vertex"]  # type: ignore[no-any-return]


def tried(row: Job) -> list[tuple[str, str | None]]:
    return [(attempt.provider, attempt.error.code if attempt.error else None) for attempt in row.attempts]


async def test_three_refusals_lead_to_the_next_provider(world: World) -> None:
    world.fal.submits = [AWAY]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    assert tried(row) == [("fal", "service_unavailable")] * 3 + [("vertex", None)]
    assert row.closed_at and row.closed_at - row.created_at < 6
    assert row.given_up == ("fal fal-ai/flux/schnell",)
    assert vertex(world).sent[0].arguments == {"prompt": "x", "seed": 2**30}
    assert world.fetcher.kept == [(b"picture",)]
    result = dict(row.result or {})
    assert (result["provider"], result["endpoint"], result["attempts"]) == ("vertex", "gemini-nano-banana-2.1", 4)
    assert (result["cost"]["usd"], result["cost"]["lower_usd"], result["cost"]["per"]) == (0.0336, 0.0336, "image")
    assert result["cost"]["certainty"] == "estimated", "the answer had no usage data"
    assert result["total_cost"] == result["cost"], "three refusals cost nothing"
    assert world.health and not world.health.leaks()


async def test_runs_that_were_taken_and_failed_lead_elsewhere_after_two(world: World) -> None:
    world.fal.submits = [Ticket("r-1"), Ticket("r-2"), Ticket("r-3")]
    world.fal.results = [RunFailure(AWAY)]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert tried(row) == [("fal", "service_unavailable")] * 2 + [("vertex", None)]


async def test_a_lora_is_not_dropped_without_leave(world: World) -> None:
    world.fal.submits = [AWAY]
    await world.accept(**LORA)
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.FAILED
    assert world.fal.calls.count("submit") == 8
    assert row.closed_at and 60 < row.closed_at - row.created_at < 90, "refusals, and an open circuit between them"
    assert row.error and row.error.code == "service_unavailable"
    assert row.error.message == "fal: HTTP 503; fal may not be asked: its circuit is open; fallback refused: loras"
    assert (row.error.provider, row.error.status) == ("fal", 503)
    assert vertex(world).calls == []


async def test_a_lora_is_dropped_with_leave_and_the_result_says_so(world: World) -> None:
    world.fal.submits = [AWAY]
    await world.accept(**LORA, allow_degraded=True)
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    provenance = dict(row.result or {})["provenance"]
    assert (provenance["equivalence"], provenance["dropped"]) == ("degraded", ["loras"])
    assert "loras" not in vertex(world).sent[0].arguments


async def test_what_an_endpoint_alone_understands_is_told_to_no_other(world: World) -> None:
    world.fal.submits = [AWAY]
    await world.accept_step(
        Step("flux-schnell", {"prompt": "x"}, IMAGES, {"acceleration": "high"}), allow_degraded=True
    )
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.COMPLETED
    assert world.fal.sent[0].arguments["acceleration"] == "high"
    assert "acceleration" not in vertex(world).sent[0].arguments
    assert dict(row.result or {})["provenance"]["dropped"] == ["extra.acceleration"]


async def test_without_fallback_the_first_route_stands_alone(world: World) -> None:
    world.fal.submits = [AWAY]
    await world.accept(fallback=False)
    row = await world.until(Stage.CLOSING)
    assert (world.fal.calls.count("submit"), vertex(world).calls) == (8, [])
    assert (
        row.error
        and row.error.message
        == "fal: HTTP 503; fal may not be asked: its circuit is open; fallback refused: fallback=false"
    )


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({"provider": "vertex"}, ["vertex", "fal"]),
        ({"providers": ("vertex", "fal")}, ["vertex", "fal"]),
        ({"providers": ("fal", "vertex")}, ["fal", "vertex"]),
        ({"providers": ("vertex",)}, ["vertex"]),
        ({"providers": ("vertex", "fal"), "fallback": False}, ["vertex"]),
    ],
)
async def test_the_callers_order_is_kept(world: World, options: dict[str, Any], order: list[str]) -> None:
    world.fal.submits, vertex(world).submits = [AuthenticationError("fal: 401")], [AuthenticationError("vertex: 401")]
    await world.accept(**options)
    row = await world.until(Stage.CLOSING)
    assert [attempt.provider for attempt in row.attempts] == order
    assert row.error and row.error.message.startswith(f"{order[0]}: 401")


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("fal: 401", status=401),
        AccountLockedError("fal: User is locked", status=403),
        RequestRefusedError("fal: no such model", kind="model_retired"),
        RateLimitError("fal: 429", retry_after_s=11),
    ],
)
async def test_what_waiting_does_not_mend_leads_elsewhere_at_once(world: World, error: ExternalServiceError) -> None:
    world.fal.submits = [error]
    await world.accept()
    row = await world.turn()
    assert (row.stage, row.ending) in {(Stage.STORED, None), (Stage.CLOSING, Stage.COMPLETED)}
    assert tried(row) == [("fal", error.code), ("vertex", None)]


async def test_a_short_pause_is_waited_for(world: World) -> None:
    world.fal.submits = [RateLimitError("fal: 429", retry_after_s=5), Ticket("r-1")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert [attempt.provider for attempt in row.attempts if not attempt.error or attempt.ticket] == ["fal"]


@pytest.mark.parametrize("where", ["submit", "result", "flag"])
@pytest.mark.parametrize("on_policy", [False, True])
async def test_a_refusal_for_content_leads_elsewhere_only_with_leave(world: World, where: str, on_policy: bool) -> None:
    refused = ContentRefusedError("fal: not this", provider="fal")
    if where == "submit":
        world.fal.submits = [refused]
    elif where == "result":
        world.fal.results = [RunFailure(refused, 1)]
    else:
        world.fetcher.errors = [refused]
    await world.accept(fallback_on_policy=on_policy)
    row = await world.until(Stage.CLOSING)
    assert row.ending == (Stage.COMPLETED if on_policy else Stage.FAILED)
    assert len(vertex(world).sent) == on_policy
    assert world.fal.calls.count("submit") == 1
    if not on_policy:
        assert row.error and (row.error.code, row.error.message) == ("content_refused", "fal: not this")


async def test_a_request_at_fault_goes_nowhere(world: World) -> None:
    world.fal.submits = [RequestRefusedError("fal: prompt: too long")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert (len(row.attempts), vertex(world).calls) == (1, [])
    assert row.error and row.error.message == "fal: prompt: too long"


async def test_an_answer_without_a_picture_is_asked_for_once_more_and_then_elsewhere(world: World) -> None:
    nothing = RunFailure(BrokenPieceError("vertex: only words", kind="no_image"), 1.0)
    vertex(world).submits = [nothing]
    await world.accept(provider="vertex")
    row = await world.until(Stage.CLOSING)
    assert tried(row) == [("vertex", "broken_piece")] * 2 + [("fal", None)]
    assert row.ending == Stage.COMPLETED
    assert [attempt.cost.usd if attempt.cost else None for attempt in row.attempts] == [0.0336, 0.0336, 0.006]


async def test_an_answer_without_a_picture_is_never_a_success(world: World) -> None:
    vertex(world).submits = [RunFailure(BrokenPieceError("vertex: only words", kind="no_image"))]
    await world.accept(providers=("vertex",))
    row = await world.until(Stage.CLOSING)
    assert (row.ending, row.result, row.artefacts) == (Stage.FAILED, None, ())
    assert vertex(world).calls == ["submit"] * 2


async def test_when_all_fail_the_first_error_is_raised_and_the_others_are_told(world: World) -> None:
    world.fal.submits = [AWAY]
    vertex(world).submits = [RequestRefusedError("vertex: gone", provider="vertex", kind="model_retired")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert row.error and row.error.code == "service_unavailable"
    assert (row.error.provider, row.error.status) == ("fal", 503)
    assert row.error.message == "fal: HTTP 503; vertex failed too: vertex: gone"
    assert tried(row) == [("fal", "service_unavailable")] * 3 + [("vertex", "request_refused")]


async def test_a_route_that_was_given_up_is_not_tried_again(world: World) -> None:
    world.fal.submits = [AuthenticationError("fal: 401"), Ticket("r-1")]
    vertex(world).submits = [ServiceUnavailableError("vertex: 503")]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert row.ending == Stage.FAILED
    assert world.fal.calls == ["submit"]
    assert tried(row) == [("fal", "authentication")] + [("vertex", "service_unavailable")] * 8


async def test_a_disabled_provider_is_named_when_it_would_have_been_next(world: World) -> None:
    del world.providers["vertex"]
    world.fal.submits = [AWAY]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert (
        row.error
        and row.error.message == "fal: HTTP 503; fal may not be asked: its circuit is open; vertex is disabled"
    )


async def test_a_disabled_first_provider_is_passed_over(world: World) -> None:
    del world.providers["fal"]
    await world.accept()
    row = await world.until(Stage.CLOSING)
    assert (row.ending, tried(row)) == (Stage.COMPLETED, [("vertex", None)])


async def test_a_disabled_first_provider_is_passed_over_by_no_lora(world: World) -> None:
    del world.providers["fal"]
    await world.accept(**LORA)
    row = await world.until(Stage.CLOSING)
    assert row.error and row.error.code == "provider_disabled"
    assert "set FAL_KEY" in row.error.message
    assert vertex(world).calls == []


async def test_of_two_fallbacks_the_second_follows_the_first(world: World) -> None:
    world.fal.submits = [AuthenticationError("fal: 401")]
    retired = RequestRefusedError("vertex: gone", kind="model_retired")
    vertex(world).submits = [retired, PICTURE]
    await world.accept("nano-banana-2")
    row = await world.until(Stage.CLOSING)
    assert [attempt.endpoint for attempt in row.attempts] == [
        "fal-ai/nano-banana-2",
        "gemini-3.1-flash-image",
        "gemini-nano-banana-2.1",
    ]
    assert [attempt.equivalence for attempt in row.attempts] == ["exact", "exact", "close"]


async def test_a_deadline_ends_a_job_between_two_providers(world: World) -> None:
    world.fal.submits = [AWAY]
    await world.accept(deadline_s=2.5)
    row = await world.until(Stage.CLOSING)
    assert row.error and row.error.code == "deadline_exceeded"
    assert vertex(world).calls == []
