"""Parses Google's requests: each field in camel case or snake case, with Google's messages for invalid ones."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel, to_snake

from twin.google.errors import TYPE, Refused, invalid

Threshold = Literal[
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
    "BLOCK_LOW_AND_ABOVE",
    "BLOCK_MEDIUM_AND_ABOVE",
    "BLOCK_ONLY_HIGH",
    "BLOCK_NONE",
    "OFF",
]
Category = Literal[
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
    "HARM_CATEGORY_CIVIC_INTEGRITY",
    "HARM_CATEGORY_JAILBREAK",
    "HARM_CATEGORY_IMAGE_HATE",
    "HARM_CATEGORY_IMAGE_DANGEROUS_CONTENT",
    "HARM_CATEGORY_IMAGE_HARASSMENT",
    "HARM_CATEGORY_IMAGE_SEXUALLY_EXPLICIT",
]
People = Literal["ALLOW_ALL", "ALLOW_ADULT", "ALLOW_NONE", "DONT_ALLOW", "allow_all", "allow_adult", "dont_allow"]

Modality = Annotated[
    Literal["TEXT", "IMAGE", "AUDIO"], BeforeValidator(lambda name: name.upper() if isinstance(name, str) else name)
]
"""In any case, because Google's own examples write `Image`."""


class Wire(BaseModel):
    """An object of a request; `mimeType` and `mime_type` are the same field, unknown fields are refused."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid", frozen=True)


class Blob(Wire):
    """A file inside the request."""

    data: str
    mime_type: str
    display_name: str | None = None


class FileData(Wire):
    """A file behind a URI."""

    file_uri: str
    mime_type: str | None = None
    display_name: str | None = None


class Part(Wire):
    """One part of a message; fields that the twin does not use can have any value."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: Any = None
    function_response: Any = None
    executable_code: Any = None
    code_execution_result: Any = None
    video_metadata: Any = None
    media_resolution: Any = None
    part_metadata: Any = None


class Content(Wire):
    """One message."""

    parts: tuple[Part, ...] = ()
    role: str | None = None


class SafetySetting(Wire):
    """The likelihood from which one kind of harm is blocked."""

    category: Category
    threshold: Threshold
    method: Literal["SEVERITY", "PROBABILITY"] | None = None


class ImageOutputOptions(Wire):
    """The encoding of a picture."""

    mime_type: Literal["image/png", "image/jpeg"] | None = None
    compression_quality: int | None = Field(default=None, ge=0, le=100)


class ImageConfig(Wire):
    """The options of a picture."""

    aspect_ratio: str | None = None
    image_size: str | None = None
    person_generation: People | None = None
    prominent_people: Any = None
    image_output_options: ImageOutputOptions = ImageOutputOptions()


class ThinkingConfig(Wire):
    """The amount of thoughts, and whether the answer includes them."""

    include_thoughts: bool = False
    thinking_level: Literal["MINIMAL", "LOW", "MEDIUM", "HIGH"] | None = None
    thinking_budget: int | None = None


class GenerationConfig(Wire):
    """The options of an answer; fields that the twin does not use can have any value."""

    candidate_count: int | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    seed: int | None = None
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    response_modalities: tuple[Modality, ...] | None = None
    image_config: ImageConfig = ImageConfig()
    thinking_config: ThinkingConfig = ThinkingConfig()
    media_resolution: str | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = None
    top_k: float | None = None
    stop_sequences: Any = None
    response_logprobs: Any = None
    logprobs: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    routing_config: Any = None
    model_config_: Any = Field(default=None, alias="modelConfig")
    speech_config: Any = None
    audio_timestamp: Any = None
    audio_transcription_config: Any = None
    enable_affective_dialog: Any = None


class GenerateRequest(Wire):
    """The body of generateContent."""

    contents: tuple[Content, ...] = ()
    system_instruction: Content | None = None
    safety_settings: tuple[SafetySetting, ...] = ()
    generation_config: GenerationConfig = GenerationConfig()
    labels: dict[str, str] | None = None
    model: str | None = None
    tools: Any = None
    tool_config: Any = None
    cached_content: Any = None
    model_armor_config: Any = None
    service_tier: Any = None
    store: Any = None
    continuation_token: Any = None


class Media(Wire):
    """A picture or video of a predict call: its bytes or its URI."""

    bytes_base64_encoded: str | None = None
    gcs_uri: str | None = None
    mime_type: str | None = None


Body = TypeVar("Body", bound=Wire)


def read_body(kind: type[Body], body: dict[str, Any]) -> Body:
    """Parse a body; raise Refused with all invalid fields."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> Refused:
    violations = [
        {"field": _path(entry["loc"]), "description": _message(entry["type"], entry["loc"], entry["input"])}
        for entry in error.errors()
    ]
    message = "\n".join(violation["description"] for violation in violations)
    return invalid(message, {"@type": f"{TYPE}BadRequest", "fieldViolations": violations})


def _message(kind: str, loc: tuple[int | str, ...], value: Any) -> str:
    if kind == "extra_forbidden":
        at = f" at '{_path(loc[:-1])}'" if len(loc) > 1 else ""
        return f'Invalid JSON payload received. Unknown name "{loc[-1]}"{at}: Cannot find field.'
    if kind == "missing":
        return f"Missing required field '{_path(loc)}'."
    return f"Invalid value at '{_path(loc)}', \"{str(value)[:80]}\""


def _path(loc: tuple[int | str, ...]) -> str:
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{to_snake(part)}"
    return path.lstrip(".")
