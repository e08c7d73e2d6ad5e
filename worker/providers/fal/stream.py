"""One POST to a streamed endpoint of fal, and its events as they come. https://fal.ai/docs/model-apis/inference/streaming

The SDK's own `stream` does not look at the status, so a locked account reads as a broken connection, and it limits
nothing (fal-client 1.0.3). A stream cannot be resumed, and fal lists no request of it that could be found again: one
that breaks is unknown. The connection is closed whenever the caller leaves, also when it is cancelled.
"""

import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import httpx

from worker.errors import RequestRefusedError
from worker.net.answer import harmless
from worker.net.answer_json import AnswerTooLargeError
from worker.net.event_stream import StreamBrokenError, StreamLimits, read_events
from worker.providers.fal.answers import json_of
from worker.providers.fal.errors import fal_error
from worker.providers.fal.guard import STREAMED, is_event_stream

CONNECT_S = 10.0


@dataclass(frozen=True)
class FalEvents:
    """An open stream. `events` are its JSON objects, in their order; `headers` those of the answer."""

    events: AsyncIterator[dict[str, Any]]
    headers: Mapping[str, str]


@asynccontextmanager
async def open_stream(
    http: httpx.AsyncClient,
    url: str,
    arguments: Mapping[str, Any],
    headers: Mapping[str, str],
    limits: StreamLimits,
    *,
    hide: Callable[[Any], Any] = lambda value: value,
) -> AsyncIterator[FalEvents]:
    """Send the one POST and read its events. `hide` takes secrets out of all that fal says, before any of it is cut.

    Raises the errors of `FalGuard` and `fal_error` for an answer that is no stream. `StreamBrokenError`: the stream
    has begun, and broke.
    """
    request = http.build_request(
        "POST",
        url,
        content=body_of(arguments),
        headers={**headers, "accept": "text/event-stream", "content-type": "application/json"},
        timeout=httpx.Timeout(limits.silent_s, connect=CONNECT_S),
        extensions={STREAMED: limits.total_s},
    )
    response = await http.send(request, stream=True, follow_redirects=False)
    try:
        if response.status_code >= 400:
            await response.aread()
            raise fal_error(response.status_code, hide(json_of(response)), response.headers)
        if not is_event_stream(response):
            raise StreamBrokenError(f"HTTP {response.status_code} without a stream")
        events = _objects(cast(AsyncIterable[bytes], response.stream), limits)
        yield FalEvents((hide(event) async for event in events), response.headers)
    finally:
        await response.aclose()


def body_of(arguments: Mapping[str, Any]) -> bytes:
    """The arguments as JSON. Raises `RequestRefusedError` for those that cannot be sent."""
    try:
        return json.dumps(dict(arguments), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        text = f"fal: the call cannot be sent ({type(error).__name__}); nothing was sent"
        raise RequestRefusedError(text, provider="fal", kind="unsendable") from error


async def _objects(raw: AsyncIterable[bytes], limits: StreamLimits) -> AsyncIterator[dict[str, Any]]:
    """The events that are JSON objects. Any other event, such as a binary preview, is left out."""
    try:
        async for data in read_events(raw, limits):
            try:
                event = json.loads(await harmless(data))
            except (ValueError, RecursionError, AnswerTooLargeError):
                continue
            if isinstance(event, dict):
                yield event
    except httpx.TransportError as error:
        raise StreamBrokenError(f"the connection broke ({type(error).__name__})") from error
