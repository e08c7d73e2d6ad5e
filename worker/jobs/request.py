"""What a caller may send: the base class of requests, the options, and how a bad request is refused.

A request is read as JSON and strictly, so `delay()` and a bare `send_task` are checked in the same way.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from worker.errors import InvalidRequestError
from worker.jobs.absent_fields import without_absent
from worker.jobs.job import Duplicates, Options, Priority

MAX_BYTES = 256 * 1024  # a whole request, as JSON
_WAY = " (a file goes by its URL, or by the key that worker.client.upload returns)"
MAX_DEPTH = 8  # of `extra`

T = TypeVar("T", bound=BaseModel)


def _depth(value: JsonValue) -> int:
    if isinstance(value, dict):
        return 1 + max((_depth(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((_depth(item) for item in value), default=0)
    return 0


def sendable(extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """The same arguments of an endpoint. Raises `ValueError` for what cannot be sent or kept."""
    if _depth(extra) > MAX_DEPTH:
        raise ValueError(f"is nested more than {MAX_DEPTH} levels deep")
    if extra.get("sync_mode"):
        raise ValueError("sync_mode is not possible: results come as files, not inside the answer")
    try:
        json.dumps(extra, allow_nan=False)
    except ValueError:
        raise ValueError("numbers must be finite") from None
    return extra


def file_url(url: str) -> str:
    """The URL, if a provider can fetch it: http(s), or data: for small files. Raises `ValueError` for any other."""
    parts = urlsplit(url)
    if parts.scheme == "data" and "," in url:
        return url
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL (or data:), which the provider can fetch")
    if len(url) > 4096:
        raise ValueError("is longer than 4096 characters")
    if parts.username or parts.password:
        raise ValueError("must not carry a user name or password")
    return url


Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Extra = Annotated[dict[Label, JsonValue], AfterValidator(sendable)]


class TaskRequest(BaseModel):
    """A task's own parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    follows: ClassVar[Mapping[str, str]] = {}
    """In a chain, the fields that take their value from the job before: field -> path in that job's result."""

    @property
    def has_steps(self) -> bool:
        """Whether a task that can do it with one call or with steps takes steps for this request."""
        return False


class BaseRequest(TaskRequest):
    """The parameters of one call. `extra` is sent to the endpoint unchanged and overrides what we would send."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
    extra: Extra = Field(default_factory=dict, max_length=50)

    def as_arguments(self, *apart: str) -> dict[str, Any]:
        """The fields that have a value, by our names, as JSON; without `model`, `extra` and those `apart`."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"model", "extra", *apart})


class JobOptions(BaseModel):
    """The options that every task takes besides its request."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    tenant: Label | None = None
    labels: Annotated[dict[Label, Annotated[str, StringConstraints(max_length=500)]], Field(max_length=32)] = {}
    deadline_s: Annotated[float, Field(gt=0, le=7 * 86400)] | None = None
    priority: Priority = "normal"
    idempotency_key: Label | None = None
    provider: Label | None = None
    providers: Annotated[list[Label], Field(min_length=1, max_length=8)] | None = None
    fallback: bool = True
    allow_degraded: bool = False
    fallback_on_policy: bool = False
    max_queue_s: Annotated[float, Field(gt=0, le=86400)] | None = None
    duplicates: Duplicates | None = None
    max_usd: Annotated[float, Field(gt=0)] | None = None  # `allow_inf_nan` refuses the infinite
    reuse_s: Annotated[float, Field(gt=0, le=7 * 86400)] | None = None

    def values(self) -> Options:
        """The options as the row stores them."""
        given = self.model_dump()
        return Options(**{**given, "providers": tuple(self.providers) if self.providers else None})


def read(task: str, asks: type[T], given: Mapping[str, Any]) -> tuple[T, JobOptions]:
    """The request and the options in `given`. Raises `InvalidRequestError` with a line per field and what it allows."""
    raw = _as_json(task, given)
    problems: list[tuple[str, str]] = []
    if len(raw) > MAX_BYTES:
        problems.append(("request", f"is {len(raw)} bytes as JSON; allowed: {MAX_BYTES}{_WAY}"))
    found = [_read(model, part, problems) for model, part in _parts(asks, given)]
    if problems:
        raise refusal(task, problems)
    request, options = found
    assert isinstance(request, asks) and isinstance(options, JobOptions)  # noqa: S101  # without problems both are read
    return request, options


def check_known_fields(task: str, asks: type[BaseModel], given: Mapping[str, Any], coming: Iterable[str]) -> None:
    """Check the fields that are known before a job runs in whose result the `coming` ones are.

    Raises `InvalidRequestError`. A required field that is missing is no problem if it is to come.
    """
    _as_json(task, given)
    problems: list[tuple[str, str]] = []
    later = frozenset(coming)
    for model, part in _parts(asks, {name: value for name, value in given.items() if value is not None}):
        _read(model, part, problems, later)
    if problems:
        raise refusal(task, problems)


def read_inside(task: str, field: str, asks: type[T], given: Mapping[str, Any]) -> T:
    """The typed value of an object in a request. Raises `InvalidRequestError` with a line per field of it."""
    problems: list[tuple[str, str]] = []
    found = _read(asks, without_absent(asks, given), problems)
    if problems:
        raise refusal(task, [(f"{field}.{name}", message) for name, message in problems])
    assert isinstance(found, asks)  # noqa: S101  # without problems it is read
    return found


def _parts(asks: type[BaseModel], given: Mapping[str, Any]) -> Iterator[tuple[type[BaseModel], dict[str, Any]]]:
    """The request's own fields and the options. `None` counts as not given where there is a default."""
    shared = {name: value for name, value in given.items() if name in JobOptions.model_fields}
    yield asks, without_absent(asks, {name: value for name, value in given.items() if name not in shared})
    yield JobOptions, without_absent(JobOptions, shared)


def _read(
    model: type[BaseModel],
    part: Mapping[str, Any],
    problems: list[tuple[str, str]],
    later: frozenset[str] = frozenset(),
) -> BaseModel | None:
    try:
        return model.model_validate_json(to_json(part, inf_nan_mode="constants"), strict=True)
    except ValidationError as error:
        problems += _merged(
            (_field_name(item["loc"]), _message(item))
            for item in error.errors(include_url=False, include_input=False)
            if not (later and _may_come(item, later))
        )
        return None


def _merged(problems: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """One problem for each field: pydantic reports every branch of a union on its own.

    Where one branch fits so far that its own fields are refused, the others are left out.
    """
    found = dict[str, dict[str, None]]()
    for field, message in problems:
        found.setdefault(field, {})[message] = None
    for field, messages in found.items():
        if not any(other.startswith(f"{field}.") for other in found):
            first, *rest = messages
            yield field, " or ".join([first, *(message.removeprefix("input should be ") for message in rest)])


def _may_come(item: Any, later: frozenset[str]) -> bool:
    """Whether the fields that are to come may solve it: one of them is missing, or fields do not fit together."""
    return not item["loc"] or (item["type"] == "missing" and item["loc"][0] in later)


def _as_json(task: str, given: Mapping[str, Any]) -> bytes:
    for name, value in given.items():
        try:
            to_json(value, inf_nan_mode="constants")
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            raise refusal(task, [(name, f"cannot be written as JSON ({type(value).__name__})")]) from error
    return to_json(dict(given), inf_nan_mode="constants")


def refusal(task: str, problems: Iterable[tuple[str, str]]) -> InvalidRequestError:
    """One error for all problems, which are pairs of field and message."""
    lines = dict.fromkeys(f"  {field}: {message}" for field, message in problems)
    return InvalidRequestError("\n".join([f"{task}: the request was refused", *lines]))


def _field_name(loc: Sequence[int | str]) -> str:
    """The field's path as the caller knows it, without the branch of a union that pydantic also names."""
    known = [str(part) for part in loc if isinstance(part, int) or (part[:1].islower() and "[" not in part)]
    return ".".join(known) or "request"


def _message(item: Any) -> str:
    """Pydantic's message, shortened if it is about Python."""
    if item["type"] == "extra_forbidden":
        return "is not a parameter of this task; put parameters of the endpoint into extra"
    message = str(item["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def value_at(result: Any, path: str) -> Any:
    """The value in a job's result at a path of `TaskRequest.follows`, like `images.0.url`; or None.

    `*` is each item of a list: `objects.*.box` are the boxes of all objects.
    """
    parts = path.split(".")
    for n, part in enumerate(parts, 1):
        if isinstance(result, list) and part == "*":
            found = [value_at(each, ".".join(parts[n:])) if n < len(parts) else each for each in result]
            return [each for each in found if each is not None]
        if isinstance(result, Mapping):
            result = result.get(part)
        elif isinstance(result, list) and part.isdigit() and int(part) < len(result):
            result = result[int(part)]
        else:
            return None
    return result
