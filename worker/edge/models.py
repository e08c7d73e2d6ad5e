"""Finds the model that a request names, if its task and the settings allow it."""

from functools import cache

from config.catalogue import PIPELINE, RAW, Catalogue, UnknownModelError
from config.model import Model
from config.settings import RequestSettings


def find_model(catalogue: Catalogue, task: str, name: str) -> Model:
    """The model. Raises `UnknownModelError`, whose text is for the caller."""
    if name.strip().startswith(PIPELINE):
        raise UnknownModelError(
            f"{name.strip()[:100]} is no model of a request: it is how kilnhand calls a task of steps"
        )
    if member := catalogue.member(task, name):
        return member
    model = catalogue.find_for(task, name)
    if not model.serves(task):
        names = ", ".join(other.name for other in catalogue.for_task(task))
        raise UnknownModelError(f"{model.name} serves {', '.join(model.task)}; models of this task: {names}")
    if model.passthrough and not _settings().may_pass(model.name):
        if task in RAW:
            raise UnknownModelError(
                f"{task} sends arguments to {model.name} unchecked, and KILNHAND_PASSTHROUGH does not allow it"
            )
        raise UnknownModelError(f"{model.name} is not in the catalogue, and KILNHAND_PASSTHROUGH does not allow it")
    return model


@cache
def _settings() -> RequestSettings:
    return RequestSettings()
