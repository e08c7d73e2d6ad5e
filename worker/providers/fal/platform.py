"""A client of fal's platform API without its SDK, for the commands that read lists and bills."""

from dataclasses import dataclass
from types import TracebackType

import httpx

from config.keys.fal import FalKey
from config.settings import FalSettings
from worker.providers.fal.guard import FalGuard

PLATFORM_URL = "https://api.fal.ai"
TWIN_KEY = "twin:twin"  # the twin accepts any key


@dataclass(frozen=True)
class FalPlatform:
    """The client and the API's base URL. A context manager, which closes the client."""

    http: httpx.AsyncClient
    url: str

    async def __aenter__(self) -> "FalPlatform":
        """Itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close connections."""
        await self.http.aclose()


def platform_url(settings: FalSettings) -> str:
    """The base URL of the platform API: fal's, or the twin's."""
    return f"{settings.fal_base_url}/api" if settings.fal_base_url else PLATFORM_URL


def open_platform(settings: FalSettings, key: FalKey | None, transport: httpx.AsyncBaseTransport) -> FalPlatform:
    """The platform API over this transport. The login of the fal CLI is no key, so only the twin accepts it."""
    secret = key.value.get_secret_value() if key and key.value else TWIN_KEY
    http = httpx.AsyncClient(
        transport=FalGuard(transport, settings.fal_base_url, settings.fal_timeout_s),
        headers={"Authorization": f"Key {secret}", "User-Agent": "kilnhand"},
        timeout=settings.fal_timeout_s,
        trust_env=False,
    )
    return FalPlatform(http, platform_url(settings))
