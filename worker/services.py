"""The one composition root: settings in, objects out. What is opened here is closed here, in reverse order."""

import random
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from redis.exceptions import RedisError

from config.allowed_addresses import AllowedAddress, allowed_address
from config.catalogue import load_catalogue
from config.keys.fingerprint import key_fingerprints
from config.proxies import settle_proxies
from config.settings import Settings
from worker.engine.context import Context
from worker.files.fetch import Fetcher
from worker.files.file_checks import FileCheck
from worker.files.input_refs import OwnUrls
from worker.files.inputs import InputFiles, InputLimits
from worker.files.limits import FetchLimits
from worker.files.memory_budget import MB, MemoryBudget
from worker.files.store import open_store
from worker.files.verify import Verifier, VerifyLimits
from worker.health.batching import BatchingHealth
from worker.health.policy import policy_of
from worker.health.redis import open_redis_health
from worker.jobs.answers import AnswerCheck
from worker.ledger.base import Ledger, UnreadableRowError
from worker.ledger.redis import open_redis_ledger
from worker.net.http import open_downloads
from worker.net.public import AddressPolicy
from worker.net.webhook_url import are_webhooks_requested, webhook_url
from worker.providers.base import Provider
from worker.providers.table import open_provider, what_to_set


@dataclass(frozen=True)
class Services:
    """What a worker process works with."""

    ledger: Ledger
    context: Context


@asynccontextmanager
async def open_services(
    settings: Settings,
    checks: Mapping[str, AnswerCheck] | None = None,
    file_checks: Mapping[str, FileCheck] | None = None,
) -> AsyncIterator[Services]:
    """Open everything on the running loop, and close it in the end.

    `checks` are of answers, `file_checks` of input files, both by task.
    """
    settle_proxies(settings.network.trust_proxies)
    async with AsyncExitStack() as stack:
        ledger = open_redis_ledger(settings.redis.ledger, settings.redis.own_keys)
        stack.push_async_callback(ledger.aclose)
        context = await _context(stack, settings, ledger)
        yield Services(ledger, replace(context, checks=checks or {}, file_checks=file_checks or {}))


async def _context(stack: AsyncExitStack, settings: Settings, ledger: Ledger) -> Context:
    store = open_store(settings.store, settings.gateway)
    downloads = await stack.enter_async_context(open_downloads(64, read_s=20, policy=_download_policy(settings)))
    decode_bytes = settings.store.decode_memory_mb * MB
    verifier = Verifier(VerifyLimits(settings.store.max_megapixels * 1_000_000, memory_bytes=decode_bytes))
    stack.callback(verifier.close)
    most_bytes = settings.store.max_file_mb * 1_000_000
    catalogue = load_catalogue()
    policy = replace(policy_of(settings.health, catalogue), keys=key_fingerprints(settings))
    health = BatchingHealth(open_redis_health(settings.redis.ledger, policy, settings.redis.own_keys), policy)
    stack.push_async_callback(health.aclose)
    lacking = what_to_set(settings)
    memory = MemoryBudget(settings.google.google_memory_mb * MB, most_waiting=settings.worker.max_claims // 2)
    return Context(
        catalogue=catalogue,
        providers=await _providers(stack, settings, memory, [name for name, lacks in lacking.items() if lacks is None]),
        disabled={name: lacks for name, lacks in lacking.items() if lacks is not None},
        fetcher=Fetcher(downloads, store, verifier, FetchLimits(most_bytes)),
        store=store,
        url_s=settings.store.url_days * 86400,
        duplicate_usd=settings.worker.duplicate_usd,
        chance=random.random,
        webhook=_webhook(settings),
        health=health,
        inputs=InputFiles(
            downloads,
            store,
            verifier,
            OwnUrls(settings.gateway),
            _hand_on_policy(settings),
            InputLimits(large_bytes=most_bytes),
        ),
        memory=memory,
        signals=partial(_signals, ledger),
        own_run=ledger.own_run,
    )


async def _signals(ledger: Ledger, job_id: str) -> Mapping[str, str]:
    """The signals on a row; none while the ledger is away, or for a row that cannot be read: the write finds out."""
    try:
        row = await ledger.row(job_id)
    except (RedisError, OSError, UnreadableRowError):
        return {}
    return row.signals if row else {}


def _download_policy(settings: Settings) -> AddressPolicy:
    """Where files may be fetched from: public addresses, what an operator has allowed, and fal's stand-in."""
    return AddressPolicy([*settings.foreign.allowed, *_twin_addresses(settings)])


def _hand_on_policy(settings: Settings) -> AddressPolicy:
    """Where a provider can fetch from: public addresses. What an operator has allowed is open to us alone."""
    return AddressPolicy(_twin_addresses(settings), denied=settings.foreign.allowed)


def _twin_addresses(settings: Settings) -> list[AllowedAddress]:
    return [allowed_address(url) for url in (settings.fal.fal_base_url,) if url]


def _webhook(settings: Settings) -> Callable[[str, str, int], str] | None:
    """The URL for a provider's webhooks; None if it cannot reach us."""
    if not are_webhooks_requested(settings) or settings.gateway.secret is None:
        return None
    return partial(webhook_url, settings.gateway.public_url, settings.gateway.secret.get_secret_value())


async def _providers(
    stack: AsyncExitStack, settings: Settings, memory: MemoryBudget, names: Sequence[str]
) -> dict[str, Provider]:
    """These providers, opened."""
    found = dict[str, Provider]()
    for name in names:
        found[name] = await open_provider(name, settings, memory)
        stack.push_async_callback(found[name].aclose)
    return found
