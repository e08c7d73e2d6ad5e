"""google-genai for both of Google's providers: a client for each location, one POST per call, only our own errors.

A client is built at its first call, in a thread, because that reads certificates and key files. `config.keys.google`
finds the credentials. The callers read good answers.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NoReturn, TypeVar

import httpx
from google import genai
from google.auth import exceptions as auth
from google.auth.credentials import Credentials
from google.genai import errors, types
from google.oauth2 import credentials as oauth
from google.oauth2 import service_account

from config.keys.google import GeminiAccess, VertexAccess
from config.settings import GoogleSettings
from worker.errors import (
    AuthenticationError,
    ExternalServiceError,
    RequestRefusedError,
    ServiceUnavailableError,
)
from worker.files.memory_budget import MB, MemoryBudget
from worker.net.answer import ANSWER_BYTES
from worker.net.http import open_transport
from worker.providers.google.errors import google_error, one_line
from worker.providers.google.guard import CONNECT_S, FILES_BYTES, GoogleGuard, WireCall, current_call, unreadable_answer
from worker.providers.google.large_files import LargeFiles

T = TypeVar("T")
SdkCall = Callable[[genai.client.AsyncClient, LargeFiles], Awaitable[T]]
_CONNECTIONS = 1000  # memory and the number of claims are lower limits
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)


class GoogleSdk:
    """The clients of one provider. Every request to Google goes through `call`."""

    def __init__(
        self, name: str, settings: GoogleSettings, access: VertexAccess | GeminiAccess, memory: MemoryBudget | None
    ) -> None:
        self.name, self.call_s = name, CONNECT_S + settings.google_timeout_s
        self._settings, self._access = settings, access
        self.memory = memory or MemoryBudget(settings.google_memory_mb * MB)
        self._clients: dict[str | None, genai.Client] = {}
        self._opened = AsyncExitStack()
        self._building = asyncio.Lock()
        self._http: httpx.AsyncClient | None = None
        self._login: tuple[Credentials | None, str | None] | None = None

    async def call(self, use: SdkCall[T], location: str | None = None, *, has_files: bool = False) -> T:
        """Run `use` with a client and the call's `LargeFiles`; it may send one POST. Raises only our errors.

        `has_files`: the answer may have files inside it.
        """
        return await self._call(use, await self._client(location), FILES_BYTES if has_files else ANSWER_BYTES)

    async def aclose(self) -> None:
        """Close connections."""
        await self._opened.aclose()

    async def _call(self, use: SdkCall[T], client: genai.Client, most_bytes: int) -> T:
        call = WireCall(most_bytes=most_bytes)
        token = current_call.set(call)
        try:
            return await use(client.aio, call.large_files)
        except errors.APIError as error:
            raise self._api_error(error, call) from error
        except auth.GoogleAuthError as error:
            self._raise_token_error(error)
        except _UNREADABLE as error:
            if call.is_sent:
                raise unreadable_answer(self.name, call) from error
            text = f"{self.name}: {one_line(error)}; nothing was sent"
            raise RequestRefusedError(text, provider=self.name) from error
        finally:
            current_call.reset(token)

    def _api_error(self, error: errors.APIError, call: WireCall) -> ExternalServiceError:
        """The error for an `APIError`, which the SDK raises when it finds an error in a 200."""
        if call.is_answered:
            return unreadable_answer(self.name, call)
        return google_error(self.name, error.code, error.details, {}, is_paid=call.is_paid)

    def _raise_token_error(self, error: auth.GoogleAuthError) -> NoReturn:
        """Raise our error for a failure to get an access token. Nothing was sent."""
        text = f"{self.name}: no access token ({type(error).__name__}: {one_line(error)})"
        if isinstance(error, auth.TransportError) or error.retryable:
            raise ServiceUnavailableError(text, provider=self.name) from error
        raise AuthenticationError(text, provider=self.name) from error

    async def _client(self, location: str | None) -> genai.Client:
        async with self._building:
            if location not in self._clients:
                client = await asyncio.to_thread(self._build_client, location)
                self._opened.callback(client.close)
                self._clients[location] = client
            return self._clients[location]

    def _build_client(self, location: str | None) -> genai.Client:
        try:
            return self._open(location)
        except (OSError, ValueError) as error:  # google-auth's MalformedError is a ValueError
            text = f"{self.name}: {self._access.source} cannot be used: {one_line(error)}"
            raise AuthenticationError(text, provider=self.name) from error
        except auth.GoogleAuthError as error:
            self._raise_token_error(error)

    def _open(self, location: str | None) -> genai.Client:
        match self._access:
            case GeminiAccess(key=key) | VertexAccess(key=key) if key is not None:
                is_vertex = isinstance(self._access, VertexAccess)
                return genai.Client(enterprise=is_vertex, api_key=key.get_secret_value(), http_options=self._options())
            case VertexAccess() as access:
                credentials, project = self._login = self._login or self._credentials(access)
                return genai.Client(
                    enterprise=True,
                    project=project,
                    location=location or access.location,
                    credentials=credentials,
                    http_options=self._options(),
                )
        raise AuthenticationError(f"{self.name}: no access", provider=self.name)

    def _credentials(self, access: VertexAccess) -> tuple[Credentials | None, str | None]:
        """The credentials of a service account, and the project. Without credentials, the SDK looks for some.

        The key file is read here because `.env` may name it, and the SDK does not read `.env`.
        """
        if access.file is not None and _is_service_account(text := access.file.read_text(encoding="utf-8")):
            read = service_account.Credentials.from_service_account_info
            account = read(json.loads(text), scopes=[_SCOPE])  # type: ignore[no-untyped-call]
            return account, access.project or account.project_id
        if self._settings.google_base_url and access.file is None:
            return oauth.Credentials("local"), access.project  # type: ignore[no-untyped-call]
        return None, access.project

    def _options(self) -> types.HttpOptions:
        return types.HttpOptions(
            base_url=self._settings.google_base_url,
            timeout=round(self._settings.google_timeout_s * 1000),  # milliseconds
            retry_options=types.HttpRetryOptions(attempts=1),
            httpx_async_client=self._shared_http(),
        )

    def _shared_http(self) -> Any:
        if self._http is None:
            guard = GoogleGuard(open_transport(_CONNECTIONS), self.name, self._settings.google_timeout_s)
            self._http = httpx.AsyncClient(transport=guard, follow_redirects=False, trust_env=False)
            self._opened.push_async_callback(self._http.aclose)
        return self._http


def _is_service_account(text: str) -> bool:
    """Whether a key file is that of a service account. Raises `ValueError` for anything but JSON."""
    found = json.loads(text)
    return isinstance(found, dict) and found.get("type") == "service_account"
