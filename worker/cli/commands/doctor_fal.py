"""The checks of `kilnhand doctor` of what fal's key may read. Without it jobs run, but less can be repaired."""

import asyncio
import time
from collections.abc import Awaitable, Iterator

from config.catalogue import load_catalogue
from config.keys.fal import FalKey, find_fal_key
from config.settings import FalSettings
from worker.cli.commands.doctor_checks import TIMEOUT_S, Check
from worker.errors import ExternalServiceError, KilnhandError
from worker.net.http import open_transport
from worker.providers.fal.permissions import LIST_REQUESTS, READ_BILLING, PermissionMissingError
from worker.providers.fal.platform import FalPlatform, open_platform
from worker.providers.fal.platform_access import ENDPOINTS, ListAccess, probe_billing, read_list

SINCE_S = 7 * 86_400.0
NAMES = ("fal list", "fal billing", "fal tags")
NO_ANSWER = "look at this machine's network, its proxy (KILNHAND_TRUST_PROXIES), and fal's status page"
NOT_FOUND = "a submission whose answer was lost cannot be found by the list"


def check_fal_access(settings: FalSettings) -> Iterator[Check]:
    """Whether the key may read the request list and the billing events. Nothing where fal is disabled or away."""
    key = find_fal_key()
    if settings.fal_base_url is None and (key is None or key.login):
        if key is not None:
            yield Check(
                "fal list", "note", f"{key.source} is no key for fal's platform API", f"set FAL_KEY: {NOT_FOUND}"
            )
        return
    listed, billing, tags = asyncio.run(_ask(settings, key))
    if _is_wrong_key(listed) and _is_wrong_key(billing):
        source = key.source if key else "FAL_KEY"
        detail = f"fal refused the key from {source} (HTTP 401): it is wrong or was revoked"
        yield Check("fal key", "broken", detail, f"correct {source}, and start the workers again")
        return
    yield _list_check(listed)
    yield _billing_check(billing)
    if not isinstance(billing, KilnhandError):
        yield _tags_check(tags)


async def _ask(settings: FalSettings, key: FalKey | None) -> list[ListAccess | KilnhandError | None]:
    """The three answers, or their errors."""
    since = time.time() - SINCE_S
    routes = (route for model in load_catalogue().models for route in model.routes if route.provider == "fal")
    endpoints = list(dict.fromkeys(route.endpoint for route in routes))
    quick = settings.model_copy(update={"fal_timeout_s": TIMEOUT_S})
    async with open_platform(quick, key, open_transport(len(NAMES))) as platform:
        calls = (
            _answer(_read_lists(platform, endpoints, since)),
            _answer(probe_billing(platform, since, tagged=False)),
            _answer(probe_billing(platform, since, tagged=True)),
        )
        return list(await asyncio.gather(*calls))


async def _read_lists(platform: FalPlatform, endpoints: list[str], since: float) -> ListAccess:
    """The first part of the list that has requests."""
    answer = ListAccess(0, 0)
    for first in range(0, len(endpoints), ENDPOINTS):
        answer = answer if answer.requests else await read_list(platform, endpoints[first : first + ENDPOINTS], since)
    return answer


async def _answer(call: Awaitable[ListAccess | None]) -> ListAccess | KilnhandError | None:
    try:
        return await call
    except ExternalServiceError as error:
        return error


def _is_wrong_key(answer: ListAccess | KilnhandError | None) -> bool:
    return isinstance(answer, PermissionMissingError) and answer.status == 401


def _list_check(answer: ListAccess | KilnhandError | None) -> Check:
    if isinstance(answer, PermissionMissingError):
        return Check("fal list", "note", answer.message, f"use a key with {LIST_REQUESTS}; without it, {NOT_FOUND}")
    if isinstance(answer, KilnhandError):
        return Check("fal list", "note", answer.message, f"{NO_ANSWER}; until it works, {NOT_FOUND}")
    if answer is not None and answer.requests and not answer.with_input:
        advice = f"let fal store payloads in the account's settings; without inputs, {NOT_FOUND}"
        return Check("fal list", "note", f"none of {answer.requests} requests has its input", advice)
    inputs = "and has inputs" if answer and answer.requests else "; whether it has inputs is not known yet"
    return Check("fal list", "ok", f"the list of requests can be read {inputs}".replace(" ;", ";"))


def _billing_check(answer: ListAccess | KilnhandError | None) -> Check:
    if isinstance(answer, PermissionMissingError):
        advice = f"use a key with {READ_BILLING}; without it, `kilnhand audit` and `kilnhand duplicates` cannot work"
        return Check("fal billing", "note", answer.message, advice)
    if isinstance(answer, KilnhandError):
        return Check("fal billing", "note", answer.message, NO_ANSWER)
    return Check("fal billing", "ok", "the billing events can be read")


def _tags_check(answer: ListAccess | KilnhandError | None) -> Check:
    if isinstance(answer, PermissionMissingError):
        advice = "ask fal to switch on tagged reporting, and activate the tags job and attempt; without it, "
        advice += "a submission whose answer was lost cannot be found by its tag"
        return Check("fal tags", "note", "the billing events have no tags: tagged reporting is off", advice)
    if isinstance(answer, KilnhandError):
        return Check("fal tags", "note", answer.message, NO_ANSWER)
    return Check("fal tags", "ok", "the billing events can be searched by our tags")
