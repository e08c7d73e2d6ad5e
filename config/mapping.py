"""Our neutral arguments as an endpoint wants them. Pure; what a model cannot do is refused before, by the catalogue."""

from collections.abc import Mapping
from typing import Any

from config.model import Route, Spelling
from config.shape import ratio_for, resolution_for


def arguments_for(route: Route, arguments: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The endpoint's arguments: the route's constants, then ours by the endpoint's names, then `extra` as it is.

    What the route does not take is left out: see `left_out`.
    """
    ours: dict[str, Any] = {}
    for name, value in arguments.items():
        if route.understands(name):
            ours |= _written(route, name, value)
    return {**_joined(route.sends, ours), **extra}


def left_out(route: Route, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The parameters that this route would not be told."""
    return tuple(name for name in arguments if not route.understands(name))


def _written(route: Route, name: str, value: Any) -> dict[str, Any]:
    if name == "image_size" and route.shape:
        return _shaped(route, value)
    spelling = route.write.get(name, Spelling())
    return {spelling.to or name: _spelt(spelling, value)}


def _shaped(route: Route, size: Any) -> dict[str, Any]:
    shaped = {"aspect_ratio": ratio_for(size, route.ratios)}
    if route.resolutions:
        shaped["resolution"] = resolution_for(size, route.resolutions)
    return {key: value for key, value in shaped.items() if value is not None}


def _spelt(spelling: Spelling, value: Any) -> Any:
    word = str(value).lower() if isinstance(value, bool) else str(value)
    if word in spelling.values:
        return spelling.values[word]
    return spelling.template.replace("{}", word) if spelling.template else value


def _joined(constants: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """Ours win, but a list of constants stays and ours follows it: a model's own LoRA is not lost to the caller's."""
    lists = {
        name: [*constants[name], *value]
        for name, value in ours.items()
        if isinstance(value, list | tuple) and isinstance(constants.get(name), list)
    }
    return {**constants, **ours, **lists}
