"""What becomes of a request on a route: what it is told, what it is told otherwise, what is lost, and how bad that is.

Pure. Whether a route that loses something may be taken is decided in `routes`; their order, in `order`.

    a parameter's nature      lost         told otherwise    examples
    what the piece is         impossible   close             prompt, image, a size, a ratio, a length, a number
    how it is made            close        close             steps, guidance, a negative prompt, the safety checker
    everything else           degraded     degraded          LoRAs, a mask, a pose, strength, a seed, a file format

The worst of a request's parameters and the route's own distance to the model is the equivalence of the whole.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from config.mapping import said_in, sentence, shape_of
from config.model import Model, Route
from config.shape import dimensions
from worker.jobs.file_arguments import file_arguments
from worker.jobs.job import Step

ESSENTIAL = frozenset({"prompt", "image_size", "aspect_ratio", "duration_s", "num_images"})
ESSENTIAL_FILES = frozenset({"image", "video", "audio", "archive"})  # kinds: what the piece is made from
SOFT = frozenset({"negative_prompt", "num_inference_steps", "guidance_scale", "enable_safety_checker"})


class Equivalence(StrEnum):
    """How near a route comes to what was asked, the nearest first."""

    EXACT = "exact"  # the same model, told everything
    CLOSE = "close"  # another model, or a nuance lost
    DEGRADED = "degraded"  # something is lost that the caller counts on: only where the caller allows it
    IMPOSSIBLE = "impossible"  # what would come is not the piece that was asked for


_FROM_NEAR_TO_FAR = tuple(Equivalence)


@dataclass(frozen=True)
class Plan:
    """What becomes of a request on a route. Each given parameter is in one of the three; `extra` counts as `extra.…`.

    `why` names what keeps it from being exact, as "loras, seed"; empty where it is.
    """

    equivalence: Equivalence
    mapped: tuple[str, ...] = ()
    approximated: Mapping[str, str] = field(default_factory=dict)  # parameter: how
    dropped: tuple[str, ...] = ()
    why: str = ""

    def may_follow(self, *, allow_degraded: bool = False) -> bool:
        """Whether the route may be taken by itself, or with the caller's leave."""
        return self.equivalence in {Equivalence.EXACT, Equivalence.CLOSE} or (
            allow_degraded and self.equivalence is Equivalence.DEGRADED
        )


@dataclass(frozen=True)
class _Fate:
    """What becomes of one parameter."""

    name: str
    equivalence: Equivalence = Equivalence.EXACT
    otherwise: str | None = None  # how it is told, where not as asked
    is_lost: bool = False
    why: str | None = None  # it is lost, where the route does have the parameter

    def __str__(self) -> str:
        return f"{self.name} ({self.why})" if self.why else self.name


def plan(model: Model, route: Route, step: Step) -> Plan:
    """What becomes of a step on one of the model's routes."""
    fates = [_fate(model.own, route, name, value, step) for name, value in step.arguments.items()]
    fates += [_fate_of_extra(route, name) for name in step.extra]
    lost = list(_lost_constants(model.own, route, step))
    own = Equivalence(route.equivalence or "exact")
    worst = max([own, *(fate.equivalence for fate in [*fates, *lost])], key=_FROM_NEAR_TO_FAR.index)
    return Plan(
        worst,
        mapped=tuple(fate.name for fate in fates if not fate.otherwise and not fate.is_lost),
        approximated={fate.name: fate.otherwise for fate in fates if fate.otherwise},
        dropped=tuple(fate.name for fate in fates if fate.is_lost),
        why=_why(route, worst, [*fates, *lost]),
    )


def _fate(own: Route, route: Route, name: str, value: Any, step: Step) -> _Fate:
    if _says_nothing(name, value):
        return _Fate(name)
    if problem := route.problem(name, value):
        return _Fate(name, _if_lost(name, step), is_lost=True, why=problem if route.understands(name) else None)
    if otherwise := _otherwise(own, route, name, value):
        is_nuance = name in SOFT or _is_essential(name, step)
        return _Fate(name, Equivalence.CLOSE if is_nuance else Equivalence.DEGRADED, otherwise=otherwise)
    return _Fate(name)


def _fate_of_extra(route: Route, name: str) -> _Fate:
    """Words of the model's first endpoint: nobody here knows what they mean, so no fallback is told them."""
    if route.equivalence is None:
        return _Fate(f"extra.{name}")
    return _Fate(f"extra.{name}", Equivalence.DEGRADED, is_lost=True)


def _lost_constants(own: Route, route: Route, step: Step) -> Iterator[_Fate]:
    """What the model always says and this route does not: a model that is a LoRA is another one without it."""
    for name, value in own.sends.items():
        if route.equivalence is not None and route.sends.get(name) != value:
            yield _Fate(f"the model's own {name}", _if_lost(name, step), is_lost=True)


def _is_essential(name: str, step: Step) -> bool:
    files = file_arguments(step)
    return name in ESSENTIAL or any(file.parameter == name and file.kind in ESSENTIAL_FILES for file in files)


def _if_lost(name: str, step: Step) -> Equivalence:
    if _is_essential(name, step):
        return Equivalence.IMPOSSIBLE
    return Equivalence.CLOSE if name in SOFT else Equivalence.DEGRADED


def _says_nothing(name: str, value: Any) -> bool:
    """Whether leaving the parameter out asks for the same: one picture is what every endpoint draws."""
    return value in (None, "", [], ()) or (name == "num_images" and value == 1)


def _otherwise(own: Route, route: Route, name: str, value: Any) -> str | None:
    """How this route is told the parameter, where not in the way that the model itself would be."""
    if route.equivalence is None:
        return None
    if name == "image_size" and (shape := shape_of(route, value)) != shape_of(own, value):
        return _drawn(value, shape)
    if (into := said_in(route, name)) and not said_in(own, name):
        said = sentence(route, name, value)
        return f'in the {into}: "{said}"' if said else None
    if name == "seed" and route.equivalence == "close":
        return "told, but another model does not draw the same by it"
    return None


def _drawn(size: Any, shape: Mapping[str, str]) -> str | None:
    if not shape:  # told as it is
        return None
    width, height = dimensions(size)
    at = f" at {shape['resolution']}" if "resolution" in shape else ""
    return f"{width}x{height} as {shape['aspect_ratio']}{at}"


def _why(route: Route, worst: Equivalence, fates: list[_Fate]) -> str:
    if worst is Equivalence.EXACT:
        return ""
    culprits = [str(fate) for fate in fates if fate.equivalence is worst]
    return ", ".join(culprits) or f"{route.endpoint} is another model"
