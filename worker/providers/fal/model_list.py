"""Reads fal's list of models and its list of prices, whole, for `kilnhand models check`. Nothing of it costs money.

`GET /v1/models` and `GET /v1/models/pricing`, as in the OpenAPI document of the platform API
(https://fal.ai/docs/platform-apis). The list of models works without a key, the prices need one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from worker.errors import AuthenticationError, BrokenPieceError, ServiceUnavailableError
from worker.providers.base import ListPrice
from worker.providers.fal.platform import FalPlatform
from worker.providers.fal.price_list import PATH as PRICES
from worker.providers.fal.price_list import price_of

MODELS = "/v1/models"
ACTIVE, DEPRECATED = "active", "deprecated"
OF_ONE_CALL = 50  # endpoint ids, by fal's limit
OF_ONE_PAGE = 100  # models, by fal's limit
MOST_PAGES = 200


async def listed_models(platform: FalPlatform) -> Mapping[str, str]:
    """Every endpoint that fal lists, and its status: active or deprecated.

    Raises `AuthenticationError` or `ServiceUnavailableError`.
    """
    found: dict[str, str] = {}
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await _read(platform, MODELS, {"limit": str(OF_ONE_PAGE), **({"cursor": cursor} if cursor else {})})
        for item in _items(page, "models"):
            found[str(item.get("endpoint_id"))] = str((item.get("metadata") or {}).get("status") or ACTIVE)
        cursor = page.get("next_cursor") if page and page.get("has_more") else None
        if not found:
            raise ServiceUnavailableError("fal: its list of models is empty", provider="fal")
        if cursor is None:
            return found
    raise ServiceUnavailableError(f"fal: its list of models has more than {MOST_PAGES} pages", provider="fal")


async def listed_prices(platform: FalPlatform, endpoints: Sequence[str]) -> Mapping[str, ListPrice]:
    """The prices of those endpoints that have one in US dollars. Raises as `listed_models` does.

    fal refuses a call with an id that it does not know, as a whole; such a call is made again in halves.
    """
    found: dict[str, ListPrice] = {}
    parts = [endpoints[first : first + OF_ONE_CALL] for first in range(0, len(endpoints), OF_ONE_CALL)]
    while parts:
        part = parts.pop()
        page = await _read(platform, PRICES, {"endpoint_id": list(part)})
        if page is None and len(part) > 1:
            parts += [part[: len(part) // 2], part[len(part) // 2 :]]
            continue
        for item in _items(page, "prices"):
            endpoint = str(item.get("endpoint_id"))
            if price := price_of(item, endpoint):
                found[endpoint] = price
    return found


async def _read(platform: FalPlatform, path: str, query: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """One answer; None for 404, which means an id that fal does not know."""
    try:
        response = await platform.http.get(f"{platform.url}{path}", params=query)
        page = response.json() if response.status_code == 200 else None
    except (httpx.TransportError, BrokenPieceError, ValueError) as error:
        raise ServiceUnavailableError(f"fal: {path} cannot be read ({type(error).__name__})", provider="fal") from error
    if response.status_code in {401, 403}:
        text = f"fal refuses the key for {path} (HTTP {response.status_code})"
        raise AuthenticationError(text, provider="fal", status=response.status_code)
    if response.status_code == 404:
        return None
    if not isinstance(page, dict):
        text = f"fal: HTTP {response.status_code} instead of {path}"
        raise ServiceUnavailableError(text, provider="fal", status=response.status_code)
    return page


def _items(page: Mapping[str, Any] | None, name: str) -> list[Mapping[str, Any]]:
    items = page.get(name) if page else []
    if not isinstance(items, list):
        raise ServiceUnavailableError(f"fal: an answer without {name}", provider="fal", status=200)
    return [item for item in items if isinstance(item, dict)]
