"""Writes the text of a Gemini model: a caption, or JSON of the requested schema."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.alias_generators import to_camel

from twin.caption import estimate_tokens, truncate_to_tokens
from twin.google.checked_request import CheckedRequest
from twin.google.errors import invalid
from twin.google.models import Kind
from twin.google.usage import DEFAULT_THOUGHTS
from twin.schema_filler import BadSchema, fill_schema, make_invalid

NAMED = frozenset({"properties", "$defs", "defs"})
LITERAL = frozenset({"enum", "required", "default", "example", "const"})


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """A text, its finish reason, and the number of thought tokens before it."""

    text: str
    finish_reason: str
    thoughts: int


def check_schema(checked: CheckedRequest) -> None:
    """Raise Refused if no value can be made for the requested schema."""
    try:
        _full_text(checked, is_bad=False)
    except BadSchema as bad:
        raise invalid(f"The specified schema is not valid: {bad}") from bad


def write_text(checked: CheckedRequest, *, is_cut: bool = False, is_bad: bool = False) -> TextAnswer:
    """Return the answer; thoughts count against `maxOutputTokens`, as at Google."""
    text = _full_text(checked, is_bad)
    limit = checked.body.generation_config.max_output_tokens
    thoughts = DEFAULT_THOUGHTS[Kind.TEXT] if checked.model.kind is Kind.TEXT else 0
    room = estimate_tokens(text) if limit is None else limit - thoughts
    if is_cut:
        room = min(room, estimate_tokens(text) // 2)
    if room < estimate_tokens(text):
        return TextAnswer(
            truncate_to_tokens(text, room), "MAX_TOKENS", thoughts if limit is None else min(limit, thoughts)
        )
    return TextAnswer(text, "STOP", thoughts)


def _full_text(checked: CheckedRequest, is_bad: bool) -> str:
    config = checked.body.generation_config
    if config.response_mime_type != "application/json":
        return checked.facts.caption
    schema = config.response_json_schema or to_json_schema(config.response_schema or {})
    value = fill_schema(schema, checked.facts) if schema else {"caption": checked.facts.caption}
    return json.dumps(make_invalid(value) if is_bad else value, ensure_ascii=False)


def to_json_schema(schema: Any) -> Any:
    """Return a schema with the keywords of JSON Schema; callers also write them in snake case (`any_of`)."""
    if isinstance(schema, list):
        return [to_json_schema(entry) for entry in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {to_camel(key): _inside(key, part) for key, part in schema.items()}


def _inside(key: str, part: Any) -> Any:
    if key in NAMED and isinstance(part, Mapping):
        return {name: to_json_schema(entry) for name, entry in part.items()}
    return part if key in LITERAL else to_json_schema(part)
