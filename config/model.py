"""What the catalogue says of a model: price, limits, routes and how parameters are spelt there. Frozen values."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from config.shape import ratio_for, resolution_for

ANYTHING = "*"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Price(_Frozen):
    """What one unit costs. An estimate: the units that the provider billed settle it."""

    usd: float = Field(ge=0)
    per: Literal["megapixel", "image", "second", "step", "request"]


class Limit(_Frozen):
    """What a parameter may be, by our name. `max_length` counts characters."""

    min: float | None = None
    max: float | None = None
    one_of: tuple[str | int | float, ...] | None = None
    max_length: int | None = None

    def problem(self, value: Any) -> str | None:
        """What is wrong with the value and what is allowed, or None."""
        if self.one_of is not None and (isinstance(value, bool) or value not in self.one_of):
            return f"is {value!r}; allowed: {', '.join(map(str, self.one_of))}"
        if self.max_length is not None and len(str(value)) > self.max_length:
            return f"is {len(str(value))} characters long; allowed: {self.max_length}"
        if (self.min, self.max) != (None, None) and not self._holds(value):
            return f"is {value!r}; allowed: {self._range()}"
        return None

    def _holds(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = (-math.inf if self.min is None else self.min), (math.inf if self.max is None else self.max)
        return low <= value <= high

    def _range(self) -> str:
        if self.max is None:
            return f"{self.min:g} or more"
        return f"{self.max:g} or less" if self.min is None else f"{self.min:g} to {self.max:g}"


class Spelling(_Frozen):
    """How a parameter of ours is written for an endpoint: its name, the text around it, their words for ours."""

    to: str | None = None
    template: str | None = Field(None, pattern=r"\{\}")
    values: Mapping[str, str] = {}


class Route(_Frozen):
    """A provider's endpoint that serves a model, and how a request maps onto it.

    `sends` are constants that the caller's `extra` overrides; a list among them is put before the caller's own list.
    """

    provider: str
    endpoint: str
    takes: tuple[str, ...]
    write: Mapping[str, Spelling] = {}
    sends: Mapping[str, Any] = {}
    shape: Literal["aspect_ratio", "aspect_ratio+resolution"] | None = None
    ratios: tuple[str, ...] = ()
    resolutions: tuple[str, ...] = ()

    def understands(self, parameter: str) -> bool:
        """Whether the endpoint has this parameter of ours."""
        return parameter in self.takes or ANYTHING in self.takes

    def shape_problem(self, size: Any) -> str | None:
        """Why this route cannot draw a picture of this size, or None."""
        if self.shape is None:
            return None
        if ratio_for(size, self.ratios) is None:
            return f"is drawn only in these ratios of width to height: {', '.join(self.ratios)}"
        if self.resolutions and resolution_for(size, self.resolutions) is None:
            return f"is drawn only up to {self.resolutions[-1]} (1K is 1024x1024 pixels)"
        return None

    @model_validator(mode="after")
    def _is_consistent(self) -> "Route":
        if strangers := [name for name in self.write if not self.understands(name)]:
            raise ValueError(f"write names what takes does not: {', '.join(strangers)}")
        if bool(self.shape) != bool(self.ratios) or bool(self.resolutions) != (self.shape == "aspect_ratio+resolution"):
            raise ValueError("shape, ratios and resolutions belong together")
        return self


class Model(_Frozen):
    """A model: its names, the tasks it serves, its routes in the order in which they are tried."""

    name: str
    title: str
    task: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    usual_s: float = Field(gt=0)
    price: Price | None = None
    limits: Mapping[str, Limit] = {}
    routes: tuple[Route, ...] = Field(min_length=1)
    note: str | None = None
    passthrough: bool = False

    def serves(self, task: str) -> bool:
        """Whether it can be asked for by this task; a passed-through endpoint by any."""
        return self.passthrough or task in self.task

    def takes(self, parameter: str) -> bool:
        """Whether at least one route has this parameter of ours."""
        return any(route.understands(parameter) for route in self.routes)

    @model_validator(mode="after")
    def _limits_what_it_takes(self) -> "Model":
        if strangers := [name for name in self.limits if not self.takes(name)]:
            raise ValueError(f"limits names what no route takes: {', '.join(strangers)}")
        return self
