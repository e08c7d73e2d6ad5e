"""Compares the catalogue with fal's list of models and prices. Pure.

fal lists one price for an endpoint, and does not say what its parameters change. So a price agrees if it is one of
those that the catalogue has for the endpoint: by resolution, or with and without sound.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from config.catalogue import Catalogue
from config.model import Model, Price
from worker.providers.base import ListPrice
from worker.providers.fal.model_list import DEPRECATED

Kind = Literal["vanished", "moved", "deprecated", "price"]
NOT_LISTED = ("workflows/", "comfy/")  # apps of users: fal's list of models does not have them
MOST_GUESSES = 3
_UNITS = {"megapixel", "image", "second", "step", "request"}
_SAME_UNIT = {"call": "request", "generation": "request", "processed megapixel": "megapixel"}


@dataclass(frozen=True)
class Difference:
    """What differs for an endpoint, which models of the catalogue use it, and what to do."""

    kind: Kind
    endpoint: str
    models: tuple[str, ...]
    text: str
    now: tuple[str, ...] = ()  # moved: where it may be now. price: what fal lists


@dataclass(frozen=True)
class Check:
    """The differences, and what could not be compared: endpoint -> why."""

    endpoints: int
    differences: tuple[Difference, ...]
    not_compared: Mapping[str, str]


def compare(catalogue: Catalogue, listed: Mapping[str, str], prices: Mapping[str, ListPrice] | None) -> Check:
    """Compare every endpoint of fal. `prices` is None when they could not be read: then only the list is compared."""
    differences: list[Difference] = []
    not_compared: dict[str, str] = {}
    users = endpoints_of(catalogue)
    for endpoint, models in users.items():
        names = tuple(model.name for model in models)
        if endpoint.startswith(NOT_LISTED):
            not_compared[endpoint] = "an app of a user is not on fal's list"
            continue
        if endpoint not in listed:
            differences.append(_gone(endpoint, names, listed))
            continue
        if listed[endpoint] == DEPRECATED:
            text = "fal will remove it: choose another endpoint"
            differences.append(Difference("deprecated", endpoint, names, text))
        if prices is not None:
            why, changed = _compare_price(endpoint, models, prices.get(endpoint))
            differences += [Difference("price", endpoint, names, text, (now,)) for text, now in changed]
            not_compared |= {endpoint: why} if why else {}
    return Check(len(users), tuple(differences), not_compared)


def endpoints_of(catalogue: Catalogue) -> dict[str, list[Model]]:
    """Every endpoint of fal in the catalogue, with the models that use it."""
    found: dict[str, list[Model]] = {}
    for model in catalogue.models:
        for route in model.routes:
            if route.provider == "fal" and model not in found.setdefault(route.endpoint, []):
                found[route.endpoint].append(model)
    return dict(sorted(found.items()))


def _gone(endpoint: str, names: tuple[str, ...], listed: Mapping[str, str]) -> Difference:
    if guesses := tuple(_guesses(endpoint, listed))[:MOST_GUESSES]:
        text = f"not on fal's list any more; it may be {' or '.join(guesses)} now: compare their parameters"
        return Difference("moved", endpoint, names, text, guesses)
    text = "not on fal's list any more: remove the route, or add its id to `retired` of the model that replaces it"
    return Difference("vanished", endpoint, names, text)


def _guesses(endpoint: str, listed: Mapping[str, str]) -> Iterator[str]:
    """Listed endpoints that may be this one, under another owner or as a folder.

    `fal-ai/recraft-v3` moved to `fal-ai/recraft/v3/text-to-image`, and `fal-ai/bytedance/seedream/v5/lite` to
    `bytedance/seedream/v5/lite/edit`, for example.
    """
    wanted = _plain(endpoint)
    for other in sorted(listed):
        plain = _plain(other)
        if plain == wanted or plain.startswith(f"{wanted}/"):
            yield other


def _plain(endpoint: str) -> str:
    return endpoint.removeprefix("fal-ai/").replace("-", "/")


def _compare_price(
    endpoint: str, models: list[Model], theirs: ListPrice | None
) -> tuple[str | None, list[tuple[str, str]]]:
    """Why it cannot be compared, or what has changed: a text, and what fal lists."""
    ours = [price for model in models for price in _prices(model, endpoint)]
    if theirs is None:
        return ("fal lists no price" if ours else "no price is known"), []
    unit = _unit(theirs.unit)
    shown = f"{theirs.usd:g} USD per {unit}"
    if not ours:
        return f"the catalogue has no price; fal lists {shown}", []
    if unit not in _UNITS:
        return f"fal counts {theirs.unit}, the catalogue {ours[0].per}s; fal lists {shown}", []
    sums = {usd for price in ours if price.per == unit for usd in (price.usd, *price.usd_at.values())}
    if any(math.isclose(usd, theirs.usd, rel_tol=1e-4, abs_tol=1e-9) for usd in sums):
        return None, []
    known = ", ".join(dict.fromkeys(f"{price.usd:g} USD per {price.per}" for price in ours))
    return None, [(f"fal lists {shown}; the catalogue has {known}", shown)]


def _prices(model: Model, endpoint: str) -> Iterator[Price]:
    for route in model.routes:
        if route.provider == "fal" and route.endpoint == endpoint and (price := model.price_on(route)):
            yield price


def _unit(unit: str) -> str:
    """The unit in the catalogue's word, if it has one: fal writes `megapixels`, `images`, `seconds`."""
    one = unit.strip().casefold().removesuffix("s")
    return _SAME_UNIT.get(one, one)
