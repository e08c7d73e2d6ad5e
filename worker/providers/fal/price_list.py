"""fal's price list: the price of a unit of an endpoint that our catalogue has no price for.

`GET /v1/models/pricing` (https://fal.ai/docs/platform-apis/v1/models/pricing) says one price and one unit. Bills of an
endpoint whose price depends on its parameters differ from it, so it gives a likely sum and never a bound.

Nobody waits for it: a price that is not known is read in the background, and is there for the next question.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import structlog

from worker.errors import ExternalServiceError, ServiceUnavailableError
from worker.providers.base import ListPrice

log = structlog.get_logger(__name__)

PATH = "/v1/models/pricing"
KEPT_S = 6 * 3600.0  # how long a price counts
AGAIN_S = 600.0  # how long an endpoint without a price, or whose price could not be read, is left alone
MOST_KEPT = 1000  # endpoints
MOST_USD = 1e5  # of a unit
MOST_CHARS = 50  # of the unit's name


@dataclass(frozen=True)
class _Entry:
    price: ListPrice | None
    until: float


class PriceList:
    """The prices of endpoints that were asked about, the most recent ones. Belongs to one loop."""

    def __init__(self, http: httpx.AsyncClient, platform_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._http, self._url, self._clock = http, f"{platform_url}{PATH}", clock
        self._known: OrderedDict[str, _Entry] = OrderedDict()
        self._wanted: OrderedDict[str, None] = OrderedDict()
        self._reading: asyncio.Task[None] | None = None

    def price(self, endpoint: str) -> ListPrice | None:
        """The price, if it is known; one that is too old counts until it is read again. Never waits."""
        entry = self._known.get(endpoint)
        if entry is None or entry.until <= self._clock():
            self._want(endpoint)
        else:
            self._known.move_to_end(endpoint)
        return entry.price if entry else None

    async def aclose(self) -> None:
        """Stop reading."""
        if self._reading:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading

    def _want(self, endpoint: str) -> None:
        if len(self._wanted) < MOST_KEPT:
            self._wanted[endpoint] = None
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read_all())

    async def _read_all(self) -> None:
        """Read one after the other: fal refuses a call with an id that it does not know, as a whole."""
        while self._wanted:
            endpoint = next(iter(self._wanted))
            try:
                found = await self._read(endpoint)
                entry = _Entry(found, self._clock() + (KEPT_S if found else AGAIN_S))
            except (ExternalServiceError, httpx.HTTPError, httpx.InvalidURL) as error:
                log.debug("price_not_read", endpoint=endpoint, error=str(error))
                old = self._known.get(endpoint)
                entry = _Entry(old.price if old else None, self._clock() + AGAIN_S)
            self._wanted.pop(endpoint)
            self._known[endpoint] = entry
            self._known.move_to_end(endpoint)
            if len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)

    async def _read(self, endpoint: str) -> ListPrice | None:
        response = await self._http.get(self._url, params={"endpoint_id": endpoint})
        if response.status_code not in {200, 404}:
            raise ServiceUnavailableError(f"fal: HTTP {response.status_code} instead of a price", provider="fal")
        try:
            body = response.json() if response.status_code == 200 else None
        except ValueError:
            body = None
        items = body.get("prices") if isinstance(body, dict) else None
        prices = (price_of(item, endpoint) for item in items or () if isinstance(item, dict))
        return next((price for price in prices if price), None)


def price_of(item: Mapping[str, Any], endpoint: str) -> ListPrice | None:
    """The price in US dollars; None for another endpoint, another currency, or what cannot be a price."""
    usd, unit = item.get("unit_price"), item.get("unit")
    if item.get("endpoint_id") != endpoint or str(item.get("currency", "USD")).upper() != "USD":
        return None
    if isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 <= usd < MOST_USD:
        return None
    return ListPrice(float(usd), " ".join(str(unit or "unit").split())[:MOST_CHARS])
