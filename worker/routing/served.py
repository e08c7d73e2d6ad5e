"""What the current catalogue says about a job: its model, the route of its last attempt, and that route's pieces.

Made once for each step; every part is computed when it is first needed. A deploy can change the catalogue; a job that
was submitted before continues on its route.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from config.catalogue import Catalogue, Model, Route, UnknownModelError, unknown_route
from worker.jobs.job import Attempt, Job, Piece
from worker.routing.plan import Plan, plan

DEADLINE_MIN_S = 7200.0  # a job without its own deadline may take two hours,
DEADLINE_USUALS = 60.0  # or this many times its model's usual duration, if that is longer


@dataclass(frozen=True)
class Served:
    """A job with its catalogue. `route`, `plan` and `pieces` need an attempt."""

    catalogue: Catalogue
    job: Job

    @cached_property
    def model(self) -> Model:
        """The job's model. If it has left the catalogue, the attempt's endpoint is passed through."""
        try:
            return self.catalogue.find_for(self.job.task, self.job.step.model)
        except UnknownModelError:
            if self.job.attempt is None:
                raise
            return self.catalogue.find(self.job.attempt.endpoint)

    @cached_property
    def route(self) -> Route:
        """The route of the last attempt."""
        return route_of(self.model, self.job.attempts[-1])

    @cached_property
    def plan(self) -> Plan:
        """What happened to the request on that route."""
        return plan(self.model, self.route, self.job.step)

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces that the route promises: by ratio if it draws by ratio.

        They have no size on a route that has sizes of its own, or is passed through.
        """
        pieces = self.job.step.pieces
        if self.route.own_size:
            return tuple(replace(piece, width=None, height=None, ratio=None) for piece in pieces)
        if self.model.passthrough:
            return tuple(replace(piece, width=None, height=None) for piece in pieces)
        return tuple(_by_ratio(piece) for piece in pieces) if self.route.shape else pieces

    @cached_property
    def deadline_s(self) -> float:
        """Seconds from acceptance to the job's deadline."""
        return self.job.options.deadline_s or usual_deadline_s(self.model.usual_s)


def usual_deadline_s(usual_s: float) -> float:
    """The deadline of a job without its own whose calls usually take so many seconds together."""
    return max(DEADLINE_MIN_S, DEADLINE_USUALS * usual_s)


def route_of(model: Model, attempt: Attempt) -> Route:
    """The attempt's route. If it has left the catalogue, its endpoint is passed through."""
    for route in model.routes:
        if (route.provider, route.endpoint) == (attempt.provider, attempt.endpoint):
            return route
    return unknown_route(attempt.provider, attempt.endpoint)


def _by_ratio(piece: Piece) -> Piece:
    if not piece.width or not piece.height:
        return piece
    return replace(piece, width=None, height=None, ratio=piece.width / piece.height)
