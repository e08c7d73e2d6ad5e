"""Vertex AI through google-genai: pictures, editing, try-on and text in one call, video as a long operation.

`guard` sends one POST per call, and `large_files` keeps files out of the SDK. Importing this module imports the SDK, so
`worker.providers.table` does it only for an enabled provider.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.keys.google import MissingAccess, VertexAccess, find_vertex
from config.settings import GoogleSettings, Settings
from worker.errors import ProviderDisabledError, RequestRefusedError
from worker.files.media import Media
from worker.files.memory_budget import MB, MemoryBudget
from worker.jobs.job import Ticket
from worker.providers.base import (
    Call,
    CancelResult,
    ListPrice,
    LostSubmission,
    Provider,
    Reply,
    RunFailure,
    RunStatus,
    SearchResult,
)
from worker.providers.google.language import generate_text
from worker.providers.google.memory import VIDEO_MB, call_bytes
from worker.providers.google.models import ModelKind, kind_of
from worker.providers.google.pictures import make_pictures
from worker.providers.google.safety import PROFILES, Safety
from worker.providers.google.sdk import GoogleSdk
from worker.providers.google.try_on import try_on
from worker.providers.google.video import poll_video, start_video, stop_video, video_of

NAME = "vertex"


async def open_provider(settings: Settings, memory: MemoryBudget) -> Provider:
    """See `worker.providers.table`."""
    return await open_vertex(settings.google, memory=memory)


async def open_vertex(
    settings: GoogleSettings, access: VertexAccess | None = None, memory: MemoryBudget | None = None
) -> "Vertex":
    """Open Vertex AI. It connects at the first call. Raises `ProviderDisabledError` without credentials.

    `memory` is the memory budget of the process, which polls of operations take from; by default a budget of its own.
    """
    found = access or find_vertex(settings)
    if isinstance(found, MissingAccess):
        raise ProviderDisabledError(found.how_to_set)
    sdk = GoogleSdk(NAME, settings, found, memory)
    return Vertex(sdk, PROFILES[settings.google_safety], None if found.key else settings.google_region)


class Vertex:
    """See `worker.providers.base.Provider`."""

    name = NAME
    lists_requests = False
    result_bytes = VIDEO_MB * MB

    def __init__(self, sdk: GoogleSdk, safety: Safety, region: str | None) -> None:
        """`region` is where try-on and video run; None for an express key, which has no region."""
        self.call_s = sdk.call_s
        self._sdk, self._safety, self._region = sdk, safety, region

    def call_bytes(self, endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
        """See `memory.call_bytes`."""
        return call_bytes(endpoint, arguments, file_bytes)

    async def submit(self, call: Call) -> Ticket | Reply | RunFailure:
        """One POST, or one for each picture. Returns a ticket for a video."""
        match kind_of(call.endpoint):
            case ModelKind.PICTURE:
                return await make_pictures(self._sdk, call, self._safety, is_vertex=True)
            case ModelKind.TRY_ON:
                return await try_on(self._sdk, call, self._safety, self._region)
            case ModelKind.VIDEO:
                return await start_video(self._sdk, call, self._safety, self._region)
            case ModelKind.TEXT:
                return await generate_text(self._sdk, call, self._safety)

    async def upload(self, media: Media | Path) -> str:
        """Not supported: files go inside the call."""
        raise RequestRefusedError(f"{NAME} takes files inside the call", provider=NAME)

    async def poll(self, endpoint: str, ticket: Ticket) -> RunStatus:
        """The status of an operation."""
        return await poll_video(self._sdk, ticket)

    async def result(self, endpoint: str, ticket: Ticket) -> Reply | RunFailure:
        """The result of an operation."""
        try:
            return await video_of(self._sdk, ticket)
        except RequestRefusedError as error:  # Google answered that there is no such operation
            return RunFailure(error)

    async def cancel(self, endpoint: str, ticket: Ticket) -> CancelResult:
        """Cancels nothing: Google has no call for it, so the operation goes on and is billed."""
        return await stop_video(self._sdk, ticket)

    def ticket_of(self, endpoint: str, request_id: str) -> Ticket:
        """A ticket needs only the operation's name."""
        return Ticket(request_id)

    async def find(self, lost: LostSubmission) -> SearchResult:
        """Google has no list of the operations of its models."""
        return SearchResult()

    def list_price(self, endpoint: str) -> ListPrice | None:
        """Google has no price list that can be asked."""
        return None

    async def aclose(self) -> None:
        """Close connections."""
        await self._sdk.aclose()
