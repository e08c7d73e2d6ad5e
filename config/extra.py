"""Which parameters of `extra` may pass to a provider. Pure.

The caller of a task may hand on what its own user wrote, so `extra` must not change what we promise: another system
prompt, tools and servers that the model calls, thinking and service tiers that are billed apart. At fal the endpoint
decides: it has one model behind it, and its schema says what it takes. A provider that is not listed gets nothing.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from config.model import Model

ANY: Mapping[str, frozenset[str]] = {}  # every name
_GOOGLE = {
    name: frozenset[str]()
    for name in (
        "aspect_ratio",
        "base_steps",
        "duration_s",
        "generate_audio",
        "negative_prompt",
        "num_images",
        "output_format",
        "resolution",
        "seed",
    )
}
# By provider, each name with the names that an object under it may have; none: it is no object.
ALLOWED: Mapping[str, Mapping[str, frozenset[str]]] = {
    "fal": ANY,
    "fal-stream": ANY,
    "fal-direct": ANY,
    "vertex": _GOOGLE,
    "gemini": _GOOGLE,
    "local": {},
    "anthropic": {
        "metadata": frozenset({"user_id"}),
        "output_config": frozenset({"effort"}),
        "stop_sequences": frozenset(),
        "temperature": frozenset(),
        "top_k": frozenset(),
        "top_p": frozenset(),
    },
}
NEVER = frozenset({"sync_mode"})  # results would come inside the answer instead of as files


def extra_problems(provider: str, extra: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A pair of field and message for each parameter of `extra` that may not pass to the provider."""
    allowed = ALLOWED.get(provider)
    for name, value in extra.items():
        if allowed is None or name in NEVER:
            yield f"extra.{name}", f"may not be sent to {provider}"
        elif allowed is not ANY and name not in allowed:
            yield f"extra.{name}", f"may not be sent to {provider}; allowed: {', '.join(sorted(allowed))}"
        elif allowed is not ANY and isinstance(value, Mapping):
            yield from _nested_problems(f"extra.{name}", value, allowed[name])


def own_parameter_problems(model: Model, own: Iterable[str], extra: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A pair of field and message for each parameter of `extra` that the endpoint gets from the task's `own` ones.

    An endpoint that is not in the catalogue has none: we do not know what it takes, so `extra` wins there.
    """
    if model.passthrough:
        return
    spellings = {name: model.first_route.write.get(name) for name in own}
    ours = {((spelling and spelling.to) or name).partition(".")[0]: name for name, spelling in spellings.items()}
    ours |= {name: name for name in own}
    for name in (name for name in extra if name in ours):
        also = "" if ours[name] == name else f", {ours[name]}"
        yield f"extra.{name}", f"has a parameter of its own in this task{also}"


def _nested_problems(field: str, value: Mapping[str, Any], allowed: frozenset[str]) -> Iterator[tuple[str, str]]:
    if not allowed:
        yield field, "must not be an object"
    for name in value.keys() - allowed:
        if allowed:
            yield f"{field}.{name}", f"is not allowed; allowed: {', '.join(sorted(allowed))}"
