"""Finds models by name. The data is in `catalogue.toml` and in the files of `catalogue/`, one for each area.

Each file has one stanza for each model. Shared routes may be used in every file.
`config.mapping` writes the arguments for an endpoint; `worker.routing.routes` selects the route.
"""

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from config.limit import Limit
from config.model import ANYTHING, Model, Price, Route, Spelling

__all__ = [
    "Catalogue", "CatalogueError", "Limit", "Model", "Price", "Route", "Spelling", "UnknownModelError",
    "load_catalogue", "unknown_route",
]  # fmt: skip

WORKFLOWS = "generation.workflow"
RAW = frozenset({"generation.run", WORKFLOWS})  # tasks with arguments by the endpoint's own names
IN_MODES = RAW | {"language.complete"}  # tasks that may call an endpoint of fal outside its queue
MODES = {"stream": "fal-stream", "direct": "fal-direct"}  # before an endpoint's id and a colon: how it is called
SHARED = "pipeline:shared:"  # before a model's name: the model of a job that shares the run of equal requests
PIPELINE = "pipeline:"  # before a task's name: the model of a task that is made of steps
_SEGMENT = r"(?!\.+(?:/|$))[A-Za-z0-9._-]+"
_WORKFLOW = re.compile(r"workflows(?:/[^/]+){2,}")
_ENDPOINT = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT}){{1,5}}")
# The commonest names of our parameters at fal, counted in the 130 schemas of fal's client types (2026-08). Where ours
# differ: 43 have image_url, 17 image_urls, 20 of 30 durations are texts, most of them without a unit ("5").
_FAL_NAMES: Mapping[str, Spelling] = {
    "audio": Spelling(to="audio_url"),
    "duration_s": Spelling(to="duration", template="{}"),
    "image": Spelling(to="image_url"),
    "images": Spelling(to="image_urls"),
    "mask": Spelling(to="mask_url"),
    "end_image": Spelling(to="end_image_url"),
    "sound": Spelling(to="generate_audio"),
    "system": Spelling(to="system_prompt"),
    "video": Spelling(to="video_url"),
}


class CatalogueError(ValueError):
    """The catalogue's file is invalid."""


class UnknownModelError(ValueError):
    """No model has this name."""


class Catalogue(BaseModel):
    """All known models."""

    model_config = ConfigDict(frozen=True)

    models: tuple[Model, ...]

    def find(self, name: str) -> Model:
        """The model with this name, alias or endpoint id. An unknown endpoint id is passed through unchanged.

        Raises `UnknownModelError`; its message names similar models.
        """
        return self._find(name, self.models)

    def _find(self, name: str, near: tuple[Model, ...]) -> Model:
        """As `find`; the error names similar ones of the `near` models."""
        wanted = name.strip()
        if wanted.startswith(SHARED):
            return _shared(wanted, self.find(wanted.removeprefix(SHARED)))
        if is_pipeline(wanted):
            return _pipeline(wanted)
        for names in (self._names, self._endpoints):
            if model := names.get(wanted.casefold()):
                return model
        if len(wanted) <= 200 and _ENDPOINT.fullmatch(wanted):
            return _passthrough(wanted)
        raise UnknownModelError(_unknown(name, near))

    def find_for(self, task: str, name: str) -> Model:
        """As `find`. An endpoint id that belongs to a model of other tasks is passed through, like an unknown one.

        A task of `RAW` gets the first endpoint of any model of fal, without our names, limits and price.
        """
        if name.startswith(SHARED):
            return _shared(name, self.find_for(task, name.removeprefix(SHARED)))
        if name.startswith(PIPELINE):
            return self.find(name)
        mode, _, rest = name.partition(":")
        if task in IN_MODES and mode in MODES:
            return _in_mode(self.find_for(task, rest), mode)
        model = self.find(name) if task in RAW else self._find(name, self.for_task(task) or self.models)
        if task in RAW and not (model.serves(task) and not model.passthrough):
            return self._raw(task, model, name.strip())
        if model.serves(task) or not _ENDPOINT.fullmatch(name.strip()):
            return model
        return _passthrough(name.strip())

    def _raw(self, task: str, model: Model, name: str) -> Model:
        route = model.first_route
        if task == WORKFLOWS and not _WORKFLOW.fullmatch(name):
            known = ", ".join(each.name for each in self.for_task(task))
            raise UnknownModelError(f"{name} is no workflow; allowed: workflows/owner/name, {known}")
        if name in model.retired:
            raise UnknownModelError(f"fal does not answer {name} any more; {route.endpoint} replaces it")
        if route.provider != "fal":
            raise UnknownModelError(f"{model.name} is served by {route.provider}, and this task runs endpoints of fal")
        raw = Route(provider="fal", endpoint=name if _ENDPOINT.fullmatch(name) else route.endpoint, takes=(ANYTHING,))
        return Model(
            name=raw.endpoint, title=raw.endpoint, task=(), usual_s=model.usual_s, routes=(raw,), passthrough=True
        )

    def member(self, task: str, family: str) -> Model | None:
        """The model that serves this task under the name of its family. An endpoint id names one endpoint alone."""
        wanted = family.strip().casefold()
        if "/" in wanted:
            return None
        own = self._names.get(wanted)
        names = {wanted, *((name.casefold() for name in own.names) if own else ())}
        found = (model for model in self.for_task(task) if model.family and model.family.casefold() in names)
        return next(found, None)

    def for_task(self, task: str) -> tuple[Model, ...]:
        """The models that serve this task."""
        return tuple(model for model in self.models if task in model.task)

    def problems(self, model: Model, arguments: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Arguments (by our names) that this model does not support: pairs of parameter and message."""
        found = [(name, self._problem(model, name, value)) for name, value in arguments.items()]
        found += [(name, f"is required by {model.name}") for name in model.requires if name not in arguments]
        return [(name, message) for name, message in found if message]

    def _problem(self, model: Model, name: str, value: Any) -> str | None:
        if not model.takes(name):
            return f"is not a parameter of {model.name}{self._who_takes(name, model)}"
        if (limit := model.limits.get(name)) and (message := limit.problem(value)):
            return f"{message} ({model.name})"
        if name == "image_size":
            message = model.first_route.shape_problem(value)
            return f"{message} ({model.name})" if message else None
        return None

    def _who_takes(self, name: str, model: Model) -> str:
        others = [other.name for other in self.models if set(other.task) & set(model.task) and other.takes(name)]
        return f"; these models have it: {', '.join(others)}" if others else ""

    @cached_property
    def _names(self) -> dict[str, Model]:
        return {name.casefold(): model for model, name in _all_names(self.models)}

    @cached_property
    def _endpoints(self) -> dict[str, Model]:
        return {model.first_route.endpoint.casefold(): model for model in self.models}

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Catalogue":
        owner: dict[str, Model] = {}
        for model, name in _all_names(self.models):
            if owner.setdefault(name.casefold(), model) is not model:
                raise ValueError(f"{name!r} names both {owner[name.casefold()].name} and {model.name}")
        return self

    @model_validator(mode="after")
    def _no_route_is_retired(self) -> "Catalogue":
        retired = {name for model in self.models for name in model.retired}
        if dead := sorted(retired & {route.endpoint for model in self.models for route in model.routes}):
            raise ValueError(f"retired, but still on a route: {', '.join(dead)}")
        return self


def _unknown(name: str, models: tuple[Model, ...]) -> str:
    names = {each.casefold() for _, each in _all_names(models)}
    near = difflib.get_close_matches(name.strip().casefold(), sorted(names), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(m.name for m in models)};"
    return f"no model {name[:200]!r}: {hint} an endpoint id like owner/name is passed through unchanged"


def load_catalogue(*paths: Path) -> Catalogue:
    """The catalogue from files, ours by default. Raises `CatalogueError`, which names the file, model and field."""
    files = {path: _read(path) for path in paths or our_files()}
    shared = {name: route for file in files.values() for name, route in file.get("routes", {}).items()}
    stanzas = {path: file.get("models", {}) for path, file in files.items()}
    counts = Counter(name for found in stanzas.values() for name in found)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise CatalogueError(f"more than one file has a stanza of {', '.join(twice)}")
    models = [_model(path, name, stanza, shared) for path, found in stanzas.items() for name, stanza in found.items()]
    try:
        return Catalogue(models=tuple(models))
    except ValidationError as error:
        raise CatalogueError(f"{', '.join(path.name for path in files)}: {_first(error)}") from error


def our_files() -> tuple[Path, ...]:
    """The files of the packaged catalogue."""
    folder = Path(__file__).parent
    return (folder / "catalogue.toml", *sorted((folder / "catalogue").glob("*.toml")))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"{path.name}: {error}") from error


def _model(path: Path, name: str, stanza: Mapping[str, Any], shared: Mapping[str, Any]) -> Model:
    try:
        routes = {"routes": [_route(route, shared) for route in stanza["routes"]]} if "routes" in stanza else {}
    except CatalogueError as error:
        raise CatalogueError(f"{path.name}: model {name}: {error}") from error
    try:
        return Model.model_validate({"name": name, **stanza, **routes})
    except ValidationError as error:
        raise CatalogueError(f"{path.name}: model {name}: {_first(error)}") from error


def _route(given: Any, shared: Mapping[str, Any]) -> Any:
    """A route with the values of the shared route that it names in `like`; its own values win."""
    if not isinstance(given, dict) or "like" not in given:
        return given
    if given["like"] not in shared:
        raise CatalogueError(f"routes: like {given['like']!r}; known: {', '.join(shared) or 'none'}")
    return {**shared[given["like"]], **{key: value for key, value in given.items() if key != "like"}}


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'as a whole'}: {first['msg']}"


def _all_names(models: tuple[Model, ...]) -> Iterator[tuple[Model, str]]:
    return ((model, name) for model in models for name in model.names)


def unknown_route(provider: str, endpoint: str) -> Route:
    """The route to an endpoint that is not in the catalogue: it takes everything, at fal by fal's commonest names."""
    return Route(provider=provider, endpoint=endpoint, takes=(ANYTHING,), write=_FAL_NAMES if provider == "fal" else {})


def is_pipeline(model: str) -> bool:
    """Whether this is the model of a task that is made of steps."""
    return model.startswith(PIPELINE)


def _pipeline(name: str) -> Model:
    """A task made of steps. It has no price: what it costs is known when its steps have ended."""
    task = name.removeprefix(PIPELINE)
    route = Route(provider="pipeline", endpoint=task, takes=(ANYTHING,))
    return Model(name=name, title=f"the steps of {task}", task=(task,), usual_s=20, routes=(route,))


def _shared(name: str, model: Model) -> Model:
    """A model whose run is another job. That job has the price."""
    route = Route(provider="shared", endpoint=model.name, takes=(ANYTHING,))
    return Model(
        name=name, title=f"an equal run of {model.name}", task=model.task, usual_s=model.usual_s, routes=(route,)
    )


def _in_mode(model: Model, mode: str) -> Model:
    """The model without fal's queue."""
    route = model.first_route.model_copy(update={"provider": MODES[mode]})
    return model.model_copy(update={"name": f"{mode}:{model.name}", "routes": (route,)})


def _passthrough(endpoint: str) -> Model:
    route = unknown_route("fal", endpoint)
    return Model(name=endpoint, title=endpoint, task=(), usual_s=5, routes=(route,), passthrough=True)
