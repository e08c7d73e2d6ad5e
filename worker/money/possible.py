"""What an attempt may cost before its bill is known: from nothing to the most that its route could bill. Pure.

An attempt is booked with this when it begins, and a lost one keeps it. The upper bound limits what a job with `max_usd`
may begin, so every count in it is an upper limit; `usd` is the likely sum. Files are counted by their references,
because after a crash their bytes are not available. `worker.money.cost` computes costs from answers.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from config.catalogue import Model, Price, Route
from config.shape import PRESETS, dimensions
from worker.jobs.cost import UNKNOWN_COST, Cost
from worker.jobs.job import Step
from worker.providers.base import Tokens
from worker.routing.routes import call_files

FRAME_TOKENS = 1000  # assumed: what a vendor adds to a prompt, such as roles, picture numbers, instructions for JSON
PICTURE_TOKENS = 4784  # per picture if the catalogue has no number: the largest published number in the catalogue
LEAST_WRITTEN = 1024  # our Google providers request at least this many
MOST_WRITTEN = 65_536  # without a limit in the request; Gemini's own limit (ai.google.dev/gemini-api/docs/models)
# Beside one picture, a picture model writes thoughts and a text. No limit is sent, since a picture that is cut short is
# paid for and lost. These are assumed: the most is eight times what was seen (240 tokens of thoughts, some of text).
MOST_BESIDE_PICTURE, LIKELY_BESIDE_PICTURE = 2048, 300
PICTURE_FRAME_TOKENS = 100  # assumed: as FRAME_TOKENS, for a prompt that is sent alone
BYTES_PER_TOKEN, LIKELY_WRITTEN = 4, 500  # assumed, for the likely sum

# Parameters of endpoints, set through `extra`, that change neither the number of units nor their price. Any other
# parameter may change the price, so the price is unknown until the bill. Those that are counted are in `_units`.
FREE_EXTRA = frozenset(
    {
        "acceleration", "aspect_ratio", "colors", "duration", "enable_safety_checker", "enhance_prompt",
        "guidance_scale", "image_prompt_strength", "image_size", "metadata", "negative_prompt", "num_images",
        "num_inference_steps", "output_format", "raw", "resolution", "safety_tolerance", "seed", "stop_sequences",
        "temperature", "top_k", "top_p",
    }
)  # fmt: skip


def possible_cost(model: Model, route: Route, step: Step, sent: Mapping[str, Any]) -> Cost:
    """The cost of one attempt of a step on a route. `sent` are its arguments, by the endpoint's names."""
    price = model.price_on(route)
    if price is None:
        return UNKNOWN_COST
    files = len(call_files(route, step).in_call)
    if price.per == "token":
        return _of_text(price, sent, files)
    units = units_of(price, route, sent)
    most_units = _most_seconds(route) if units is None and price.per == "second" else units
    if most_units is None:
        return UNKNOWN_COST
    of_one = price.usd_for(sent.get("resolution"))
    likely, most = (units or most_units) * of_one, most_units * of_one
    if price.tokens:
        likely += (units or 0) * _beside_picture(price, sent, files, BYTES_PER_TOKEN, LIKELY_BESIDE_PICTURE)
        most += most_units * _beside_picture(price, sent, files, 1, MOST_BESIDE_PICTURE)
    is_bounded = _is_price_known(price, route, step)
    return Cost(_rounded(likely), most_units, price.per, True, 0.0, _rounded(most) if is_bounded else None)


def most_tokens(price: Price, sent: Mapping[str, Any], *, pictures: int) -> Tokens:
    """The most tokens of a call with these arguments: one token for each byte, because no token is shorter."""
    read = len(to_json(sent)) + FRAME_TOKENS + pictures * (price.picture_tokens or PICTURE_TOKENS)
    limit = sent.get("max_tokens")
    return Tokens(read, max(limit, LEAST_WRITTEN) if isinstance(limit, int) else MOST_WRITTEN)


def units_of(price: Price, route: Route, sent: Mapping[str, Any]) -> float | None:
    """Units as the price counts them, or None if the arguments do not say it.

    A picture is billed by whole megapixels. Without a size it counts as one: the default of every endpoint in the
    catalogue with this price is 1024x768.
    """
    images = int(_number(sent.get("num_images")) or 1)
    match price.per:
        case "megapixel" if price.by_file:
            return None
        case "megapixel":
            size = sent.get("image_size")
            return images * math.ceil(math.prod(dimensions(size)) / 1_000_000) if size else images
        case "image":
            return images * max(price.units_at.get(str(sent.get("resolution")), 1), _units_of_large(price, sent))
        case "second":
            return _number(sent.get(_name_of(route, "duration_s")))
        case "step":
            return _number(sent.get(_name_of(route, "steps")))
        case "request":
            return 1
    return None


def _units_of_large(price: Price, sent: Mapping[str, Any]) -> float:
    """The units of one picture by its size; 0 if the price does not depend on it."""
    if not price.large:
        return 0
    size = sent.get("image_size")
    if not (isinstance(size, Mapping) or (isinstance(size, str) and size in PRESETS)):
        return price.large.units  # the endpoint's default, or a word of its own
    width, height = dimensions(size)
    return price.large.units if width * height > price.large.over else 0


def is_unit_price_known(price: Price, route: Route, step: Step) -> bool:
    """Whether the catalogue has the price of a unit for what is sent.

    `extra` may replace a constant that the price is for, such as "no sound", or set a resolution without a price.
    """
    if route.equivalence is not None:  # a fallback gets no `extra`
        return True
    if any(name in step.extra and step.extra[name] != value for name, value in route.sends.items()):
        return False
    return not price.usd_at or "resolution" not in step.extra or step.extra["resolution"] in price.usd_at


def _of_text(price: Price, sent: Mapping[str, Any], pictures: int) -> Cost:
    most = most_tokens(price, sent, pictures=pictures)
    read = len(to_json(sent)) // BYTES_PER_TOKEN + pictures * (price.picture_tokens or PICTURE_TOKENS)
    likely = price.usd_of_tokens(read, min(most.wrote, LIKELY_WRITTEN))
    return Cost(likely, most.read + most.wrote, "token", True, 0.0, price.usd_of_tokens(most.read, most.wrote))


def _beside_picture(price: Price, sent: Mapping[str, Any], pictures: int, bytes_per_token: int, wrote: int) -> float:
    """US dollars for what is read and written with one picture."""
    words = len(str(sent.get("prompt") or "").encode()) // bytes_per_token + PICTURE_FRAME_TOKENS
    return price.usd_of_tokens(words + pictures * (price.picture_tokens or PICTURE_TOKENS), wrote) or 0.0


def _is_price_known(price: Price, route: Route, step: Step) -> bool:
    """Whether nothing in `extra` can change the price beyond what is counted. A fallback gets no `extra`."""
    if route.equivalence is not None:
        return True
    if price.units_at and "resolution" in step.extra and step.extra["resolution"] not in price.units_at:
        return False
    return step.extra.keys() <= FREE_EXTRA and is_unit_price_known(price, route, step)


def _most_seconds(route: Route) -> float | None:
    """The longest duration that the route can make."""
    limit = route.limits.get("duration_s")
    return max((each for each in limit.one_of or () if not isinstance(each, str)), default=None) if limit else None


def _name_of(route: Route, parameter: str) -> str:
    """What the endpoint calls our parameter."""
    spelling = route.write.get(parameter)
    return (spelling and spelling.to) or parameter


def _number(value: Any) -> float | None:
    """A number, also one that is written as `8s`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?)s?", str(value))
    return float(found[1]) if found else None


def _rounded(usd: float) -> float:
    return round(usd, 9)
