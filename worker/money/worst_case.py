"""The most that a call whose answer was lost may have cost: what its route could bill for the request.

Pure. An operator can correct a cost that is too high, but does not search for a missing one. So every count here is an
upper limit, and the cost is marked as an estimate. Files are counted by their references, because after a crash their
bytes are not available. `worker.money.cost` computes costs from answers.
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

FRAME_TOKENS = 1000  # assumed: what a vendor adds to a prompt, such as roles, picture numbers, instructions for JSON
PICTURE_TOKENS = 4784  # per picture if the catalogue has no number: the largest published number in the catalogue
LEAST_WRITTEN = 1024  # our Google providers request at least this many
MOST_WRITTEN = 65_536  # without a limit in the request; Gemini's own limit (ai.google.dev/gemini-api/docs/models)


def possible_cost(served: Served, sent: Mapping[str, Any]) -> Cost | None:
    """The most that may be billed for the last attempt; `sent` are its arguments. None if the route has no price."""
    route, step = served.route, served.job.step
    price = served.model.price_on(route)
    if price is None or price.per != "token":
        return estimated_cost(served.model, route, _longest(route, step))
    tokens = most_tokens(price, sent, pictures=len(call_files(route, step).in_call))
    usd = price.usd_of_tokens(tokens.read, tokens.wrote)
    return Cost(usd, tokens.read + tokens.wrote, "token", estimated=True)


def most_tokens(price: Price, sent: Mapping[str, Any], *, pictures: int) -> Tokens:
    """The most tokens of a call with these arguments: one token for each byte, because no token is shorter."""
    read = len(to_json(sent)) + FRAME_TOKENS + pictures * (price.picture_tokens or PICTURE_TOKENS)
    limit = sent.get("max_tokens")
    return Tokens(read, max(limit, LEAST_WRITTEN) if isinstance(limit, int) else MOST_WRITTEN)


def _longest(route: Route, step: Step) -> Step:
    """The step with the longest duration that its route can make, if the caller did not set one."""
    limit = route.limits.get("duration_s")
    lengths = [each for each in limit.one_of or () if not isinstance(each, str)] if limit else []
    return replace(step, arguments={"duration_s": max(lengths), **step.arguments}) if lengths else step
