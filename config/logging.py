"""Configures logs: constant events with fields, from our loggers and from libraries, in one stream on stderr.

Only entry points call it. Secrets have secret types and should never reach a logger; `mask` hides what does.
"""

import logging
import re
import sys
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from config.control_signs import escape_control, escape_line

Format = Literal["auto", "json", "console"]

_QUIET = (
    "httpx", "httpx2", "httpcore", "aiohttp", "asyncio", "websockets", "PIL", "uvicorn.access", "tornado.access",
    "celery.worker.strategy", "celery.app.trace",  # one line for every message; our own events are one per job
)  # fmt: skip

_SECRET_FIELD = re.compile(r"(?i)authorization|password|secret|credential|api_?key|fal_key|^(auth|(.+_)?token)$")
_SECRET_TEXT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b(Key|Basic|Bearer|Token)\s+(?=\S*[:.=_0-9])[\w.~+/=:-]{8,}"), r"\1 ***"),
    (re.compile(r"(?i)([?&](?:password|username)=)[^\s&\"']+"), r"\1***"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}:[0-9a-f]{16,}"), "***"),
    (
        re.compile(
            r"(?i)((?:api_?key|fal_key(?:_secret)?|secret|password|access_token|signature|sig)[\"']?\s*[=:]\s*[\"']?)"
            r"(?!<)[^\s\"'&,;)}\]]{6,}"
        ),
        r"\1***",
    ),
)

_WORD = re.compile(r"\S+")
_LOGIN: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"([a-z][a-z0-9+.-]{0,30}://[^\s/:@]*):(?!\d{1,5}/)[^\s@]+@"), r"\1:***@"),
    (re.compile(r"((?:rediss?|unix|amqps?|sentinel|s3|gs)://[^\s/:@]*):[^\s]+@"), r"\1:***@"),  # to the last @
)

_SEVERAL_LINES = frozenset({"exception", "stack"})


def configure(format: Format = "auto", level: str = "info", stream: TextIO | None = None) -> None:  # noqa: A002
    """Send all log records to `stream` (stderr by default). `auto`: console on a terminal, otherwise JSON."""
    stream = stream or sys.stderr
    console = format == "console" or (format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(console, colors=stream.isatty()))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace text that looks like a key, a token or a password by ***."""
    return {name: _masked(value, name) for name, value in event.items()}


def escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape control signs. An event stays on its line, only a traceback has several."""
    return {name: _escaped(value, name) for name, value in event.items()}


def mask_text(text: str) -> str:
    """The text with *** instead of what looks like a key, a token or a password."""
    if "://" in text and "@" in text:
        text = _WORD.sub(_without_password, text)
    for pattern, replacement in _SECRET_TEXT:
        text = pattern.sub(replacement, text)
    return text


def _without_password(word: re.Match[str]) -> str:
    """A word without the passwords of its URLs. They are before its last @; to search behind it takes time squared."""
    before, at, rest = word[0].rpartition("@")
    if not at or "://" not in before:
        return word[0]
    for pattern, replacement in _LOGIN:
        before = pattern.sub(replacement, f"{before}@")[:-1]
    return f"{before}@{rest}"


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, str):
        return "***" if value and _SECRET_FIELD.search(name) else mask_text(value)
    if isinstance(value, dict):
        return {key: _masked(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item, name) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return mask_text(str(value))


def _escaped(value: Any, name: str) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return escape_control(text) if name in _SEVERAL_LINES else escape_line(text)


def _shared() -> list[Processor]:
    """The processors of all records, ours and those of libraries."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(console: bool, colors: bool) -> logging.Formatter:
    """The formatter of our records and, after the same processors, of those of libraries."""
    renderers: list[Processor] = [structlog.processors.JSONRenderer()]  # which writes ASCII
    if console:
        plain = structlog.dev.plain_traceback
        renderers = [escape, structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain, sort_keys=False)]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            mask,
            *renderers,
        ],
    )
