"""Pictures by Gemini's image models: from a prompt, from reference pictures, or edited.

A POST returns one picture, so several pictures are several POSTs, each billed. They run concurrently, as far as memory
allows. If some fail, the other pictures are kept.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from google.genai import types
from google.genai.client import AsyncClient
from pydantic import Field

from worker.errors import ExternalServiceError, SubmitUnknownError
from worker.providers.base import Call, Reply, RunFailure, Tokens
from worker.providers.google.content import (
    Arguments,
    check_answer,
    parts_of,
    pictures_of,
    read_arguments,
    refusal_of,
    text_of,
    tokens_of,
)
from worker.providers.google.large_files import LargeFiles
from worker.providers.google.memory import picture_bytes
from worker.providers.google.safety import Safety
from worker.providers.google.sdk import GoogleSdk

SEEDS = 2**31  # Google's seed is an int32; larger ones are taken modulo this


class PictureArguments(Arguments):
    """Arguments of a call for pictures."""

    prompt: str = Field(min_length=1)
    aspect_ratio: str | None = None
    resolution: Literal["512", "1K", "2K", "4K"] | None = None
    seed: int | None = Field(None, ge=0)
    output_format: Literal["png", "jpeg"] | None = None
    num_images: int = Field(1, ge=1, le=16)


@dataclass(frozen=True)
class Picture:
    """An answer with a picture."""

    data: bytes
    text: str
    version: str | None
    tokens: Tokens | None


Outcome = Picture | RunFailure | ExternalServiceError


async def make_pictures(sdk: GoogleSdk, call: Call, safety: Safety, *, is_vertex: bool) -> Reply | RunFailure:
    """One POST for each picture; returns those that came. Raises when no POST is known to have been executed."""
    asked = read_arguments(sdk.name, PictureArguments, call.arguments)
    one_bytes = picture_bytes(asked.resolution, sum(len(file.data) for file in call.files))
    turns = asyncio.Semaphore(max(1, sdk.memory.total_bytes // one_bytes))

    async def one(number: int) -> Outcome:
        async def use(client: AsyncClient, large: LargeFiles) -> Picture | RunFailure:
            config = _config(asked, number, safety, is_vertex)
            contents = types.Content(role="user", parts=parts_of(call.files, asked.prompt, large))
            response = await client.models.generate_content(model=call.endpoint, contents=contents, config=config)
            return _read(sdk.name, response, large)

        try:
            async with turns:
                return await sdk.call(use, has_files=True)
        except ExternalServiceError as error:
            return error

    return _combine(await asyncio.gather(*(one(number) for number in range(asked.num_images))))


def _config(asked: PictureArguments, number: int, safety: Safety, is_vertex: bool) -> types.GenerateContentConfig:
    image = types.ImageConfig(aspect_ratio=asked.aspect_ratio, image_size=asked.resolution)
    if is_vertex:  # the Gemini API has neither
        image.person_generation = safety.people.value if safety.people else None
        image.output_mime_type = f"image/{asked.output_format}" if asked.output_format else None
    return types.GenerateContentConfig(
        response_modalities=["TEXT", "IMAGE"],  # a text explains a missing picture
        seed=None if asked.seed is None else (asked.seed + number) % SEEDS,
        safety_settings=list(safety.settings) if safety.settings else None,
        image_config=image if image.model_dump(exclude_none=True) else None,
        automatic_continuation=False,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )


def _read(provider: str, response: types.GenerateContentResponse, large: LargeFiles) -> Picture | RunFailure:
    """The last picture of the answer; earlier ones are drafts."""
    check_answer(response)
    found = pictures_of(response, large)
    if not found:
        return RunFailure(refusal_of(provider, response, missing="no_image"), tokens=tokens_of(response))
    return Picture(found[-1], text_of(response), response.model_version, tokens_of(response))


def _combine(outcomes: Sequence[Outcome]) -> Reply | RunFailure:
    pictures = [outcome for outcome in outcomes if isinstance(outcome, Picture)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, RunFailure)]
    raised = [outcome for outcome in outcomes if isinstance(outcome, ExternalServiceError)]
    if not pictures:
        if unknown := next((error for error in raised if isinstance(error, SubmitUnknownError)), None):
            raise unknown
        if failures:
            return replace(failures[0], tokens=_all_tokens(failures))
        raise raised[0]
    missing = [
        item.error if isinstance(item, RunFailure) else item for item in outcomes if not isinstance(item, Picture)
    ]
    text = "\n".join(dict.fromkeys(picture.text for picture in pictures if picture.text))
    return Reply(
        {"text": text, "images": len(pictures)},
        billed_units=float(len(pictures)),
        files=tuple(picture.data for picture in pictures),
        missing=tuple(missing),
        tokens=_all_tokens([*pictures, *failures]),
        version=pictures[0].version,
    )


def _all_tokens(answers: Sequence[Picture | RunFailure]) -> Tokens | None:
    """The tokens of all answers together; None if one does not say them: its part of the bill is unknown."""
    counts = [answer.tokens for answer in answers if answer.tokens]
    return sum(counts[1:], counts[0]) if counts and len(counts) == len(answers) else None
