"""How a result is shown: who served it, and what differs from the request."""

from typing import Any

import pytest

from worker.cli.screen.results import differences, served_by, summary

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
