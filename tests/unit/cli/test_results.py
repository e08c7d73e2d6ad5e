"""How a result is shown: who served it, and what differs from the request."""

from typing import Any

import pytest

from worker.cli.screen.results import differences, money, served_by, summary

EXACT = {"asked_for": "flux-schnell", "provider": "fal", "model": "fal-ai/flux/schnell", "equivalence": "exact"}
DEGRADED = {
    "asked_for": "flux-lora", "provider": "vertex", "model": "gemini-nano-banana-2.1", "equivalence": "degraded",
    "dropped": ["loras", "seed"], "approximated": {"image_size": "1024x576 as 16:9 at 1K"}, "missing": ["filtered"],
}  # fmt: skip


def result(model: str, provenance: dict[str, Any] | None) -> dict[str, Any]:
    """A result of this model; `model` is the catalogue's name."""
    more = {} if provenance is None else {"provenance": provenance}
    return {"model": model, "provider": (provenance or {}).get("provider", "fal"), **more}


@pytest.mark.parametrize(
    ("model", "provenance", "text"),
    [
        ("flux-schnell", EXACT, "flux-schnell by fal"),
        ("flux-schnell", None, "flux-schnell by fal"),
        ("flux-schnell", {**EXACT, "asked_for": "fal-ai/flux/schnell"}, "flux-schnell by fal for fal-ai/flux/schnell"),
        ("flux-lora", DEGRADED, "gemini-nano-banana-2.1 by vertex for flux-lora (degraded)"),
        ("pipeline:editing.sticker", {**EXACT, "provider": "pipeline"}, "the steps of editing.sticker"),
        ("flux-lora", {**DEGRADED, "equivalence": "close"}, "gemini-nano-banana-2.1 by vertex for flux-lora (close)"),
    ],
)
def test_the_model_that_served_is_shown_with_its_equivalence(
    model: str, provenance: dict[str, Any] | None, text: str
) -> None:
    assert served_by(result(model, provenance)) == text
    assert summary({**result(model, provenance), "timings": {"total_s": 0.84}}) == f"{text}, 0.8 s"


def test_differences_are_listed_by_kind_and_an_exact_result_has_none() -> None:
    assert differences(result("flux-lora", DEGRADED)) == {
        "dropped": "loras, seed",
        "approximated": "image_size (1024x576 as 16:9 at 1K)",
        "missing": "filtered",
    }
    assert differences(result("flux-schnell", EXACT)) == differences(result("flux-schnell", None)) == {}


@pytest.mark.parametrize(
    ("usd", "lower", "upper", "is_estimated", "text"),
    [
        (0.006, 0.006, 0.006, False, "$0.0060"),
        (0.006, 0.003, 0.006, True, "$0.0030 to $0.0060"),
        (0.006, 0.003, None, True, "about $0.0060"),
        (0.0, 0.0, 0.0, True, "$0.0000"),
        (0.04, 0.04, 0.04000001, True, "about $0.0400"),
        (None, 0.0, None, True, ""),
    ],
)
def test_a_cost_is_as_short_as_it_can_be(
    usd: float | None, lower: float, upper: float | None, is_estimated: bool, text: str
) -> None:
    assert money({"usd": usd, "lower_usd": lower, "upper_usd": upper, "estimated": is_estimated}) == text
