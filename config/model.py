"""What the catalogue says of a model: price, limits, routes and how parameters are spelt there. Frozen values."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from config.shape import ratio_for, resolution_for

ANYTHING = "*"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Price(_Frozen):
    """What one unit costs. An estimate: the units that the provider billed settle it.

    Of tokens `usd` is the price of a million that are read, `usd_out` of a million that are written; `picture_tokens`
    are the most that a picture counts when it is read.
    """

    usd: float = Field(ge=0)
    per: Literal["megapixel", "image", "second", "step", "request", "token"]
    usd_out: float | None = Field(None, ge=0)
    usd_at: Mapping[str, Annotated[float, Field(ge=0)]] = {}
    picture_tokens: int | None = Field(None, ge=1)

    def usd_for(self, resolution: str | None) -> float:
        """Dollars for a unit at this resolution ("4K"), as the endpoint is told it; None is the endpoint's own."""
        return self.usd_at.get(resolution or "", self.usd)

    def usd_of_tokens(self, read: int, wrote: int) -> float | None:
        """Dollars for tokens; None where the price is not one of tokens."""
        return round((read * self.usd + wrote * self.usd_out) / 1_000_000, 9) if self.usd_out is not None else None

    @model_validator(mode="after")
    def _tokens_have_two_prices(self) -> "Price":
        if (self.per == "token") != (self.usd_out is not None):
            raise ValueError("usd_out belongs to a price per token, and to no other")
        if self.picture_tokens is not None and self.per != "token":
            raise ValueError("picture_tokens belongs to a price per token, and to no other")
        return self


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
            return f"{self.min:.15g} or more"
        return f"{self.max:.15g} or less" if self.min is None else f"{self.min:.15g} to {self.max:.15g}"


class Spelling(_Frozen):
    """How a parameter of ours is written for an endpoint: its name, the text around it, their words for ours.

    `into`: it has no place of its own there, and is said as a paragraph at the end of another one. An empty word of
    theirs leaves the parameter out: the endpoint does by itself what ours says.
    """

    to: str | None = None
    into: str | None = None
    template: str | None = Field(None, pattern=r"\{\}")
    values: Mapping[str, str] = {}

    def text(self, value: Any) -> str:
        """The value inside the text around it."""
        word = str(value).lower() if isinstance(value, bool) else str(value)
        return self.template.replace("{}", word) if self.template else word

    @model_validator(mode="after")
    def _has_one_place(self) -> "Spelling":
        if self.to and self.into:
            raise ValueError("to and into exclude each other")
        return self


class Route(_Frozen):
    """A provider's endpoint that serves a model, and how a request maps onto it.

    `sends` are constants that the caller's `extra` overrides; a list among them is put before the caller's own list.
    `equivalence` is what a route after the first says: how near it comes to the model, which is what its first route
    serves. `limits` are the endpoint's own where they are narrower than the model's. `files` are parameters whose files
    go inside the call. `price` differs from the model's.
    """

    provider: str
    endpoint: str
    takes: tuple[str, ...]
    write: Mapping[str, Spelling] = {}
    sends: Mapping[str, Any] = {}
    shape: Literal["aspect_ratio", "aspect_ratio+resolution"] | None = None
    ratios: tuple[str, ...] = ()
    resolutions: tuple[str, ...] = ()
    equivalence: Literal["exact", "close"] | None = None
    limits: Mapping[str, Limit] = {}
    files: tuple[str, ...] = ()
    price: Price | None = None

    def understands(self, parameter: str) -> bool:
        """Whether the endpoint has this parameter of ours."""
        return parameter in self.takes or ANYTHING in self.takes

    def problem(self, parameter: str, value: Any) -> str | None:
        """Why this route cannot be told the value of a parameter of ours, or None."""
        if not self.understands(parameter):
            return "is not taken"
        if (limit := self.limits.get(parameter)) and (message := limit.problem(value)):
            return message
        return self.shape_problem(value) if parameter == "image_size" else None

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
        for key, names in (("write", self.write), ("limits", self.limits), ("files", self.files)):
            if strangers := [name for name in names if not self.understands(name)]:
                raise ValueError(f"{key} names what takes does not: {', '.join(strangers)}")
        if homeless := [say.into for say in self.write.values() if say.into and not self.understands(say.into)]:
            raise ValueError(f"write says something in what takes does not name: {', '.join(homeless)}")
        if bool(self.shape) != bool(self.ratios) or bool(self.resolutions) != (self.shape == "aspect_ratio+resolution"):
            raise ValueError("shape, ratios and resolutions belong together")
        return self


class Model(_Frozen):
    """A model: its names, the tasks it serves, its routes in the order in which they are tried.

    Its first route says what the model is: which parameters it has, in which sizes it draws. The others stand in for
    it. `retired` are ids that their owner no longer answers; they find this model all the same.
    """

    name: str
    title: str
    task: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    usual_s: float = Field(gt=0)
    price: Price | None = None
    limits: Mapping[str, Limit] = {}
    routes: tuple[Route, ...] = Field(min_length=1)
    note: str | None = None
    passthrough: bool = False

    def serves(self, task: str) -> bool:
        """Whether it can be asked for by this task; a passed-through endpoint by any."""
        return self.passthrough or task in self.task

    @property
    def own(self) -> Route:
        """The route that says what the model is."""
        return self.routes[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that finds it."""
        return (self.name, *self.aliases, *self.retired)

    def takes(self, parameter: str) -> bool:
        """Whether the model has this parameter of ours. What a fallback could do besides does not count."""
        return self.own.understands(parameter)

    def price_on(self, route: Route) -> Price | None:
        """What a unit costs on this route; None where nobody says, as of a fallback without a price of its own."""
        return route.price or (self.price if route.equivalence is None else None)

    @model_validator(mode="after")
    def _limits_what_it_takes(self) -> "Model":
        if strangers := [name for name in self.limits if not self.takes(name)]:
            raise ValueError(f"limits names what the first route does not take: {', '.join(strangers)}")
        return self

    @model_validator(mode="after")
    def _fallbacks_say_how_near_they_come(self) -> "Model":
        if self.own.equivalence is not None:
            raise ValueError("the first route is the model itself and has no equivalence")
        if silent := [route.endpoint for route in self.routes[1:] if route.equivalence is None]:
            raise ValueError(f"a route after the first needs equivalence, exact or close: {', '.join(silent)}")
        return self
