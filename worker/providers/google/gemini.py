"""The Gemini API through google-genai: text and pictures. Every call returns its result; there are no tickets.

The same calls as in `vertex`, without the fields that only Vertex AI has. Importing this module imports the SDK, so
`worker.providers.table` does it only for an enabled provider.
"""

from collections.abc import Mapping
from typing import Any

from config.keys.google import GeminiAccess, MissingAccess, find_gemini
from config.settings import GoogleSettings, Settings
from worker.errors import ProviderDisabledError, RequestRefusedError
from worker.files.memory_budget import MemoryBudget
from worker.providers.at_once import AtOnceProvider
from worker.providers.base import (
    Call,
    Provider,
    Reply,
    RunFailure,
)
from worker.providers.google.language import generate_text
from worker.providers.google.memory import call_bytes
from worker.providers.google.models import ModelKind, kind_of
from worker.providers.google.pictures import make_pictures
from worker.providers.google.safety import PROFILES, Safety
from worker.providers.google.sdk import GoogleSdk

NAME = "gemini"


async def open_provider(settings: Settings, memory: MemoryBudget) -> Provider:
    """See `worker.providers.table`."""
    return await open_gemini(settings.google, memory=memory)


async def open_gemini(
    settings: GoogleSettings, access: GeminiAccess | None = None, memory: MemoryBudget | None = None
) -> "Gemini":
    """Open the Gemini API. It connects at the first call. Raises `ProviderDisabledError` without a key."""
    found = access or find_gemini(settings)
    if isinstance(found, MissingAccess):
        raise ProviderDisabledError(found.how_to_set)
    return Gemini(GoogleSdk(NAME, settings, found, memory), PROFILES[settings.google_safety])


class Gemini(AtOnceProvider):
    """See `worker.providers.base.Provider`."""

    name = NAME

    def __init__(self, sdk: GoogleSdk, safety: Safety) -> None:
        self.call_s = sdk.call_s
        self._sdk, self._safety = sdk, safety

    def call_bytes(self, endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
        """See `memory.call_bytes`."""
        return call_bytes(endpoint, arguments, file_bytes)

    async def submit(self, call: Call) -> Reply | RunFailure:
        """One POST for text, and one for each picture."""
        match kind_of(call.endpoint):
            case ModelKind.PICTURE:
                return await make_pictures(self._sdk, call, self._safety, is_vertex=False)
            case ModelKind.TEXT:
                return await generate_text(self._sdk, call, self._safety)
        text = f"{NAME}: {call.endpoint} runs on Vertex AI only"
        raise RequestRefusedError(text, provider=NAME, kind="endpoint")

    async def aclose(self) -> None:
        """Close connections."""
        await self._sdk.aclose()
