"""The one composition root: settings in, objects out. Whoever opens closes, in reverse."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from config.catalogue import load_catalogue
from config.fal_key import HOW_TO_SET, FalKey
from config.openings import opening_of
from config.settings import Settings
from worker.artefacts.fetch import Fetcher, FetchLimits
from worker.artefacts.store import open_store
from worker.artefacts.verify import Verifier, VerifyLimits
from worker.http import open_downloads, open_transport
from worker.inside import Gate
from worker.ledger.base import Ledger
from worker.ledger.redis import open_redis_ledger
from worker.providers.base import Provider
from worker.providers.fal import open_fal
from worker.turn import Bench
from worker.webhook import webhook_url, webhooks_wanted


@dataclass(frozen=True)
class Services:
    """What a worker process works with."""

    ledger: Ledger
    bench: Bench


@asynccontextmanager
async def open_services(settings: Settings, fal_key: FalKey | None) -> AsyncIterator[Services]:
    """Open everything on the running loop, and close it in the end."""
    async with AsyncExitStack() as stack:
        ledger = open_redis_ledger(settings.redis.ledger)
        stack.push_async_callback(ledger.aclose)
        yield Services(ledger, await _bench(stack, settings, fal_key))


async def _bench(stack: AsyncExitStack, settings: Settings, fal_key: FalKey | None) -> Bench:
    store = open_store(settings.store, settings.gateway)
    downloads = await stack.enter_async_context(open_downloads(32, gate=_gate(settings)))
    verifier = Verifier(VerifyLimits(settings.store.max_megapixels * 1_000_000))
    stack.callback(verifier.close)
    limits = FetchLimits(settings.store.max_file_mb * 1_000_000)
    return Bench(
        catalogue=load_catalogue(),
        providers=await _providers(stack, settings, fal_key),
        disabled_why=HOW_TO_SET,
        fetcher=Fetcher(downloads, store, verifier, limits),
        store=store,
        url_s=settings.store.url_days * 86400,
        chance=random.random,
        webhook=_webhook(settings),
    )


def _gate(settings: Settings) -> Gate:
    """Files come from public addresses, from what an operator has opened, and from fal's stand-in."""
    stand_ins = [opening_of(url) for url in (settings.fal.fal_base_url,) if url]
    return Gate([*settings.foreign.openings, *stand_ins])


def _webhook(settings: Settings) -> Callable[[str, str, int], str] | None:
    """Where a provider tells that a run has ended; None where it could not reach us."""
    if not webhooks_wanted(settings) or settings.gateway.secret is None:
        return None
    return partial(webhook_url, settings.gateway.public_url, settings.gateway.secret.get_secret_value())


async def _providers(stack: AsyncExitStack, settings: Settings, fal_key: FalKey | None) -> dict[str, Provider]:
    """Those that are configured; a provider without a key is not opened."""
    if fal_key is None and settings.fal.fal_base_url is None:
        return {}
    fal = await open_fal(settings.fal, fal_key, open_transport(settings.worker.max_claims))
    stack.push_async_callback(fal.aclose)
    return {fal.name: fal}
