"""Parses a message request, with Anthropic's messages for invalid fields."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from twin.anthropic.errors import Refused

MediaType = Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
MESSAGES = {"missing": "Field required", "extra_forbidden": "Extra inputs are not permitted"}
READ_TYPES = frozenset({"text", "image"})


class Wire(BaseModel):
    """An object of a request; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Base64Source(Wire):
    """A picture inside the request."""

    type: Literal["base64"]
    media_type: MediaType
    data: str


class UrlSource(Wire):
    """A picture behind a URL."""

    type: Literal["url"]
    url: str


class FileSource(Wire):
    """A picture that was uploaded before the call."""

    type: Literal["file"]
    file_id: str


class TextBlock(Wire):
    """A text."""

    type: Literal["text"]
    text: str = Field(min_length=1)
    cache_control: Any = None
    citations: Any = None


class ImageBlock(Wire):
    """A picture."""

    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource | FileSource, Field(discriminator="type")]
    cache_control: Any = None
    transformations: Any = None


class OtherBlock(BaseModel):
    """A block that the twin does not read, such as a tool's result."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str


def _kind(block: Any) -> str:
    kind = block.get("type") if isinstance(block, dict) else getattr(block, "type", None)
    return kind if isinstance(kind, str) and kind in READ_TYPES else "other"


Block = Annotated[
    Annotated[TextBlock, Tag("text")] | Annotated[ImageBlock, Tag("image")] | Annotated[OtherBlock, Tag("other")],
    Discriminator(_kind),
]


class Message(Wire):
    """One message of the conversation."""

    role: Literal["user", "assistant"]
    content: str | tuple[Block, ...]


class Tool(BaseModel):
    """A tool; the twin uses its name and schema."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    input_schema: dict[str, Any] = Field(default_factory=dict)
    strict: bool = False


class ToolChoice(Wire):
    """The tool that the model must or may use."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class JsonFormat(BaseModel):
    """The schema of the answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Wire):
    """The options of the answer."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonFormat | None = None


class MessagesRequest(Wire):
    """The body; fields that the twin does not use can have any value."""

    model: str = Field(min_length=1)
    max_tokens: int = Field(ge=1)
    messages: tuple[Message, ...] = Field(min_length=1)
    system: str | tuple[TextBlock, ...] = ()
    output_config: OutputConfig = OutputConfig()
    output_format: JsonFormat | None = None
    """The older place of the schema, before `output_config`; still accepted."""
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    stream: bool = False
    cache_control: Any = None
    container: Any = None
    context_management: Any = None
    diagnostics: Any = None
    inference_geo: Any = None
    mcp_servers: Any = None
    metadata: Any = None
    service_tier: Any = None
    speed: Any = None
    stop_sequences: Any = None
    with_thoughts: Any = None
    user_profile_id: Any = None
    workspace_id: Any = None

    @property
    def schema_of_answer(self) -> dict[str, Any] | None:
        """The schema of the text; None if the request has none."""
        given = self.output_config.format or self.output_format
        return given.schema_ if given else None

    @property
    def tool(self) -> Tool | None:
        """The tool that must be used; None if the model may choose, because it then uses none."""
        choice = self.tool_choice
        if choice is None or choice.type not in ("any", "tool"):
            return None
        return next((tool for tool in self.tools if choice.type == "any" or tool.name == choice.name), None)


def read_request(body: dict[str, Any]) -> MessagesRequest:
    """Parse a body; raise Refused with one invalid field."""
    try:
        request = MessagesRequest.model_validate(body)
    except ValidationError as error:
        first = max(error.errors(), key=lambda entry: len(entry["loc"]))
        loc = [part for part in first["loc"] if not (isinstance(part, str) and part.startswith(("tuple[", "str")))]
        path = ".".join(map(str, loc)).replace("schema_", "schema")
        raise Refused(400, f"{path}: {MESSAGES.get(first['type'], first['msg'])}") from error
    if request.messages[0].role != "user":
        raise Refused(400, 'messages: first message must use the "user" role')
    choice = request.tool_choice
    if choice and choice.type in ("any", "tool") and request.tool is None:
        raise Refused(400, f"tool_choice: Tool '{choice.name}' not found in provided tools")
    return request
