"""What the twin billed for calls of Google and Anthropic, which have no billing API: sums by model.

The real providers bill in sum only, and elsewhere (Google's billing export, Anthropic's console). With the twin, these
sums can be compared with the ledger.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import httpx

from config.settings import Settings
from worker.money.audit_report import Sum

TIMEOUT_S = 10.0
BILLERS = {"vertex": "google", "gemini": "google"}  # one bill for both


def biller(provider: str) -> str:
    """Who bills for a provider's calls."""
    return BILLERS.get(provider, provider)


def twin_sums(settings: Settings, since: float, until: float) -> list[Sum] | None:
    """The sums of the calls that the twin accepted in this time; None if these providers are not the twin's."""
    roots = dict(_twins(settings))
    if not roots:
        return None
    return [one for name, root in roots.items() for one in _sums(name, _records(root, name), since, until)]


def _twins(settings: Settings) -> Iterator[tuple[str, str]]:
    bases = {"google": settings.google.google_base_url, "anthropic": settings.anthropic.anthropic_base_url}
    for name, base in bases.items():
        root = base.removesuffix(f"/{name}") if base else None
        if root and _is_twin(root):
            yield name, root


def _is_twin(root: str) -> bool:
    try:
        answer = httpx.get(f"{root}/_twin/health", timeout=TIMEOUT_S, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.status_code == 200


def _records(root: str, provider: str) -> list[Mapping[str, Any]]:
    answer = httpx.get(f"{root}/_twin/requests", params={"provider": provider}, timeout=TIMEOUT_S, trust_env=False)
    return list(answer.raise_for_status().json()["requests"])


def _sums(provider: str, records: Iterable[Mapping[str, Any]], since: float, until: float) -> list[Sum]:
    found: dict[str, Sum] = {}
    for record in records:
        if since <= record["accepted_at"] < until:
            before = found.get(record["endpoint"], Sum(provider, record["endpoint"], 0, 0.0))
            usd = before.usd + (record["billed"]["usd"] or 0.0)
            found[record["endpoint"]] = Sum(provider, record["endpoint"], before.calls + 1, round(usd, 9))
    return list(found.values())
