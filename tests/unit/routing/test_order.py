"""Routes are tried in the catalogue's order, or in the caller's."""

import pytest

from config.catalogue import Catalogue, Model
from config.model import Route
from worker.routing.routes import OrderError, order


def route(provider: str, endpoint: str, *, is_own: bool = False) -> Route:
    return Route(provider=provider, endpoint=endpoint, takes=("prompt",), equivalence=None if is_own else "close")


OWN, SECOND, VERTEX, GEMINI = (
    route("fal", "a/one", is_own=True),
    route("fal", "a/two"),
    route("vertex", "three"),
    route("gemini", "four"),
)
MODEL = Model(name="kiln", title="Kiln", task=(), usual_s=1, routes=(OWN, SECOND, VERTEX, GEMINI))


@pytest.mark.parametrize(
    ("provider", "providers", "fallback", "expected"),
    [
        (None, None, True, (OWN, SECOND, VERTEX, GEMINI)),
        (None, None, False, (OWN,)),
        ("vertex", None, True, (VERTEX, OWN, SECOND, GEMINI)),
        ("vertex", None, False, (VERTEX,)),
        ("fal", None, True, (OWN, SECOND, VERTEX, GEMINI)),
        (None, ["gemini", "fal"], True, (GEMINI, OWN, SECOND)),
        (None, ["gemini", "fal"], False, (GEMINI,)),
        (None, ("fal",), True, (OWN, SECOND)),
    ],
)
def test_routes_come_in_the_order_that_was_asked_for(
    provider: str | None, providers: list[str] | None, fallback: bool, expected: tuple[Route, ...]
) -> None:
    assert order(MODEL, provider, providers, fallback) == expected


@pytest.mark.parametrize(
    ("provider", "providers", "field", "message"),
    [
        ("anthropic", None, "provider", "kiln has no route to 'anthropic'; it has routes to fal, vertex, gemini"),
        ("", None, "provider", "kiln has no route to ''"),
        (None, ["fal", "moon"], "providers", "kiln has no route to 'moon'"),
        (None, [], "providers", "is empty; kiln has routes to fal, vertex, gemini"),
        (None, ["fal", "fal"], "providers", "names a provider twice"),
        ("fal", ["fal"], "provider", "provider and providers cannot be used together"),
    ],
)
def test_an_order_that_cannot_be_kept_is_refused_with_its_field(
    provider: str | None, providers: list[str] | None, field: str, message: str
) -> None:
    with pytest.raises(OrderError, match=message) as caught:
        order(MODEL, provider, providers)

    assert caught.value.field == field and str(caught.value).startswith(f"{field}: ")


def test_an_endpoint_that_is_passed_through_has_one_route() -> None:
    model = Catalogue(models=()).find("somebody/model")

    assert order(model) == order(model, "fal") == model.routes
    with pytest.raises(ValueError, match="provider: somebody/model has no route to 'vertex'; it has routes to fal"):
        order(model, "vertex")
