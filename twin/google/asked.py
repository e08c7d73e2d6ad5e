"""One generateContent call, checked against its model: what is to be made, from which pictures and words."""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from twin.caption import Facts, facts_of
from twin.desk import Desk
from twin.google.address import Service, Target
from twin.google.errors import invalid
from twin.google.media import look_at_blob, look_at_file
from twin.google.models import GoogleModel, Kind, nearest_ratio
from twin.google.request import Content, GenerateRequest, ImageConfig, Part
from twin.sight import Seen

MAX_PICTURES = 14
ROLES = ("user", "model")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that passed every check."""

    target: Target
    model: GoogleModel
    body: GenerateRequest
    facts: Facts
    fingerprint: str
    """A digest of what was shown and said, without the seed."""

    @property
    def modalities(self) -> Sequence[str]:
        """What the answer may consist of; an image model gives both unless told otherwise."""
        usual = ("TEXT", "IMAGE") if self.model.kind is Kind.IMAGE else ("TEXT",)
        return self.body.generation_config.response_modalities or usual

    @property
    def ratio(self) -> str:
        """The picture's ratio: as asked, else that of the first input picture, else a square."""
        read = [picture for picture in self.facts.pictures if picture.width]
        usual = nearest_ratio((read[0].width, read[0].height), self.model.ratios) if read else "1:1"
        return self.body.generation_config.image_config.aspect_ratio or usual

    @property
    def size(self) -> str:
        """The picture's size, such as `2K`."""
        return self.body.generation_config.image_config.image_size or "1K"


async def read_asked(desk: Desk, target: Target, model: GoogleModel, body: GenerateRequest) -> Asked:
    """Check a body against its model and look at its pictures; raise Refused."""
    _check_contents(body.contents, target)
    _check_config(body, model, target)
    parts = [(f"contents[{i}].parts[{j}]", part) for i, c in enumerate(body.contents) for j, part in enumerate(c.parts)]
    shown = [(path, part) for path, part in parts if part.inline_data or part.file_data]
    if len(shown) > MAX_PICTURES:
        raise invalid(f"Too many images: {len(shown)}; at most {MAX_PICTURES} per prompt.")
    pictures = await asyncio.gather(*(_look(desk, part, path) for path, part in shown))
    texts = [part.text for _, part in parts if part.text]
    system = [part.text for part in body.system_instruction.parts if part.text] if body.system_instruction else []
    return Asked(target, model, body, facts_of(pictures, texts), _fingerprint(body, pictures, [*system, *texts]))


async def _look(desk: Desk, part: Part, path: str) -> Seen:
    if part.inline_data:
        return await look_at_blob(part.inline_data, path)
    if part.file_data:
        return await look_at_file(desk, part.file_data)
    raise ValueError(f"{path} shows nothing")


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


def _check_picture(asked: ImageConfig, model: GoogleModel) -> None:
    if asked.aspect_ratio is not None and asked.aspect_ratio not in model.ratios:
        raise invalid(f"Aspect ratio {asked.aspect_ratio} is not supported by {model.name}: {', '.join(model.ratios)}.")
    if asked.image_size is not None and asked.image_size not in model.sizes:
        raise invalid(f"Image size {asked.image_size} is not supported by {model.name}: {', '.join(model.sizes)}.")


def _check_for_gemini(body: GenerateRequest) -> None:
    """Refuse the fields that only Vertex AI has."""
    own = {"prominent_people", "image_output_options"} & body.generation_config.image_config.model_fields_set
    names = [*(f"generation_config.image_config.{name}" for name in own), *(["labels"] if body.labels else [])]
    if names:
        raise invalid(f'Invalid JSON payload received. Unknown name "{names[0]}": Cannot find field.')


def _fingerprint(body: GenerateRequest, pictures: Sequence[Seen], texts: Sequence[str]) -> str:
    config = body.generation_config.image_config.model_dump(mode="json")
    text = json.dumps([config, [picture.digest for picture in pictures], [*texts]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
