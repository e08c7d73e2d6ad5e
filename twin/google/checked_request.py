"""Checks a generateContent request against its model, and reads its pictures and texts."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from twin.call_service import CallService
from twin.caption import PromptFacts, collect_facts
from twin.google.address import Service, Target
from twin.google.errors import invalid
from twin.google.input_pictures import read_inline_picture, read_linked_picture
from twin.google.models import GoogleModel, Kind, nearest_ratio
from twin.google.request import Content, GenerateRequest, ImageConfig, Part
from twin.input_picture import InputPicture

MAX_PICTURES = 14
ROLES = ("user", "model")


@dataclass(frozen=True, slots=True)
class CheckedRequest:
    """A request that passed all checks."""

    target: Target
    model: GoogleModel
    body: GenerateRequest
    facts: PromptFacts
    fingerprint: str
    """A digest of pictures, texts and picture options, without the seed."""

    @property
    def modalities(self) -> Sequence[str]:
        """The modalities of the answer; the default of an image model is text and image."""
        default = ("TEXT", "IMAGE") if self.model.kind is Kind.IMAGE else ("TEXT",)
        return self.body.generation_config.response_modalities or default

    @property
    def ratio(self) -> str:
        """The ratio of the picture: as requested, else that of the first input picture, else 1:1."""
        read = [picture for picture in self.facts.pictures if picture.width]
        default = nearest_ratio((read[0].width, read[0].height), self.model.ratios) if read else "1:1"
        return self.body.generation_config.image_config.aspect_ratio or default

    @property
    def size(self) -> str:
        """The size of the picture, such as `2K`."""
        return self.body.generation_config.image_config.image_size or "1K"


async def check_generate_request(
    service: CallService, target: Target, model: GoogleModel, body: GenerateRequest
) -> CheckedRequest:
    """Check a body against its model and read its pictures; raise Refused."""
    _check_contents(body.contents, target)
    _check_config(body, model, target)
    parts = [(f"contents[{i}].parts[{j}]", part) for i, c in enumerate(body.contents) for j, part in enumerate(c.parts)]
    shown = [(path, part) for path, part in parts if part.inline_data or part.file_data]
    if len(shown) > MAX_PICTURES:
        raise invalid(f"Too many images: {len(shown)}; at most {MAX_PICTURES} per prompt.")
    pictures = await asyncio.gather(*(_read_picture(service, part, path) for path, part in shown))
    texts = [part.text for _, part in parts if part.text]
    system = [part.text for part in body.system_instruction.parts if part.text] if body.system_instruction else []
    return CheckedRequest(
        target, model, body, collect_facts(pictures, texts), _fingerprint(body, pictures, [*system, *texts])
    )


async def _read_picture(service: CallService, part: Part, path: str) -> InputPicture:
    if part.inline_data:
        return await read_inline_picture(part.inline_data, path)
    if part.file_data:
        return await read_linked_picture(service, part.file_data)
    raise ValueError(f"{path} has no picture")


def _check_contents(contents: Sequence[Content], target: Target) -> None:
    if not contents:
        raise invalid("Unable to submit request because at least one contents field is required.")
    for content in contents:
        if content.role not in ROLES and not (content.role is None and target.service is Service.GEMINI):
            raise invalid("Please use a valid role: user, model.")
        if not content.parts or any(not part.model_fields_set for part in content.parts):
            raise invalid("Unable to submit request because it must have a text parameter.")


def _check_config(body: GenerateRequest, model: GoogleModel, target: Target) -> None:
    config = body.generation_config
    if config.candidate_count not in (None, 1):
        raise invalid("Multiple candidates is not enabled for this model.")
    if "AUDIO" in (config.response_modalities or ()):
        raise invalid(f"The requested combination of response modalities is not supported by {model.name}.")
    if target.service is Service.GEMINI:
        _check_for_gemini(body)
    if model.kind is Kind.IMAGE:
        _check_picture(config.image_config, model)
    elif "IMAGE" in (config.response_modalities or ()) or config.image_config.model_fields_set:
        raise invalid(f"Image output is not supported by {model.name}.")
    has_schema = config.response_schema is not None or config.response_json_schema is not None
    if has_schema and config.response_mime_type != "application/json":
        raise invalid("A response schema needs the response mime type application/json.")


def _check_picture(checked: ImageConfig, model: GoogleModel) -> None:
    if checked.aspect_ratio is not None and checked.aspect_ratio not in model.ratios:
        raise invalid(
            f"Aspect ratio {checked.aspect_ratio} is not supported by {model.name}: {', '.join(model.ratios)}."
        )
    if checked.image_size is not None and checked.image_size not in model.sizes:
        raise invalid(f"Image size {checked.image_size} is not supported by {model.name}: {', '.join(model.sizes)}.")


def _check_for_gemini(body: GenerateRequest) -> None:
    """Refuse fields that only Vertex AI has."""
    own = {"prominent_people", "image_output_options"} & body.generation_config.image_config.model_fields_set
    names = [*(f"generation_config.image_config.{name}" for name in own), *(["labels"] if body.labels else [])]
    if names:
        raise invalid(f'Invalid JSON payload received. Unknown name "{names[0]}": Cannot find field.')


def _fingerprint(body: GenerateRequest, pictures: Sequence[InputPicture], texts: Sequence[str]) -> str:
    config = body.generation_config.image_config.model_dump(mode="json")
    text = json.dumps([config, [picture.digest for picture in pictures], [*texts]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
