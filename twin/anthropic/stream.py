"""A message as a stream of events. https://platform.claude.com/docs/en/build-with-claude/streaming"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.responses import Response, StreamingResponse

PARTS = 4
"""The text comes in so many parts."""
PAUSE_S = 0.05
"""Between two events."""


def as_stream(response: Response) -> Response:
    """Return the answer that would have come whole; one that is no message, such as a damaged one, stays as it is."""
    try:
        message = json.loads(bytes(response.body))
        events = list(_events(message))
    except (ValueError, KeyError, TypeError, AttributeError):
        return response
    headers = {name: value for name, value in response.headers.items() if name == "request-id"}
    return StreamingResponse(_sent(events), media_type="text/event-stream", headers=headers)


async def _sent(events: list[dict[str, Any]]) -> AsyncIterator[str]:
    for event in events:
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
        await asyncio.sleep(PAUSE_S)


def _events(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    usage = message["usage"]
    begun = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield {"type": "message_start", "message": begun}
    yield {"type": "ping"}
    for index, block in enumerate(message["content"]):
        yield from _block(index, block)
    ending = {name: message[name] for name in ("stop_reason", "stop_sequence", "stop_details") if name in message}
    yield {"type": "message_delta", "delta": ending, "usage": {"output_tokens": usage["output_tokens"]}}
    yield {"type": "message_stop"}


def _block(index: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    text = block.get("text", "")
    size = -(-len(text) // PARTS) or 1
    yield {"type": "content_block_start", "index": index, "content_block": {**block, "text": ""} if text else block}
    for start in range(0, len(text), size):
        delta = {"type": "text_delta", "text": text[start : start + size]}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}
