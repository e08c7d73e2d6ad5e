"""A message request as it is read, and Anthropic's words where it does not fit."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from twin.anthropic.errors import Refused

MediaType = Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
WORDS = {"missing": "Field required", "extra_forbidden": "Extra inputs are not permitted"}
LOOKED_AT = frozenset({"text", "image"})


class Wire(BaseModel):
    """An object of a request; fields that the API does not have are refused."""

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
    """A picture that was uploaded before."""

    type: Literal["file"]
    file_id: str


class TextBlock(Wire):
    """Words."""

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
    """Something that the twin does not look at, such as a tool's result."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str


def _kind(block: Any) -> str:
    kind = block.get("type") if isinstance(block, dict) else getattr(block, "type", None)
    return kind if isinstance(kind, str) and kind in LOOKED_AT else "other"


Block = Annotated[
    Annotated[TextBlock, Tag("text")] | Annotated[ImageBlock, Tag("image")] | Annotated[OtherBlock, Tag("other")],
    Discriminator(_kind),
]


class Message(Wire):
    """One turn."""

    role: Literal["user", "assistant"]
    content: str | tuple[Block, ...]


class Tool(BaseModel):
    """A tool, of which the twin needs name and schema."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    input_schema: dict[str, Any] = Field(default_factory=dict)
    strict: bool = False


class ToolChoice(Wire):
    """Which tool is to be used."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class JsonFormat(BaseModel):
    """The schema that an answer must have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Wire):
    """What an answer is to be like."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonFormat | None = None


class MessagesRequest(Wire):
    """The body; what the twin does not act on may be anything."""

    model: str = Field(min_length=1)
    max_tokens: int = Field(ge=1)
    messages: tuple[Message, ...] = Field(min_length=1)
    system: str | tuple[TextBlock, ...] = ()
    output_config: OutputConfig = OutputConfig()
    output_format: JsonFormat | None = None
    """Where the schema stood before `output_config`; still taken."""
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
    thinking: Any = None
    user_profile_id: Any = None
    workspace_id: Any = None

    @property
    def schema_of_answer(self) -> dict[str, Any] | None:
        """The schema that the text must have; None when there is none."""
        given = self.output_config.format or self.output_format
        return given.schema_ if given else None

    @property
    def tool(self) -> Tool | None:
        """The tool that must be used; None when the choice is the model's, which uses none."""
        choice = self.tool_choice
        if choice is None or choice.type not in ("any", "tool"):
            return None
        return next((tool for tool in self.tools if choice.type == "any" or tool.name == choice.name), None)


def read_request(body: dict[str, Any]) -> MessagesRequest:
    """Read a body; raise Refused with a field that does not fit."""
    try:
        asked = MessagesRequest.model_validate(body)
    except ValidationError as error:
        first = max(error.errors(), key=lambda entry: len(entry["loc"]))
        loc = [part for part in first["loc"] if not (isinstance(part, str) and part.startswith(("tuple[", "str")))]
        path = ".".join(map(str, loc)).replace("schema_", "schema")
        raise Refused(400, f"{path}: {WORDS.get(first['type'], first['msg'])}") from error
    if asked.messages[0].role != "user":
        raise Refused(400, 'messages: first message must use the "user" role')
    choice = asked.tool_choice
    if choice and choice.type in ("any", "tool") and asked.tool is None:
        raise Refused(400, f"tool_choice: Tool '{choice.name}' not found in provided tools")
    if asked.stream:
        raise Refused(400, "stream: The twin does not stream")
    return asked
