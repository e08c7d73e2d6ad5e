"""`kilnhand models check`: the catalogue compared with fal's list of models and prices. It changes nothing.

`worker.providers.fal.catalogue_check` compares. Prices need a key; without one, only the list of models is compared.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.text import Text

from config.catalogue import load_catalogue
from config.keys.fal import HOW_TO_SET, find_fal_key
from config.settings import FalSettings
from worker.cli.errors import CliError
from worker.cli.screen import terminal
from worker.cli.settings import read_settings
from worker.errors import AuthenticationError, ExternalServiceError
from worker.net.http import open_transport
from worker.providers.base import ListPrice
from worker.providers.fal.catalogue_check import Check, compare, endpoints_of
from worker.providers.fal.model_list import listed_models, listed_prices
from worker.providers.fal.platform import open_platform

NOT_READ = 2  # exit status
COLOURS = {"vanished": "red", "moved": "red", "deprecated": "yellow", "price": "yellow"}


def check(as_json: bool) -> int:
    """Print the differences. Returns 0 without any, 1 with some, 2 if none is known and prices could not be read."""
    try:
        found, problem = asyncio.run(_check(read_settings().fal))
    except ExternalServiceError as error:
        raise CliError(f"fal's list of models cannot be read: {error.message}", NOT_READ, code=error.code) from error
    if as_json:
        terminal.print_json(_as_json(found, problem))
    else:
        _show(found, problem)
    if found.differences:
        return 1
    return NOT_READ if problem else 0


async def _check(settings: FalSettings) -> tuple[Check, str | None]:
    """The comparison, and why prices could not be read."""
    catalogue, key = load_catalogue(), find_fal_key()
    async with open_platform(settings, key, open_transport(1)) as platform:
        has_key = settings.fal_base_url is not None or (key is not None and key.value is not None and not key.login)
        if not has_key:
            del platform.http.headers["Authorization"]
        listed = await listed_models(platform)
        prices: Mapping[str, ListPrice] | None = None
        problem = None if has_key else HOW_TO_SET
        if has_key:
            try:
                prices = await listed_prices(platform, [name for name in endpoints_of(catalogue) if name in listed])
            except AuthenticationError as error:
                problem = error.message
    return compare(catalogue, listed, prices), problem


def _as_json(found: Check, problem: str | None) -> dict[str, Any]:
    return {
        "endpoints": found.endpoints,
        "differences": [asdict(each) for each in found.differences],
        "not_compared": dict(found.not_compared),
        "prices_not_read": problem,
    }


def _show(found: Check, problem: str | None) -> None:
    out = terminal.out()
    for each in found.differences:
        line = Text(each.kind, style=COLOURS[each.kind]).append(f"  {each.endpoint}", style="default")
        out.print(line.append(f"  ({', '.join(each.models)})", style="dim"), soft_wrap=True)
        out.print(Text(f"  {each.text}"), soft_wrap=True)
    if found.not_compared:
        out.print(Text(f"{len(found.not_compared)} endpoints have no price that can be compared (--json)", style="dim"))
    if problem:
        out.print(Text(f"the prices were not read: {problem}", style="yellow"), soft_wrap=True)
    count = len(found.differences)
    told = f"{count} {'difference' if count == 1 else 'differences'}" if count else "no difference"
    out.print(f"{found.endpoints} endpoints of fal in the catalogue: {told}")
