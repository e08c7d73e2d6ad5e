"""Writes our neutral arguments for an endpoint. Pure. The catalogue has refused unsupported arguments before."""

from collections.abc import Mapping
from typing import Any

from config.canvas import canvas_arguments
from config.model import Route, Spelling
from config.shape import ratio_for, resolution_for


def arguments_for(route: Route, arguments: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The endpoint's arguments: the route's constants, then ours by the endpoint's names, then `extra` unchanged.

    `extra` belongs to the model's first endpoint, so a fallback does not get it. Parameters that the route cannot take
    are omitted: see `left_out`. Parameters whose files are sent inside the call (`route.files`) are omitted too.
    """
    accepted = {name: value for name, value in arguments.items() if not route.problem(name, value)}
    ours: dict[str, Any] = {}
    for name, value in accepted.items():
        if name not in route.files and not appended_to(route, name):
            ours = _merged(ours, _written(route, name, value))
    for name, value in accepted.items():
        if into := appended_to(route, name):
            ours[into] = "\n\n".join(filter(None, [ours.get(into), appended_text(route, name, value)]))
    return {**_joined({**route.sets, **route.sends}, ours), **(extra if route.equivalence is None else {})}


def left_out(route: Route, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The parameters that this route cannot take."""
    return tuple(name for name, value in arguments.items() if route.problem(name, value))


def appended_to(route: Route, parameter: str) -> str | None:
    """The parameter to whose end this one is appended, if the endpoint has no parameter for it."""
    spelling = route.write.get(parameter)
    return spelling.into if spelling else None


def appended_text(route: Route, parameter: str, value: Any) -> str:
    """The text that is appended for such a parameter; empty if the value is empty."""
    text = str(value).strip()
    return route.write[parameter].text(text) if text else ""


def shape_of(route: Route, size: Any) -> dict[str, str]:
    """The ratio and the resolution that the endpoint gets for a size; empty if it gets the size itself."""
    return _shaped(route, size) if route.shape else {}


def _written(route: Route, name: str, value: Any) -> dict[str, Any]:
    if name == "image_size" and route.shape:
        return _shaped(route, value)
    if name == "canvas" and route.canvas:
        return canvas_arguments(route.canvas, value)
    spelling = route.write.get(name, Spelling())
    word = _spelt(spelling, value)
    if word == "" and "" in spelling.values.values():
        return {}
    return _nested(spelling.to, word) if spelling.to else {name: word}


def _nested(name: str, value: Any) -> dict[str, Any]:
    """The value under a name like `voice_setting.speed`: an object in an object."""
    head, _, rest = name.partition(".")
    return {head: _nested(rest, value) if rest else value}


def _merged(ours: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Both together; objects of the same name, too."""
    both = {
        name: _merged(ours[name], value)
        for name, value in more.items()
        if isinstance(value, Mapping) and isinstance(ours.get(name), Mapping)
    }
    return {**ours, **more, **both}


def _shaped(route: Route, size: Any) -> dict[str, str]:
    shaped = {"aspect_ratio": ratio_for(size, route.ratios)}
    if route.resolutions:
        shaped["resolution"] = resolution_for(size, route.resolutions)
    return {key: value for key, value in shaped.items() if value is not None}


def _spelt(spelling: Spelling, value: Any) -> Any:
    if spelling.single and isinstance(value, list | tuple):
        return value[0]
    word = str(value).lower() if isinstance(value, bool) else str(value)
    if word in spelling.values:
        return spelling.values[word]
    return spelling.text(value) if spelling.template else value


def _joined(constants: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Constants with ours over them. A constant list stays and ours follows it, so a model's own LoRA is not lost."""
    lists = {
        name: [*constants[name], *value]
        for name, value in ours.items()
        if isinstance(value, list | tuple) and isinstance(constants.get(name), list)
    }
    return {**constants, **ours, **lists}
