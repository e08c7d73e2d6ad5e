"""Text and JSON by Gemini's language models, with or without pictures. The caller checks JSON against the schema."""

from typing import Any

from google.genai import types
from google.genai.client import AsyncClient
from pydantic import Field

from worker.errors import BrokenPieceError
from worker.net.answer_json import read_json
from worker.providers.base import Call, Reply, RunFailure
from worker.providers.google.content import (
    Arguments,
    check_answer,
    is_whole,
    parts_of,
    read_arguments,
    refusal_of,
    text_of,
    tokens_of,
)
from worker.providers.google.errors import one_line
from worker.providers.google.large_files import LargeFiles
from worker.providers.google.safety import Safety
from worker.providers.google.sdk import GoogleSdk

LEAST_TOKENS = 1024  # thinking tokens count; with a lower limit the answer may be empty


class TextArguments(Arguments):
    """Arguments of a call for text. `json_schema` is plain JSON Schema; its name in a call is `schema`."""

    prompt: str = Field(min_length=1)
    system: str | None = None
    json_schema: dict[str, Any] | None = Field(None, alias="schema")
    max_tokens: int | None = Field(None, ge=1)
    stream: bool = False  # its answers come whole all the same


async def generate_text(sdk: GoogleSdk, call: Call, safety: Safety) -> Reply | RunFailure:
    """One POST. The output has `text`, or parsed `json` if a schema was given."""
    asked = read_arguments(sdk.name, TextArguments, call.arguments)

    async def use(client: AsyncClient, large: LargeFiles) -> Reply | RunFailure:
        contents = types.Content(role="user", parts=parts_of(call.files, asked.prompt, large))
        config = _config(asked, safety)
        response = await client.models.generate_content(model=call.endpoint, contents=contents, config=config)
        return _read(sdk.name, response, is_json=asked.json_schema is not None)

    return await sdk.call(use)


def _config(asked: TextArguments, safety: Safety) -> types.GenerateContentConfig:
    return types.GenerateContentConfig(
        system_instruction=asked.system,
        max_output_tokens=None if asked.max_tokens is None else max(asked.max_tokens, LEAST_TOKENS),
        response_mime_type=None if asked.json_schema is None else "application/json",
        response_json_schema=asked.json_schema,
        safety_settings=list(safety.settings) if safety.settings else None,
        automatic_continuation=False,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )


def _read(provider: str, response: types.GenerateContentResponse, is_json: bool) -> Reply | RunFailure:
    check_answer(response)
    answer = text_of(response)
    if not answer or not is_whole(response):
        return RunFailure(refusal_of(provider, response, missing="no_text"), tokens=tokens_of(response))
    output: dict[str, Any] = {"text": answer}
    if is_json:
        try:
            output = {"json": read_json(answer)}
        except ValueError:
            text = f"{provider}: no JSON: {one_line(answer)}"
            broken = BrokenPieceError(text, provider=provider, status=200, kind="bad_json")
            return RunFailure(broken, tokens=tokens_of(response))
    return Reply(output, tokens=tokens_of(response), version=response.model_version)
