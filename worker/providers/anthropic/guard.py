"""The transport under Anthropic's SDK: reads every answer under a cap of bytes, and knows whether anything was sent.

The SDK is built on httpx2, which is a package of its own beside httpx.
"""

from collections.abc import AsyncIterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import cast

import httpx2

from worker.net.answer import ENCODINGS, harmless, read_answer

_OF_THE_BODY = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


@dataclass
class Sending:
    """Whether the request of the present call has gone to the transport."""

    has_begun: bool = False


current_sending: ContextVar[Sending | None] = ContextVar("current_sending", default=None)


class AnthropicGuard(httpx2.AsyncBaseTransport):
    """Sends a request over the inner transport. Raises as that does, and as `read_answer` does."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The complete answer, with harmless JSON."""
        request.headers["accept-encoding"] = ENCODINGS
        if sending := current_sending.get():
            sending.has_begun = True
        response = await self._inner.handle_async_request(request)
        try:
            stream = cast(AsyncIterable[bytes], response.stream)
            body = await harmless(await read_answer(stream, response.headers.get("content-encoding")))
        finally:
            await response.aclose()
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _OF_THE_BODY]
        return httpx2.Response(response.status_code, headers=headers, content=body, extensions=response.extensions)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()
