"""The words of a Gemini model: a caption, or JSON of the schema that was asked for."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.alias_generators import to_camel

from twin.caption import cut_to, tokens_of
from twin.fill import BadSchema, fill, spoil
from twin.google.asked import Asked
from twin.google.errors import invalid
from twin.google.models import Kind
from twin.google.usage import USUAL_THOUGHTS

NAMED = frozenset({"properties", "$defs", "defs"})
LITERAL = frozenset({"enum", "required", "default", "example", "const"})


@dataclass(frozen=True, slots=True)
class Words:
    """What is said, why it ends there, and how many tokens were thought before."""

    text: str
    finish_reason: str
    thoughts: int


def check_schema(asked: Asked) -> None:
    """Raise Refused when the schema that was asked for cannot be filled."""
    try:
        _whole(asked, is_bad=False)
    except BadSchema as bad:
        raise invalid(f"The specified schema is not valid: {bad}") from bad


def write_words(asked: Asked, *, is_cut: bool = False, is_bad: bool = False) -> Words:
    """Return the answer; thoughts count against `maxOutputTokens`, as they do at Google."""
    text = _whole(asked, is_bad)
    limit = asked.body.generation_config.max_output_tokens
    thoughts = USUAL_THOUGHTS[Kind.TEXT] if asked.model.kind is Kind.TEXT else 0
    room = tokens_of(text) if limit is None else limit - thoughts
    if is_cut:
        room = min(room, tokens_of(text) // 2)
    if room < tokens_of(text):
        return Words(cut_to(text, room), "MAX_TOKENS", thoughts if limit is None else min(limit, thoughts))
    return Words(text, "STOP", thoughts)


def _whole(asked: Asked, is_bad: bool) -> str:
    config = asked.body.generation_config
    if config.response_mime_type != "application/json":
        return asked.facts.caption
    schema = config.response_json_schema or plain(config.response_schema or {})
    value = fill(schema, asked.facts) if schema else {"caption": asked.facts.caption}
    return json.dumps(spoil(value) if is_bad else value, ensure_ascii=False)


def plain(schema: Any) -> Any:
    """Return a schema with the keywords of JSON Schema, whichever way the caller spelled them (`any_of`)."""
    if isinstance(schema, list):
        return [plain(entry) for entry in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {to_camel(key): _inside(key, part) for key, part in schema.items()}


def _inside(key: str, part: Any) -> Any:
    if key in NAMED and isinstance(part, Mapping):
        return {name: plain(entry) for name, entry in part.items()}
    return part if key in LITERAL else plain(part)
