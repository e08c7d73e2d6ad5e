"""`None` for a field that has a default counts as not given, also inside nested values.

Python callers pass `seed=None` for "no wish". Without this, fields whose default is None would take it, and others,
such as `num_images`, would refuse it. A required field refuses `None`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel


def without_absent(model: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields without those that are `None` and have a default."""
    found = dict[str, Any]()
    for name, value in given.items():
        field = model.model_fields.get(name)
        if field is None:
            found[name] = value
        elif value is not None or field.is_required():
            found[name] = _nested(list(_models_in(field.annotation)), value)
    return found


def _nested(models: list[type[BaseModel]], value: Any) -> Any:
    if len(models) == 1 and isinstance(value, Mapping):
        return without_absent(models[0], value)
    if models and isinstance(value, list | tuple):
        return [_nested(models, each) for each in value]
    return value


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
