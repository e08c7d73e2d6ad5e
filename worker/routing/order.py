"""In which order the routes of a model are tried: the catalogue's, or the caller's. Pure."""

from collections.abc import Sequence

from config.model import Model, Route


class OrderError(ValueError):
    """The caller's order cannot be kept. `field` is the option that says so."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.problem = message


def order(
    model: Model, provider: str | None = None, providers: Sequence[str] | None = None, fallback: bool = True
) -> tuple[Route, ...]:
    """The model's routes in the order in which they may be tried.

    `provider` comes first and the others after it; `providers` are the whole order, and nobody else is tried. Without
    `fallback` the first route stands alone. Raises `OrderError`.
    """
    if provider is not None and providers is not None:
        raise OrderError("provider", "provider and providers exclude each other")
    if providers is not None:
        found = tuple(route for name in _checked(model, providers) for route in _of(model, "providers", name))
    elif provider is not None:
        first = _of(model, "provider", provider)
        found = (*first, *(route for route in model.routes if route not in first))
    else:
        found = model.routes
    return found if fallback else found[:1]


def _checked(model: Model, providers: Sequence[str]) -> Sequence[str]:
    if not providers:
        raise OrderError("providers", f"names nobody; {model.name} has routes to {_names(model)}")
    if len(set(providers)) < len(providers):
        raise OrderError("providers", "names somebody twice")
    return providers


def _of(model: Model, field: str, provider: str) -> tuple[Route, ...]:
    if found := tuple(route for route in model.routes if route.provider == provider):
        return found
    raise OrderError(field, f"{model.name} has no route to {provider[:50]!r}; it has routes to {_names(model)}")


def _names(model: Model) -> str:
    return ", ".join(dict.fromkeys(route.provider for route in model.routes))
