"""Error × request × settings → what follows, a row each: through the routes that are left and the error's reaction."""

from dataclasses import replace
from typing import Any

import pytest

from config.catalogue import load_catalogue
from worker.errors import (
    AccountLockedError,
    AuthenticationError,
    BrokenPieceError,
    ContentRefusedError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    ServiceUnavailableError,
    SubmitUnknownError,
)
from worker.jobs.job import Attempt, ErrorRecord, Job, Options, Step, Ticket
from worker.routing.retry import Again, Elsewhere, Failed, after_attempt, leads_elsewhere
from worker.routing.routes import name_of, route_options

AWAY, BUSY, LATER = ServiceUnavailableError(), RateLimitError(), RateLimitError(retry_after_s=60)
KEY, LOCKED = AuthenticationError(), AccountLockedError()
WRONG, RETIRED, POLICY = RequestRefusedError(), RequestRefusedError(kind="model_retired"), ContentRefusedError()
BROKEN, EMPTY, JUDGED = BrokenPieceError(), BrokenPieceError(kind="no_image"), BrokenPieceError(kind="bad_answer")
LOST = SubmitUnknownError()
LORAS: dict[str, Any] = {"loras": [{"path": "p"}]}
SEED, SIZE, NEGATIVE = {"seed": 7}, {"image_size": "landscape_16_9"}, {"negative_prompt": "blur"}
DEGRADED, POLICY_TOO, ALONE = {"allow_degraded": True}, {"fallback_on_policy": True}, {"fallback": False}
VERTEX_FIRST, VERTEX_ONLY = {"provider": "vertex"}, {"providers": ("vertex",)}

# error, how often on this route, model, arguments, options, providers that are not there -> what follows
TABLE: list[tuple[ExternalServiceError, int, str, dict[str, Any], dict[str, Any], str, str]] = [
    (AWAY, 1, "flux-schnell", {}, {}, "", "again"),
    (AWAY, 3, "flux-schnell", {}, {}, "", "vertex"),
    (AWAY, 3, "flux-schnell", {}, {}, "vertex", "again"),
    (AWAY, 10, "flux-schnell", {}, {}, "vertex", "failed: vertex is disabled"),
    (AWAY, 3, "flux-schnell", {}, ALONE, "", "again"),
    (AWAY, 10, "flux-schnell", {}, ALONE, "", "failed: fallback refused: fallback=false"),
    (AWAY, 3, "flux-schnell", SEED, {}, "", "again"),
    (AWAY, 10, "flux-schnell", SEED, {}, "", "failed: fallback refused: seed"),
    (AWAY, 3, "flux-schnell", SEED, DEGRADED, "", "vertex"),
    (AWAY, 3, "flux-schnell", SIZE, {}, "", "vertex"),
    (AWAY, 3, "flux-schnell", {"num_images": 3}, {}, "", "vertex"),
    (AWAY, 3, "sdxl", NEGATIVE, {}, "", "vertex"),
    (AWAY, 3, "flux-dev", {"num_inference_steps": 20, "guidance_scale": 3}, {}, "", "vertex"),
    (
        AWAY,
        10,
        "flux-dev",
        {"output_format": "webp"},
        {},
        "",
        "failed: fallback refused: output_format (is 'webp'; allowed: jpeg, png)",
    ),
    (AWAY, 3, "flux-lora", LORAS, {}, "", "again"),
    (AWAY, 10, "flux-lora", LORAS, {}, "", "failed: fallback refused: loras"),
    (AWAY, 3, "flux-lora", LORAS, DEGRADED, "", "vertex"),
    (AWAY, 3, "flux-lora", {}, {}, "", "vertex"),
    (AWAY, 10, "flux-realism", {}, {}, "", "failed: fallback refused: the model's own loras"),
    (AWAY, 3, "flux-realism", {}, DEGRADED, "", "vertex"),
    (AWAY, 3, "nano-banana-pro", SEED, {}, "", "vertex"),
    (AWAY, 3, "nano-banana-pro", SIZE, {}, "", "vertex"),
    (AWAY, 10, "flux-lora-training", {}, {}, "", "failed"),
    (AWAY, 10, "flux-lora-training", {}, DEGRADED, "", "failed"),
    (AWAY, 3, "veo-3.1-lite", {"image": "u", "duration_s": 4}, {}, "", "vertex"),
    (AWAY, 10, "flux-schnell", {}, VERTEX_ONLY, "", "failed"),
    (AWAY, 3, "flux-schnell", {}, VERTEX_FIRST, "", "fal"),
    (AWAY, 3, "some/endpoint", {}, {}, "", "again"),
    (AWAY, 10, "some/endpoint", {}, {}, "", "failed"),
    (BUSY, 1, "flux-schnell", {}, {}, "", "again"),
    (BUSY, 3, "flux-schnell", {}, {}, "", "vertex"),
    (BUSY, 9, "flux-lora", LORAS, {}, "", "again"),
    (LATER, 1, "flux-schnell", {}, {}, "", "vertex"),
    (LATER, 1, "flux-schnell", {}, {}, "vertex", "again"),
    (LATER, 1, "flux-lora", LORAS, {}, "", "again"),
    (LATER, 1, "flux-lora", LORAS, DEGRADED, "", "vertex"),
    (KEY, 1, "flux-schnell", {}, {}, "", "vertex"),
    (KEY, 1, "flux-schnell", {}, {}, "vertex", "failed: vertex is disabled"),
    (KEY, 1, "flux-lora", LORAS, {}, "", "failed: fallback refused: loras"),
    (LOCKED, 1, "flux-schnell", {}, {}, "", "vertex"),
    (LOCKED, 1, "flux-schnell", {}, ALONE, "", "failed: fallback refused: fallback=false"),
    (LOCKED, 1, "flux-lora", LORAS, DEGRADED, "", "vertex"),
    (RETIRED, 1, "flux-schnell", {}, {}, "", "vertex"),
    (RETIRED, 1, "flux-lora", LORAS, {}, "", "failed: fallback refused: loras"),
    (WRONG, 1, "flux-schnell", {}, {}, "", "failed"),
    (WRONG, 1, "flux-schnell", {}, {**DEGRADED, **POLICY_TOO}, "", "failed"),
    (POLICY, 1, "flux-schnell", {}, {}, "", "failed"),
    (POLICY, 1, "flux-schnell", {}, POLICY_TOO, "", "vertex"),
    (POLICY, 1, "flux-lora", LORAS, POLICY_TOO, "", "failed: fallback refused: loras"),
    (POLICY, 1, "flux-lora", LORAS, {**POLICY_TOO, **DEGRADED}, "", "vertex"),
    (POLICY, 1, "flux-schnell", {}, {**POLICY_TOO, **ALONE}, "", "failed: fallback refused: fallback=false"),
    (BROKEN, 1, "flux-schnell", {}, {}, "", "failed"),
    (BROKEN, 1, "flux-schnell", {}, {**POLICY_TOO, **DEGRADED}, "", "failed"),
    (EMPTY, 1, "flux-schnell", {}, VERTEX_FIRST, "", "again"),
    (EMPTY, 2, "flux-schnell", {}, VERTEX_FIRST, "", "fal"),
    (EMPTY, 2, "flux-schnell", {}, VERTEX_ONLY, "", "failed"),
    (LOST, 1, "flux-schnell", {}, {}, "", "unknown"),
    (LOST, 1, "flux-lora", LORAS, {}, "", "unknown"),
    (LOST, 5, "flux-schnell", {}, {**POLICY_TOO, **DEGRADED}, "", "unknown"),
    (JUDGED, 1, "claude-haiku-5-5", {}, {}, "", "again"),
    (JUDGED, 2, "claude-haiku-5-5", {}, {}, "", "gemini"),
    (JUDGED, 2, "claude-haiku-5-5", {}, {}, "gemini", "vertex"),
    (JUDGED, 2, "claude-haiku-5-5", {}, {}, "gemini vertex", "failed: gemini is disabled; vertex is disabled"),
    (AWAY, 3, "gemini-3.8-flash", {}, {}, "", "vertex"),
    (AWAY, 3, "gemini-3.8-flash", {}, {}, "vertex", "anthropic"),
    (POLICY, 1, "claude-sonnet-5-5", {}, {}, "", "failed"),
    (POLICY, 1, "claude-sonnet-5-5", {}, POLICY_TOO, "", "gemini"),
    (KEY, 1, "claude-sonnet-5-5", {}, ALONE, "", "failed: fallback refused: fallback=false"),
]


def follows(
    error: ExternalServiceError, times: int, name: str, arguments: dict[str, Any], options: dict[str, Any], lacking: str
) -> str:
    """What follows the `times`-th attempt on the job's first route, when it ended so."""
    model, lacks = load_catalogue().find(name), dict.fromkeys(lacking.split(), "set it")
    step = Step(name, {"prompt": "x", **arguments} if model.takes("prompt") else arguments, ())
    job = Job("a", "t", "q", {}, step, Options(**options), 1.0)
    route = route_options(model, job, lacks.get).open[0].route
    before = ErrorRecord(error.code, error.message, kind=error.kind)
    tried = [Attempt(n, route.provider, route.endpoint, 1.0, error=before) for n in range(1, times + 1)]
    job = replace(job, attempts=(*tried[:-1], replace(tried[-1], error=None)))
    left = route_options(model, replace(job, given_up=(name_of(route),)), lacks.get)
    match after_attempt(error, job, elsewhere=bool(left.open)):
        case Again():
            return "again"
        case Elsewhere():
            return left.open[0].route.provider
        case Failed():
            return ": ".join(
                ["failed", *(["; ".join(left.refused)] if leads_elsewhere(error, job) and left.refused else [])]
            )
    return "unknown"


@pytest.mark.parametrize(("error", "times", "model", "arguments", "options", "lacking", "outcome"), TABLE)
def test_what_follows(
    error: ExternalServiceError,
    times: int,
    model: str,
    arguments: dict[str, Any],
    options: dict[str, Any],
    lacking: str,
    outcome: str,
) -> None:
    assert follows(error, times, model, arguments, options, lacking) == outcome


def test_the_table_is_long_enough_to_be_one() -> None:
    assert len(TABLE) >= 60
    assert len({repr(row) for row in TABLE}) == len(TABLE)


def test_a_run_that_was_taken_counts_apart_from_what_was_refused() -> None:
    taken = Attempt(1, "fal", "fal-ai/flux/schnell", 1.0, ticket=Ticket("r"))
    job = Job(
        "a", "t", "q", {}, Step("flux-schnell", {}, ()), Options(), 1.0, attempts=(taken, replace(taken, number=2))
    )
    assert isinstance(after_attempt(AWAY, job, elsewhere=True), Elsewhere)
    assert isinstance(after_attempt(AWAY, replace(job, attempts=(taken,)), elsewhere=True), Again)
