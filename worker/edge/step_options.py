"""What the options of a pipeline mean for its steps: which providers each may use, and how long they may take."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from config.catalogue import Catalogue, UnknownModelError
from worker.edge.models import find_model
from worker.jobs.job import Options
from worker.jobs.request import BaseRequest, JobOptions, TaskRequest
from worker.routing.routes import routes_to
from worker.routing.served import DEADLINE_MIN_S, usual_deadline_s

DEADLINE_MOST_S = 7 * 86_400.0  # as a caller may ask for


def with_deadline(options: JobOptions, usual_s: float) -> Options:
    """The options of a pipeline whose calls usually take so many seconds, one after another, with its deadline.

    Each call has a deadline of its own. That of the pipeline must not end a call before it.
    """
    found, deadline_s = options.values(), min(DEADLINE_MOST_S, usual_deadline_s(usual_s))
    return replace(found, deadline_s=deadline_s) if found.deadline_s is None and deadline_s > DEADLINE_MIN_S else found


def providers_for(catalogue: Catalogue, task: str, request: TaskRequest, options: Options) -> Mapping[str, Any]:
    """A pipeline's `provider` or `providers` for a step: those to which the step's model has a route."""
    named = list(options.providers or filter(None, [options.provider]))
    if named and isinstance(request, BaseRequest):
        try:
            model = find_model(catalogue, task, request.model)
        except UnknownModelError:
            return {}  # the step's task refuses it
        named = [name for name in named if routes_to(model, name)]
    if not named:
        return {}
    return {"providers": named} if options.providers else {"provider": named[0]}
