"""What happens to a request on a route: which parameters are sent as asked, changed or dropped, and how bad that is.

Pure. `routes` decides whether a route that drops something may be used, and in which order routes are tried.

    a parameter's nature      if dropped   if changed   examples
    what the piece is         impossible   close        prompt, image, a size, a ratio, a length, a number
    how it is made            close        close        steps, guidance, a negative prompt, the safety checker
    everything else           degraded     degraded     LoRAs, a mask, a pose, strength, a seed, a file format

The equivalence of the whole is the worst of the request's parameters and of the route's own distance to the model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from config.mapping import appended_text, appended_to, shape_of
from config.model import Model, Route
from config.shape import dimensions
from worker.jobs.file_arguments import file_arguments
from worker.jobs.job import Step

ESSENTIAL = frozenset({"prompt", "image_size", "aspect_ratio", "duration_s", "num_images", "factor", "canvas", "crop"})
ESSENTIAL_FILES = frozenset({"image", "video", "audio", "archive"})  # kinds of files that the piece is made from
SOFT = frozenset({"negative_prompt", "num_inference_steps", "guidance_scale", "quality", "enable_safety_checker"})


class Equivalence(StrEnum):
    """How near a route comes to the request, the nearest first."""

    EXACT = "exact"  # the same model, and every parameter is sent as asked
    CLOSE = "close"  # another model, or a small difference
    DEGRADED = "degraded"  # a parameter that matters to the caller is dropped: only if the caller allows it
    IMPOSSIBLE = "impossible"  # the result would not be the piece that was asked for


_FROM_NEAR_TO_FAR = tuple(Equivalence)


@dataclass(frozen=True)
class Plan:
    """What happens to a request on a route. Each parameter is in one of `mapped`, `approximated` and `dropped`.

    A parameter of `extra` is named `extra.…`. `why` names what prevents an exact result, as "loras, seed"; it is empty
    if the result is exact.
    """

    equivalence: Equivalence
    mapped: tuple[str, ...] = ()
    approximated: Mapping[str, str] = field(default_factory=dict)  # parameter -> how it is changed
    dropped: tuple[str, ...] = ()
    why: str = ""

    def may_follow(self, *, allow_degraded: bool = False) -> bool:
        """Whether a job may use the route. `allow_degraded`: the caller's option."""
        return self.equivalence in {Equivalence.EXACT, Equivalence.CLOSE} or (
            allow_degraded and self.equivalence is Equivalence.DEGRADED
        )


@dataclass(frozen=True)
class _ParameterPlan:
    """What happens to one parameter."""

    name: str
    equivalence: Equivalence = Equivalence.EXACT
    change: str | None = None  # how it is changed, if it is not sent as asked
    is_dropped: bool = False
    why: str | None = None  # why it is dropped although the route has the parameter

    def __str__(self) -> str:
        return f"{self.name} ({self.why})" if self.why else self.name


def plan(model: Model, route: Route, step: Step) -> Plan:
    """What happens to a step on one of the model's routes."""
    given = [_parameter_plan(model.first_route, route, name, value, step) for name, value in step.arguments.items()]
    given += [_extra_plan(route, name) for name in step.extra]
    constants = list(_dropped_constants(model.first_route, route, step))
    of_route = Equivalence(route.equivalence or "exact")
    worst = max([of_route, *(each.equivalence for each in [*given, *constants])], key=_FROM_NEAR_TO_FAR.index)
    return Plan(
        worst,
        mapped=tuple(each.name for each in given if not each.change and not each.is_dropped),
        approximated={each.name: each.change for each in given if each.change},
        dropped=tuple(each.name for each in given if each.is_dropped),
        why=_why(route, worst, [*given, *constants]),
    )


def _parameter_plan(first: Route, route: Route, name: str, value: Any, step: Step) -> _ParameterPlan:
    if _is_default(name, value):
        return _ParameterPlan(name)
    if problem := route.problem(name, value):
        why = problem if route.understands(name) else None
        return _ParameterPlan(name, _if_dropped(name, step), is_dropped=True, why=why)
    if change := _change(first, route, name, value):
        is_small = name in SOFT or _is_essential(name, step)
        return _ParameterPlan(name, Equivalence.CLOSE if is_small else Equivalence.DEGRADED, change=change)
    return _ParameterPlan(name)


def _extra_plan(route: Route, name: str) -> _ParameterPlan:
    """`extra` belongs to the model's first endpoint. We do not know what it means, so no fallback gets it."""
    if route.equivalence is None:
        return _ParameterPlan(f"extra.{name}")
    return _ParameterPlan(f"extra.{name}", Equivalence.DEGRADED, is_dropped=True)


def _dropped_constants(first: Route, route: Route, step: Step) -> Iterator[_ParameterPlan]:
    """Constants of the first route that this route does not send: a model that is a LoRA is another one without it."""
    for name, value in first.sends.items():
        if route.equivalence is not None and route.sends.get(name) != value:
            yield _ParameterPlan(f"the model's own {name}", _if_dropped(name, step), is_dropped=True)


def _is_essential(name: str, step: Step) -> bool:
    files = file_arguments(step)
    return name in ESSENTIAL or any(file.parameter == name and file.kind in ESSENTIAL_FILES for file in files)


def _if_dropped(name: str, step: Step) -> Equivalence:
    if _is_essential(name, step):
        return Equivalence.IMPOSSIBLE
    return Equivalence.CLOSE if name in SOFT else Equivalence.DEGRADED


def _is_default(name: str, value: Any) -> bool:
    """Whether the request means the same without the parameter: every endpoint draws one picture by default."""
    return value in (None, "", [], ()) or (name == "num_images" and value == 1)


def _change(first: Route, route: Route, name: str, value: Any) -> str | None:
    """How this route changes the parameter, or None if it sends the parameter as the first route would."""
    if route.equivalence is None:
        return None
    if name == "image_size" and (shape := shape_of(route, value)) != shape_of(first, value):
        return _as_shape(value, shape)
    if (spelling := route.write.get(name)) and spelling.changed:
        return spelling.changed
    if (into := appended_to(route, name)) and not appended_to(first, name):
        text = appended_text(route, name, value)
        return f'in the {into}: "{text}"' if text else None
    if name == "seed" and route.equivalence == "close":
        return "sent, but another model draws another picture with the same seed"
    return None


def _as_shape(size: Any, shape: Mapping[str, str]) -> str | None:
    if not shape:  # the size itself is sent
        return None
    width, height = dimensions(size)
    at = f" at {shape['resolution']}" if "resolution" in shape else ""
    return f"{width}x{height} as {shape['aspect_ratio']}{at}"


def _why(route: Route, worst: Equivalence, parameters: list[_ParameterPlan]) -> str:
    if worst is Equivalence.EXACT:
        return ""
    causes = [str(each) for each in parameters if each.equivalence is worst]
    return ", ".join(causes) or f"{route.endpoint} is another model"
