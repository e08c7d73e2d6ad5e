"""Claude through Anthropic's official SDK: one client per process, every POST sent once.

The API has no idempotency key. The SDK's retries (two by default) would pay again after a lost answer, and would sleep
as long as Retry-After says, so they are off; so are redirects, which would repeat a POST. The body is built in a thread
and given to the SDK as bytes: `messages.create` would encode 24 MB of pictures on the event loop, for 0.4 s. `message`
builds requests and reads answers, `errors` maps error answers. Every call returns its result; there are no tickets.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import httpx2
from anthropic import APIConnectionError, APIStatusError, AsyncAnthropic, DefaultAsyncHttpxClient

from config.settings import AnthropicSettings, Settings
from worker.errors import ContentRefusedError, RequestRefusedError
from worker.files.memory_budget import MB, MemoryBudget
from worker.providers.anthropic.errors import anthropic_error, no_answer_error
from worker.providers.anthropic.guard import AnthropicGuard, Sending, current_sending
from worker.providers.anthropic.message import answer_of, body_of
from worker.providers.at_once import AtOnceProvider
from worker.providers.base import (
    Call,
    Provider,
    Reply,
    RunFailure,
    Running,
)

BASE_URL = "https://api.anthropic.com"  # set, so that no variable of the SDK sends the key elsewhere
TWIN_KEY = "twin"  # the twin accepts any key
CONNECT_S = 10.0
TEXT_MB = 1
MOST_TEXT = 500  # characters of a text so far that are reported
BUILDS = 1  # bodies with pictures that are built at a time
Listener = Callable[[str, Running], None]  # job id, and how far its call is
_JSON = {"Content-Type": "application/json"}
_NOTHING_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.LocalProtocolError,  # a header that cannot be sent
)


async def open_provider(settings: Settings, memory: MemoryBudget) -> Provider:
    """See `worker.providers.table`."""
    return await open_anthropic(settings.anthropic)


async def open_anthropic(settings: AnthropicSettings) -> "Anthropic":
    """Open Anthropic, or the twin in its place. Without a key, only the twin can be called."""
    key = settings.anthropic_api_key
    timeout = httpx2.Timeout(settings.anthropic_timeout_s, connect=CONNECT_S, pool=CONNECT_S)
    http = DefaultAsyncHttpxClient(timeout=timeout, follow_redirects=False)
    guard = partial(AnthropicGuard, silent_s=settings.anthropic_timeout_s)
    http._transport = guard(http._transport)
    http._mounts = {place: each and guard(each) for place, each in http._mounts.items()}
    client = AsyncAnthropic(
        api_key=key.get_secret_value() if key else TWIN_KEY,
        base_url=settings.anthropic_base_url or BASE_URL,
        max_retries=0,
        timeout=timeout,
        http_client=http,
    )
    return Anthropic(client, settings.anthropic_timeout_s + CONNECT_S)


class Anthropic(AtOnceProvider):
    """See `worker.providers.base.Provider`."""

    name = "anthropic"

    def __init__(self, client: AsyncAnthropic, deadline_s: float) -> None:
        """`deadline_s` limits a whole call: the client's own timeout starts again with every byte received."""
        self.call_s = deadline_s
        self._client, self._deadline_s = client, deadline_s
        self._building = asyncio.Semaphore(BUILDS)
        self.listener: Listener | None = None

    def call_bytes(self, endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
        """The pictures, their base64, and the body that contains it."""
        return TEXT_MB * MB + 4 * file_bytes

    async def submit(self, call: Call) -> Reply | RunFailure:
        """One POST. With `stream`, the text so far is reported while it is written."""
        sending = Sending(on_text=partial(self._report, call.job_id) if call.arguments.get("stream") else None)
        current_sending.set(sending)
        try:
            body = await self._body(call)
            async with asyncio.timeout(self._deadline_s):
                response = await self._client.post(
                    "/v1/messages", cast_to=httpx2.Response, content=body, options={"headers": _JSON}
                )
        except APIStatusError as error:
            refusal = anthropic_error(error.status_code, error.body, error.response.headers)
            if isinstance(refusal, ContentRefusedError):  # of the answer, whose tokens may be billed
                return RunFailure(refusal)
            raise refusal from error
        except APIConnectionError as error:
            cause = error.__cause__
            is_sent = sending.has_begun and not isinstance(cause, _NOTHING_SENT)
            raise no_answer_error(f"no answer ({type(cause or error).__name__})", sent=is_sent) from error
        except TimeoutError as error:
            raise no_answer_error(f"no whole answer in {self._deadline_s:g} s", sent=True) from error
        except (ValueError, TypeError) as error:
            if sending.has_begun:
                raise no_answer_error("an answer that cannot be read", sent=True) from error
            text = f"anthropic: the call cannot be sent ({type(error).__name__}); nothing was sent"
            raise RequestRefusedError(text, provider="anthropic", kind="unsendable") from error
        return answer_of(response.content, as_json=bool(call.arguments.get("schema")))

    def _report(self, job_id: str, text: str) -> None:
        if self.listener and text.strip():
            self.listener(job_id, Running((text[-MOST_TEXT:],)))

    async def _body(self, call: Call) -> bytes:
        """The body of the POST. A picture that is scaled takes up to 256 MB, so few bodies are built at a time."""
        if not call.files:
            return body_of(call)
        async with self._building:
            return await asyncio.to_thread(body_of, call)

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.close()
