"""Virtual try-on by Vertex AI: from the pictures of a person and a garment, pictures of the person's size."""

from typing import Literal

from google.genai import types
from google.genai.client import AsyncClient
from pydantic import Field

from worker.errors import BrokenPieceError, ContentRefusedError, ExternalServiceError, RequestRefusedError
from worker.files.media import Media
from worker.providers.base import Call, Reply, RunFailure
from worker.providers.google.content import Arguments, read_arguments
from worker.providers.google.errors import one_line
from worker.providers.google.large_files import LargeFiles
from worker.providers.google.safety import Safety
from worker.providers.google.sdk import GoogleSdk


class TryOnArguments(Arguments):
    """Arguments of a try-on."""

    num_images: int = Field(1, ge=1, le=4)
    seed: int | None = Field(None, ge=0, lt=2**32)
    base_steps: int | None = Field(None, ge=1)
    output_format: Literal["png", "jpeg"] | None = None


async def try_on(sdk: GoogleSdk, call: Call, safety: Safety, region: str | None) -> Reply | RunFailure:
    """One POST for all pictures. `call.files` are the person and the garment."""
    asked = read_arguments(sdk.name, TryOnArguments, call.arguments)
    if len(call.files) != 2:
        text = f"{sdk.name}: {call.endpoint} takes two files, the person and the garment; there are {len(call.files)}"
        raise RequestRefusedError(text, provider=sdk.name, kind="arguments")

    async def use(client: AsyncClient, large: LargeFiles) -> Reply | RunFailure:
        person, garment = (image_of(file, large) for file in call.files)
        worn = types.ProductImage(product_image=garment)
        response = await client.models.recontext_image(
            model=call.endpoint,
            source=types.RecontextImageSource(person_image=person, product_images=[worn]),
            config=_config(asked, safety),
        )
        return _read(sdk.name, response, asked.num_images, large)

    return await sdk.call(use, region, has_files=True)


def image_of(file: Media, large: LargeFiles) -> types.Image:
    """A file in the form that predict takes."""
    return types.Image(image_bytes=large.placeholder_for(file.data), mime_type=file.content_type)


def _config(asked: TryOnArguments, safety: Safety) -> types.RecontextImageConfig:
    return types.RecontextImageConfig(
        number_of_images=asked.num_images,
        seed=asked.seed,
        add_watermark=None if asked.seed is None else False,  # Google refuses a seed together with a watermark
        base_steps=asked.base_steps,
        safety_filter_level=safety.filter_level,
        person_generation=safety.people,
        output_mime_type=f"image/{asked.output_format}" if asked.output_format else None,
    )


def _read(provider: str, response: types.RecontextImageResponse, wanted: int, large: LargeFiles) -> Reply | RunFailure:
    if response.generated_images is None:
        raise ValueError("an answer without predictions")
    made = response.generated_images
    files = tuple(large.original(item.image.image_bytes) for item in made if item.image and item.image.image_bytes)
    reasons = [item.rai_filtered_reason for item in made if item.rai_filtered_reason]
    missing_count = max(0, wanted - len(files))
    missing = tuple(_missing(provider, reason) for reason in [*reasons, *[None] * missing_count][:missing_count])
    if not files:
        return RunFailure(missing[0], is_free=True)  # only pictures are billed
    return Reply({"images": len(files)}, billed_units=float(len(files)), files=files, missing=missing)


def _missing(provider: str, reason: str | None) -> ExternalServiceError:
    if reason is None:
        return BrokenPieceError(f"{provider}: no picture came", provider=provider, status=200, kind="no_image")
    text = f"{provider}: {one_line(reason)}"
    return ContentRefusedError(text, provider=provider, status=200, kind="rai_filtered")
