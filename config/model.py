"""The catalogue's values: models, routes, prices, and how a route writes parameters. Frozen."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from config.canvas import CanvasStyle
from config.limit import Limit
from config.shape import ratio_for, resolution_for

ANYTHING = "*"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TokenPrice(_Frozen):
    """US dollars for a million tokens of a picture model: read, written (thoughts and text), and drawn (pictures)."""

    read: float = Field(ge=0)
    written: float = Field(ge=0)
    drawn: float = Field(ge=0)


class LongPrompt(_Frozen):
    """The prices for a million tokens where a prompt has more than `over` tokens."""

    over: int = Field(ge=1)
    usd: float = Field(ge=0)
    usd_out: float = Field(ge=0)


class LargePictures(_Frozen):
    """The units of one picture that has more than `over` pixels, or is drawn without a size."""

    over: int = Field(ge=1)
    units: float = Field(gt=0)


class Price(_Frozen):
    """The price of one unit. Before a run it gives an estimate; the cost comes from the units that the provider billed.

    For tokens, `usd` is the price of a million input tokens, `usd_out` of a million output tokens, `picture_tokens` is
    the largest number of input tokens for one picture, and `long_prompt` has the prices of long prompts. `usd_at` has
    prices by resolution; `units_at` has the units of one picture by resolution, for providers that report units;
    `large` has the units of large pictures.
    `by_file`: the megapixels are those of an input file, or a multiple of them, so they are unknown before the bill.
    `tokens`: the vendor's bill for pictures counts tokens, those of the prompt and of thoughts too; `usd` is then what
    the tokens of the picture alone cost.
    """

    usd: float = Field(ge=0)
    per: Literal["megapixel", "image", "second", "step", "request", "token"]
    usd_out: float | None = Field(None, ge=0)
    usd_at: Mapping[str, Annotated[float, Field(ge=0)]] = {}
    units_at: Mapping[str, Annotated[float, Field(gt=0)]] = {}
    large: LargePictures | None = None
    picture_tokens: int | None = Field(None, ge=1)
    long_prompt: LongPrompt | None = None
    tokens: TokenPrice | None = None
    by_file: bool = False

    def usd_for(self, resolution: str | None) -> float:
        """US dollars for a unit at this resolution ("4K"), as the endpoint calls it. None: the endpoint's default."""
        return self.usd_at.get(resolution or "", self.usd)

    def usd_of_tokens(self, read: int, wrote: int, drew: int = 0) -> float | None:
        """US dollars for tokens that were read, written and drawn, or None if the price does not count tokens."""
        if self.tokens is not None:
            of_all = read * self.tokens.read + wrote * self.tokens.written + drew * self.tokens.drawn
        elif self.usd_out is not None:
            usd_in, usd_out = self.usd, self.usd_out
            if self.long_prompt and read > self.long_prompt.over:
                usd_in, usd_out = self.long_prompt.usd, self.long_prompt.usd_out
            of_all = read * usd_in + (wrote + drew) * usd_out
        else:
            return None
        return round(of_all / 1_000_000, 9)

    @model_validator(mode="after")
    def _tokens_have_two_prices(self) -> "Price":
        if (self.per == "token") != (self.usd_out is not None):
            raise ValueError("usd_out is required for a price per token, and allowed for no other")
        if self.picture_tokens is not None and self.per != "token" and self.tokens is None:
            raise ValueError("picture_tokens is allowed only for a price that counts tokens")
        if self.long_prompt is not None and self.per != "token":
            raise ValueError("long_prompt is allowed only for a price per token")
        if self.by_file and self.per != "megapixel":
            raise ValueError("by_file is allowed only for a price per megapixel")
        if self.large is not None and self.per != "image":
            raise ValueError("large is allowed only for a price per image")
        if self.tokens is not None and self.per != "image":
            raise ValueError("tokens is allowed only for a price per image")
        return self


class Spelling(_Frozen):
    """How one of our parameters is written for an endpoint.

    `to`: the endpoint's name for it; `voice_setting.speed` is an entry of an object. `template`: the text around
    the value. `values`: the endpoint's words for ours; an empty word omits the parameter, because it is the
    endpoint's default. `into`: the endpoint has no such parameter, so the value becomes a paragraph at the end of
    this other parameter. `single`: the endpoint takes the first item of our list. `changed`: what the endpoint
    makes of the value, if that is less than was asked for.
    """

    to: str | None = None
    into: str | None = None
    template: str | None = Field(None, pattern=r"\{\}")
    values: Mapping[str, str] = {}
    single: bool = False
    changed: str | None = None

    def text(self, value: Any) -> str:
        """The value inside its template."""
        word = str(value).lower() if isinstance(value, bool) else str(value)
        return self.template.replace("{}", word) if self.template else word

    @model_validator(mode="after")
    def _has_one_place(self) -> "Spelling":
        if self.to and self.into:
            raise ValueError("to and into cannot be used together")
        return self


class Route(_Frozen):
    """A provider's endpoint that serves a model, and how a request is written for it.

    `takes` are our parameters that the endpoint has. `sends` are constants; the caller's `extra` overrides them, and a
    constant list is put before the caller's list. `sets` are constants that no other endpoint has, so that a fallback
    loses nothing without them. `equivalence` is required on every route after the first: how near
    the route comes to the first one, which defines the model. `limits` are narrower than the model's. `files` are the
    parameters whose files are sent inside the call. `pictures` are the content types that it takes, if they are not
    JPEG, PNG and WebP; other pictures are converted. `canvas`: how it takes a canvas. `own_size`: it draws in sizes of
    its own, whatever the size of its input. `price` is set if it differs from the model's.
    """

    provider: str
    endpoint: str
    takes: tuple[str, ...]
    write: Mapping[str, Spelling] = {}
    sends: Mapping[str, Any] = {}
    sets: Mapping[str, Any] = {}
    shape: Literal["aspect_ratio", "aspect_ratio+resolution"] | None = None
    canvas: CanvasStyle | None = None
    own_size: bool = False
    ratios: tuple[str, ...] = ()
    resolutions: tuple[str, ...] = ()
    equivalence: Literal["exact", "close"] | None = None
    limits: Mapping[str, Limit] = {}
    files: tuple[str, ...] = ()
    pictures: tuple[str, ...] = ()
    price: Price | None = None

    def understands(self, parameter: str) -> bool:
        """Whether the endpoint has this parameter (by our name)."""
        return parameter in self.takes or ANYTHING in self.takes

    def problem(self, parameter: str, value: Any) -> str | None:
        """Why this route cannot take this value of a parameter (by our name), or None if it can."""
        if not self.understands(parameter):
            return "is not taken"
        if (limit := self.limits.get(parameter)) and (message := limit.problem(value)):
            return message
        return self.shape_problem(value) if parameter == "image_size" else None

    def shape_problem(self, size: Any) -> str | None:
        """Why this route cannot draw a picture of this size, or None if it can."""
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
            if unknown := [name for name in names if not self.understands(name)]:
                raise ValueError(f"{key} has parameters that are not in takes: {', '.join(unknown)}")
        targets = [spelling.into for spelling in self.write.values() if spelling.into]
        if unknown := [name for name in targets if not self.understands(name)]:
            raise ValueError(f"into names parameters that are not in takes: {', '.join(unknown)}")
        if bool(self.shape) != bool(self.ratios) or bool(self.resolutions) != (self.shape == "aspect_ratio+resolution"):
            raise ValueError("shape, ratios and resolutions belong together")
        return self


class Model(_Frozen):
    """A model: its names, its tasks, and its routes in the order in which they are tried.

    The first route defines the model: its parameters and its picture sizes. The other routes are fallbacks.
    `requires` are parameters that it needs beside those that its tasks require. `family` is a name that finds it in its
    tasks: members of a family are the same model at endpoints for different tasks.
    `usual_s` is its usual duration in seconds. `retired` are former endpoint ids; they still find this model.
    `passthrough`: it is not in the catalogue, only an endpoint id.
    """

    name: str
    title: str
    task: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    family: str | None = None
    requires: tuple[str, ...] = ()
    usual_s: float = Field(gt=0)
    price: Price | None = None
    limits: Mapping[str, Limit] = {}
    routes: tuple[Route, ...] = Field(min_length=1)
    note: str | None = None
    passthrough: bool = False

    def serves(self, task: str) -> bool:
        """Whether this task may use the model. Every task may use a passed-through endpoint."""
        return self.passthrough or task in self.task

    @property
    def first_route(self) -> Route:
        """The first route, which defines the model."""
        return self.routes[0]

    @property
    def names(self) -> tuple[str, ...]:
        """All names that find the model."""
        return (self.name, *self.aliases, *self.retired)

    def takes(self, parameter: str) -> bool:
        """Whether the model has this parameter (by our name). Parameters that only a fallback has do not count."""
        return self.first_route.understands(parameter)

    def price_on(self, route: Route) -> Price | None:
        """The price of a unit on this route, or None if it is unknown. A fallback does not inherit the model's."""
        return route.price or (self.price if route.equivalence is None else None)

    @model_validator(mode="after")
    def _limits_what_it_takes(self) -> "Model":
        for key, names in (("limits", self.limits), ("requires", self.requires)):
            if unknown := [name for name in names if not self.takes(name)]:
                raise ValueError(f"{key} has parameters that the first route does not take: {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _fallbacks_say_how_near_they_come(self) -> "Model":
        if self.first_route.equivalence is not None:
            raise ValueError("the first route defines the model and must not have equivalence")
        if unrated := [route.endpoint for route in self.routes[1:] if route.equivalence is None]:
            raise ValueError(f"a route after the first needs equivalence, exact or close: {', '.join(unrated)}")
        return self
