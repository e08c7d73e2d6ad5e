"""Our neutral arguments as an endpoint wants them. Pure; what a model cannot do is refused before, by the catalogue."""

from collections.abc import Mapping
from typing import Any

from config.model import Route, Spelling
from config.shape import ratio_for, resolution_for


def arguments_for(route: Route, arguments: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The endpoint's arguments: the route's constants, then ours by the endpoint's names, then `extra` as it is.

    `extra` is in the words of the model's first endpoint, so a fallback is not told it. What the route cannot be told
    is left out: see `left_out`. Parameters whose files go inside the call (`route.files`) are left out, too.
    """
    told = {name: value for name, value in arguments.items() if not route.problem(name, value)}
    ours: dict[str, Any] = {}
    for name, value in told.items():
        if name not in route.files and not said_in(route, name):
            ours |= _written(route, name, value)
    for name, value in told.items():
        if into := said_in(route, name):
            ours[into] = "\n\n".join(filter(None, [ours.get(into), sentence(route, name, value)]))
    return {**_joined(route.sends, ours), **(extra if route.equivalence is None else {})}


def left_out(route: Route, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The parameters that this route would not be told."""
    return tuple(name for name, value in arguments.items() if route.problem(name, value))


def said_in(route: Route, parameter: str) -> str | None:
    """The parameter at whose end this one is said, where the endpoint has no place of its own for it."""
    spelling = route.write.get(parameter)
    return spelling.into if spelling else None


def sentence(route: Route, parameter: str, value: Any) -> str:
    """How such a parameter is said; nothing where it says nothing."""
    said = str(value).strip()
    return route.write[parameter].text(said) if said else ""


def shape_of(route: Route, size: Any) -> dict[str, str]:
    """The ratio and the resolution that the endpoint is told for a size; empty where it is told the size itself."""
    return _shaped(route, size) if route.shape else {}


def _written(route: Route, name: str, value: Any) -> dict[str, Any]:
    if name == "image_size" and route.shape:
        return _shaped(route, value)
    spelling = route.write.get(name, Spelling())
    word = _spelt(spelling, value)
    return {} if word == "" and "" in spelling.values.values() else {spelling.to or name: word}


def _shaped(route: Route, size: Any) -> dict[str, str]:
    shaped = {"aspect_ratio": ratio_for(size, route.ratios)}
    if route.resolutions:
        shaped["resolution"] = resolution_for(size, route.resolutions)
    return {key: value for key, value in shaped.items() if value is not None}


def _spelt(spelling: Spelling, value: Any) -> Any:
    word = str(value).lower() if isinstance(value, bool) else str(value)
    if word in spelling.values:
        return spelling.values[word]
    return spelling.text(value) if spelling.template else value


def _joined(constants: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Ours win, but a list of constants stays and ours follows it: a model's own LoRA is not lost to the caller's."""
    lists = {
        name: [*constants[name], *value]
        for name, value in ours.items()
        if isinstance(value, list | tuple) and isinstance(constants.get(name), list)
    }
    return {**constants, **ours, **lists}
