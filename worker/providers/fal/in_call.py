"""What fal's calls outside its queue have in common: the answer comes in the call, and nobody can ask for it again.

There is no ticket, so there is nothing to poll, to cancel by an id, or to find in fal's list: a lost answer is unknown.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.settings import FalSettings
from worker.errors import ExternalServiceError
from worker.files.media import Media
from worker.files.memory_budget import MB
from worker.providers.at_once import AtOnceProvider
from worker.providers.base import ListPrice
from worker.providers.fal.provider import Fal

CALL_MB = 12  # an answer or an event, decoded, and the arguments


class FalInCall(AtOnceProvider):
    """All of a `worker.providers.base.Provider` but `submit`. `fal` is closed with it."""

    def __init__(self, fal: Fal, settings: FalSettings) -> None:
        self.call_s = settings.fal_stream_s + settings.fal_timeout_s
        self._fal, self._files_s = fal, settings.fal_files_s

    def call_bytes(self, endpoint: str, arguments: Mapping[str, Any], file_bytes: int) -> int:
        """The files that are uploaded for it, and its answer."""
        return file_bytes + CALL_MB * MB

    async def upload(self, media: Media | Path) -> str:
        """To fal's file store."""
        try:
            return await self._fal.upload(media)
        except ExternalServiceError as error:
            error.provider = self.name  # so that the engine knows whose upload has failed
            raise

    def list_price(self, endpoint: str) -> ListPrice | None:
        """By fal's price list."""
        return self._fal.list_price(endpoint.removesuffix("/stream"))

    async def aclose(self) -> None:
        """Close connections."""
        await self._fal.aclose()
