"""What a call whose answer was lost may have cost: the most that its route could bill for what was sent.

Pure. Too much on a bill can be struck off, what is missing from it is not looked for; so nothing is counted low, and
all of it is marked as an estimate. Files are counted by their references: after a crash they are not in hand. What an
answer says that it cost is `worker.money.cost`'s.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic_core import to_json

from config.catalogue import Price, Route
from worker.jobs.job import Cost, Step
from worker.money.cost import estimated_cost
from worker.providers.base import Tokens
from worker.routing.routes import call_files
from worker.routing.served import Served

FRAME_TOKENS = 1000  # that a vendor puts around what it is told: roles, numbers of pictures, how to write JSON; assumed
PICTURE_TOKENS = 4784  # of a picture where the catalogue does not say: the largest of the published numbers there
LEAST_WRITTEN = 1024  # Google's providers ask for no less
MOST_WRITTEN = 65_536  # where nobody set a limit; Gemini's own (ai.google.dev/gemini-api/docs/models)


def possible_cost(served: Served, sent: Mapping[str, Any]) -> Cost | None:
    """The most that the last attempt may be billed for what was sent; None where its route has no price."""
    route, step = served.route, served.job.step
    price = served.model.price_on(route)
    if price is None or price.per != "token":
        return estimated_cost(served.model, route, _longest(route, step))
    tokens = most_tokens(price, sent, pictures=len(call_files(route, step).in_call))
    usd = price.usd_of_tokens(tokens.read, tokens.wrote)
    return Cost(usd, tokens.read + tokens.wrote, "token", estimated=True)


def most_tokens(price: Price, sent: Mapping[str, Any], *, pictures: int) -> Tokens:
    """The most tokens that a call with these arguments can be: no token is shorter than a byte of what was sent."""
    read = len(to_json(sent)) + FRAME_TOKENS + pictures * (price.picture_tokens or PICTURE_TOKENS)
    limit = sent.get("max_tokens")
    return Tokens(read, max(limit, LEAST_WRITTEN) if isinstance(limit, int) else MOST_WRITTEN)


def _longest(route: Route, step: Step) -> Step:
    """The step as long as its route makes it, where the caller left that open."""
    limit = route.limits.get("duration_s")
    lengths = [each for each in limit.one_of or () if not isinstance(each, str)] if limit else []
    return replace(step, arguments={"duration_s": max(lengths), **step.arguments}) if lengths else step
