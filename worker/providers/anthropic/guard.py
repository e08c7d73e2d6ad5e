"""The transport under Anthropic's SDK: reads every answer under a cap of bytes, and knows whether anything was sent.

The SDK is built on httpx2, which is a package of its own beside httpx.
"""

import json
from collections.abc import AsyncIterable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import cast

import httpx2

from worker.net.answer import ENCODINGS, harmless, read_answer
from worker.net.answer_json import AnswerTooLargeError
from worker.net.event_stream import StreamBrokenError, StreamLimits, read_events
from worker.providers.anthropic.streamed import StreamedMessage

_OF_THE_BODY = frozenset({b"content-encoding", b"content-length", b"content-type", b"transfer-encoding"})


@dataclass
class Sending:
    """Whether the request of the present call has gone to the transport; who hears the text so far of a stream."""

    has_begun: bool = False
    on_text: Callable[[str], None] | None = None


current_sending: ContextVar[Sending | None] = ContextVar("current_sending", default=None)


class AnthropicGuard(httpx2.AsyncBaseTransport):
    """Sends a request over the inner transport. Raises as that does, and as `read_answer` does."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, silent_s: float = 600.0) -> None:
        """`silent_s`: the most between two bytes of a stream. The caller limits the whole of it."""
        self._inner, self._limits = inner, StreamLimits(silent_s, silent_s)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The complete answer, with harmless JSON; of a stream the message that its events are."""
        sending = current_sending.get() or Sending()
        request.headers["accept-encoding"] = "identity" if sending.on_text else ENCODINGS
        sending.has_begun = True
        response = await self._inner.handle_async_request(request)
        try:
            stream = cast(AsyncIterable[bytes], response.stream)
            if sending.on_text and _is_stream(response):
                body = await _whole(stream, sending.on_text, self._limits)
            else:
                body = await harmless(await read_answer(stream, response.headers.get("content-encoding")))
        finally:
            await response.aclose()
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _OF_THE_BODY]
        kind = "application/json" if sending.on_text and _is_stream(response) else response.headers.get("content-type")
        headers += [(b"content-type", kind.encode())] if kind else []
        return httpx2.Response(response.status_code, headers=headers, content=body, extensions=response.extensions)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()


def _is_stream(response: httpx2.Response) -> bool:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return response.status_code == 200 and kind == "text/event-stream"


async def _whole(stream: AsyncIterable[bytes], on_text: Callable[[str], None], limits: StreamLimits) -> bytes:
    """The body of the message. Raises `httpx2.ReadError` for a stream that broke, or that ends with an error."""
    found, before = StreamedMessage(), ""
    try:
        async for data in read_events(stream, limits):
            found.take(json.loads(await harmless(data)))
            if found.text != before:
                before = found.text
                on_text(before)
    except (StreamBrokenError, AnswerTooLargeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise httpx2.ReadError(f"the stream broke ({type(error).__name__})") from error
    if found.is_error or not found.is_whole:
        raise httpx2.ReadError("the stream ended before the message did")
    return json.dumps(found.message()).encode()
