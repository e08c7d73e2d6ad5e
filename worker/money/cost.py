"""A job under way as the catalogue has it now: its model and route, what they promise, how long, for how much.

Pure. A catalogue changes with a deploy; a job that was submitted before goes on where it is.
"""

import math
from dataclasses import replace

from config.catalogue import Catalogue, Model, Price, Route, UnknownModelError
from config.mapping import arguments_for
from config.shape import dimensions
from worker.errors import SubmitUnknownError
from worker.jobs.job import Attempt, Cost, Job, Piece, Step
from worker.providers.base import Reply, RunFailure

DEADLINE_MIN_S = 7200.0  # a job without a deadline of its own may take two hours,
DEADLINE_USUALS = 60.0  # or so many times what its model usually takes, if that is more


def model_of(catalogue: Catalogue, job: Job) -> Model:
    """The job's model; one that has left the catalogue is passed through to the endpoint that has the job."""
    try:
        return catalogue.find(job.step.model)
    except UnknownModelError:
        if job.attempt is None:
            raise
        return catalogue.find(job.attempt.endpoint)


def route_of(model: Model, attempt: Attempt) -> Route:
    """The attempt's route; one that has left the catalogue is passed through."""
    for route in model.routes:
        if (route.provider, route.endpoint) == (attempt.provider, attempt.endpoint):
            return route
    return Route(provider=attempt.provider, endpoint=attempt.endpoint, takes=("*",))


def promised_pieces(catalogue: Catalogue, job: Job) -> tuple[Piece, ...]:
    """The pieces as this route can promise them: some draw by ratio, and of a passed-through endpoint nobody knows."""
    model = model_of(catalogue, job)
    if model.passthrough:
        return tuple(replace(piece, width=None, height=None) for piece in job.step.pieces)
    if not route_of(model, job.attempts[-1]).shape:
        return job.step.pieces
    return tuple(_by_ratio(piece) for piece in job.step.pieces)


def _by_ratio(piece: Piece) -> Piece:
    if not piece.width or not piece.height:
        return piece
    return replace(piece, width=None, height=None, ratio=piece.width / piece.height)


def deadline_s(catalogue: Catalogue, job: Job) -> float:
    """Seconds from acceptance within which the job has to end."""
    return job.options.deadline_s or max(DEADLINE_MIN_S, DEADLINE_USUALS * model_of(catalogue, job).usual_s)


def cost_of(model: Model, job: Job, outcome: Reply | RunFailure) -> Cost | None:
    """Billed units, or tokens, times the price of the route; nothing is made up where either is unknown."""
    route = route_of(model, job.attempts[-1])
    price = model.price_on(route)
    if outcome.tokens:
        read, wrote = outcome.tokens.read, outcome.tokens.wrote
        usd = price.usd_of_tokens(read, wrote) if price else None
        return Cost(usd, read + wrote, "token", estimated=usd is None)
    if outcome.billed_units is None:
        return None
    if price is None or price.per == "token":
        return Cost(None, outcome.billed_units, None, estimated=True)
    lost = _lost(outcome)
    units = outcome.billed_units + lost
    usd = round(units * _unit_usd(price, route, job.step), 6)
    return Cost(usd, units, price.per, estimated=bool(job.step.extra or lost))


def _lost(outcome: Reply | RunFailure) -> int:
    """Of several pictures those whose answer was lost: they may be billed like those that came."""
    missing = outcome.missing if isinstance(outcome, Reply) else ()
    return sum(isinstance(error, SubmitUnknownError) for error in missing)


def estimated_cost(model: Model, job: Job) -> Cost | None:
    """What the run should have cost, where the provider cannot be asked; None where the catalogue leaves it open."""
    route = route_of(model, job.attempts[-1])
    price, usd = model.price_on(route), estimate_usd(model, job.step, route)
    return Cost(usd, _units(price, job.step), price.per, estimated=True) if price and usd is not None else None


def estimate_usd(model: Model, step: Step, route: Route | None = None) -> float | None:
    """What a step would cost, from its arguments and the catalogue's price; None where either leaves it open."""
    route = route or model.own
    price = model.price_on(route)
    units = _units(price, step) if price else None
    return round(units * _unit_usd(price, route, step), 6) if price and units is not None else None


def _unit_usd(price: Price, route: Route, step: Step) -> float:
    return price.usd_for(arguments_for(route, step.arguments, step.extra).get("resolution"))


def _units(price: Price | None, step: Step) -> float | None:
    """Units as the price counts them. A picture is billed by whole megapixels; one of no given size counts as one."""
    given = step.arguments
    images = int(given.get("num_images") or 1)
    match price.per if price else None:
        case "megapixel":
            size = given.get("image_size")
            return images * math.ceil(math.prod(dimensions(size)) / 1_000_000) if size else images
        case "image":
            return images
        case "second":
            return given.get("duration_s")
        case "step":
            return given.get("steps")
        case "request":
            return 1
    return None
