"""Reads server-sent events from the chunks of an answer, under caps of bytes and of silence. Pure of HTTP.

Only `data:` lines count: fal's streams use no names, ids or retry times. A comment line keeps a connection open and is
no event. https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator
from dataclasses import dataclass

from worker.net.answer import ANSWER_BYTES, MB


@dataclass(frozen=True)
class StreamLimits:
    """The most seconds for the whole stream and between two of its bytes, and the most bytes of an event and of all.

    A comment that keeps the connection open counts as a sign of life: a run may have nothing to tell for minutes.
    """

    total_s: float
    silent_s: float
    event_bytes: int = ANSWER_BYTES
    total_bytes: int = 64 * MB


class StreamBrokenError(Exception):
    """A stream ended before its time, was silent for too long, or brought too much."""


async def read_events(raw: AsyncIterable[bytes], limits: StreamLimits) -> AsyncIterator[bytes]:
    """The data of each event. Raises `StreamBrokenError`, and what `raw` raises. An unfinished last event is dropped.

    `total_s` is the caller's: a timeout must not span a `yield`.
    """
    chunks, events, came = aiter(raw), _Events(limits.event_bytes), 0
    while True:
        try:
            async with asyncio.timeout(limits.silent_s):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise StreamBrokenError(f"silent for {limits.silent_s:g} s") from error
        came += len(chunk)
        if came > limits.total_bytes:
            raise StreamBrokenError(f"more than {limits.total_bytes / MB:g} MB of events")
        for event in events.of(chunk):
            yield event


class _Events:
    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._rest, self._size = most_bytes, b"", 0
        self._data = list[bytes]()

    def of(self, chunk: bytes) -> Iterator[bytes]:
        """The events that this chunk completes."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if self._size + len(self._rest) > self._most_bytes:
            raise StreamBrokenError(f"an event of more than {self._most_bytes / MB:g} MB")
        for line in (line.removesuffix(b"\r") for line in lines):
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
                self._size += len(line)
                if self._size > self._most_bytes:
                    raise StreamBrokenError(f"an event of more than {self._most_bytes / MB:g} MB")
            elif not line and self._data:
                event, self._data, self._size = b"\n".join(self._data), [], 0
                yield event
