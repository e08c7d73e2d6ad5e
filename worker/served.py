"""A job under way as the catalogue has it now: its model and route, what they promise, how long, for how much.

Pure. A catalogue changes with a deploy; a job that was submitted before goes on where it is.
"""

import math
from dataclasses import replace

from config.catalogue import Catalogue, Model, Route, UnknownModelError
from config.shape import dimensions
from worker.job import Attempt, Cost, Job, Piece, Step

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


def promised(catalogue: Catalogue, job: Job) -> tuple[Piece, ...]:
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


def cost_of(model: Model, job: Job, units: float | None) -> Cost | None:
    """Billed units times the catalogue's price; nothing is made up where either is unknown."""
    if units is None:
        return None
    if model.price is None:
        return Cost(None, units, None, estimated=True)
    return Cost(round(units * model.price.usd, 6), units, model.price.per, estimated=bool(job.step.extra))


def estimated_cost(model: Model, job: Job) -> Cost | None:
    """What the run should have cost, where the provider cannot be asked; None where the catalogue leaves it open."""
    units, usd = _units(model, job.step), estimate_usd(model, job.step)
    return Cost(usd, units, model.price.per, estimated=True) if model.price and usd is not None else None


def estimate_usd(model: Model, step: Step) -> float | None:
    """What a step would cost, from its arguments and the catalogue's price; None where either leaves it open."""
    units = _units(model, step) if model.price else None
    return round(units * model.price.usd, 6) if model.price and units is not None else None


def _units(model: Model, step: Step) -> float | None:
    """Units as the price counts them. A picture is billed by whole megapixels; one of no given size counts as one."""
    given = step.arguments
    images = int(given.get("num_images") or 1)
    match model.price.per if model.price else None:
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
