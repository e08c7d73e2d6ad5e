"""Decides whether a broker message can be read, and sets aside one that cannot: on a list, with the reason, counted.

Celery 5.7.0 checks few of a message's fields. An odd one raises deep inside the consumer, which ends the worker, and
the message then ends the next worker that gets it.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any
from uuid import UUID

import structlog
from celery.utils.time import maybe_iso8601, maybe_make_aware
from kombu.utils.json import dumps
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from redis.exceptions import RedisError

from config.settings import Settings
from worker.edge.message import ACCEPTED_AT_HEADER, SENT_AT_HEADER
from worker.ledger.dead_messages import DeadMessage, DeadMessages, open_dead_messages

log = structlog.get_logger(__name__)

HEAD_CHARS = 300  # of a message in a log line
_IDS = ("id", "root_id", "parent_id", "group")


class UnreadableMessageError(ValueError):
    """A message has a field that no worker can use."""


def _moment(value: str | datetime | None) -> str | datetime | None:
    """A time as Celery reads it. An empty text, or a year that the clock does not have, ends Celery's consumer."""
    if value is not None:
        maybe_make_aware(maybe_iso8601(value), None).timestamp()
    return value


Moment = Annotated[str | datetime | None, AfterValidator(_moment)]
Limit = Annotated[float, Field(ge=0)] | None


class _Headers(BaseModel):
    """The headers of Celery's message protocol 2 that its consumer uses."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    task: Annotated[str, Field(min_length=1)]
    id: Annotated[str, Field(min_length=1, max_length=512)]
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    timelimit: Annotated[list[Limit], Field(min_length=2, max_length=2)] | None = None
    eta: Moment = None
    expires: Moment = None
    retries: int | None = None
    shadow: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    ignore_result: bool | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None
    accepted_at: float | None = Field(None, alias=ACCEPTED_AT_HEADER)
    sent_at: float | None = Field(None, alias=SENT_AT_HEADER)


class _Properties(BaseModel):
    """The properties of a message that its consumer uses."""

    model_config = ConfigDict(strict=True, extra="ignore")

    correlation_id: str | None = None
    reply_to: str | None = None
    priority: int | None = None


class _Embedded(BaseModel):
    """What follows a task, in the body of its message."""

    model_config = ConfigDict(strict=True, extra="ignore")

    callbacks: list[dict[str, Any]] | None = None
    errbacks: list[dict[str, Any]] | None = None
    chain: list[dict[str, Any]] | None = None
    chord: dict[str, Any] | None = None


class _Body(BaseModel):
    """The body of a message of protocol 2, which is a list of these three."""

    model_config = ConfigDict(strict=True)

    arguments: list[Any]
    named_arguments: dict[str, Any]
    embedded: _Embedded | None = None


def check(message: Any) -> None:
    """Raise `UnreadableMessageError` for a message of protocol 2 that has a field of a wrong type.

    An id that is a UUID or a number becomes a text, in the message: the result backend and Redis know texts only.
    Raises kombu's errors for a body that cannot be decoded. Older protocols are not checked.
    """
    message.headers = {**message.headers, **_ids_as_text(message.headers, _IDS)}
    message.properties = {**message.properties, **_ids_as_text(message.properties, ("correlation_id",))}
    _read(_Headers, message.headers)
    _read(_Properties, message.properties)
    body = message.payload
    if not isinstance(body, list | tuple) or len(body) != 3:
        raise UnreadableMessageError("body: has to be a list of arguments, named arguments and what follows")
    _read(_Body, dict(zip(_Body.model_fields, body, strict=True)))


def _ids_as_text(fields: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    found = {name: fields.get(name) for name in names}
    return {
        name: str(value)
        for name, value in found.items()
        if isinstance(value, UUID | int) and not isinstance(value, bool)
    }


def _read(model: type[BaseModel], fields: Mapping[str, Any]) -> None:
    try:
        model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise UnreadableMessageError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


@cache
def dead_messages() -> DeadMessages:
    """This process's list of messages that were set aside, opened at its first use."""
    settings = Settings().redis
    return open_dead_messages(settings.ledger, settings.own_keys)


def set_aside(queue: str, raw: bytes, kind: str, reason: str) -> bool:
    """Put a message on the list of those that cannot be read. False if Redis did not take it; it never raises."""
    head = raw[:HEAD_CHARS].decode(errors="replace")
    try:
        dead_messages().add(DeadMessage(queue, kind, reason, raw))
    except (RedisError, OSError) as error:
        log.critical("message_not_set_aside", queue=queue, kind=kind, reason=reason, head=head, error=repr(error))
        return False
    log.error("message_set_aside", queue=queue, kind=kind, reason=reason[:HEAD_CHARS], head=head)
    return True


def raw_of(message: Any) -> bytes:
    """A received message as the broker has it, as far as it can be written as JSON again."""
    whole = getattr(message, "_raw", None) or {"headers": message.headers, "body": message.body}
    try:
        return json.dumps(whole).encode()
    except (TypeError, ValueError, RecursionError):
        return _as_kombu_writes(whole)


def _as_kombu_writes(whole: Any) -> bytes:
    """With the types that kombu adds to JSON: UUIDs, times and bytes."""
    try:
        return str(dumps(whole)).encode()
    except (TypeError, ValueError, RecursionError):
        return repr(whole).encode()
