"""Sums an audit up: by tenant, model and day, and for providers that bill in sum only. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from worker.money.audit import CHECKABLE, CHECKED, WRONG, Entry, Verdict, Window, outside


@dataclass(frozen=True)
class Totals:
    """Sums of checked attempts in US dollars. `upper_usd` is None if one of them has no upper bound.

    An attempt is estimated if its bounds differ. Its bill is drift only outside of them: booked and billed may differ.
    """

    attempts: int
    wrong: int
    booked_usd: float
    lower_usd: float
    upper_usd: float | None
    billed_usd: float
    drift_usd: float
    estimated: int
    estimated_usd: float
    estimated_lower_usd: float
    estimated_upper_usd: float | None
    estimated_billed_usd: float


@dataclass(frozen=True)
class Sum:
    """What a provider billed in sum for one endpoint, where it cannot be asked about single requests."""

    provider: str
    endpoint: str
    calls: int
    usd: float


@dataclass(frozen=True)
class SumCheck:
    """What was booked and billed in sum for one endpoint. Drift is how far the bill is out of bounds."""

    provider: str
    endpoint: str
    attempts: int
    calls: int
    lower_usd: float
    upper_usd: float | None
    billed_usd: float
    drift_usd: float


@dataclass(frozen=True)
class Report:
    """The result of an audit."""

    window: Window
    entries: tuple[Entry, ...]
    sums: tuple[SumCheck, ...] = ()
    notes: tuple[str, ...] = ()
    rows: int = 0
    events: int = 0

    @property
    def wrong(self) -> list[Entry]:
        """The entries that are drift."""
        return [entry for entry in self.entries if entry.verdict in WRONG]

    @property
    def agrees(self) -> bool:
        """Whether there is no drift at all."""
        return not self.wrong and not any(check.drift_usd for check in self.sums)


def totals(entries: Iterable[Entry]) -> Totals:
    """The sums of the entries that could be checked."""
    found = [entry for entry in entries if entry.verdict in CHECKED]
    guessed = [entry for entry in found if entry.upper_usd != entry.lower_usd]
    return Totals(
        attempts=len(found),
        wrong=sum(entry.verdict in WRONG for entry in found),
        booked_usd=_round(sum(entry.booked_usd or 0.0 for entry in found)),
        lower_usd=_round(sum(entry.lower_usd for entry in found)),
        upper_usd=_upper(found),
        billed_usd=_round(sum(entry.billed_usd or 0.0 for entry in found)),
        drift_usd=_round(sum(entry.drift_usd for entry in found)),
        estimated=len(guessed),
        estimated_usd=_round(sum(entry.booked_usd or 0.0 for entry in guessed)),
        estimated_lower_usd=_round(sum(entry.lower_usd for entry in guessed)),
        estimated_upper_usd=_upper(guessed),
        estimated_billed_usd=_round(sum(entry.billed_usd or 0.0 for entry in guessed)),
    )


def _upper(entries: Sequence[Entry]) -> float | None:
    """The sum of the upper bounds; None if one is missing."""
    uppers = [entry.upper_usd for entry in entries if entry.upper_usd is not None]
    return _round(sum(uppers)) if len(uppers) == len(entries) else None


def totals_by(entries: Iterable[Entry], name: Callable[[Entry], str]) -> dict[str, Totals]:
    """The sums of each group, by its name."""
    groups: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.verdict in CHECKED:
            groups[name(entry)].append(entry)
    return {key: totals(groups[key]) for key in sorted(groups)}


GROUPS: Mapping[str, Callable[[Entry], str]] = {
    "tenant": lambda entry: entry.tenant or "(none)",
    "model": lambda entry: entry.model or entry.endpoint,
    "day": lambda entry: datetime.fromtimestamp(entry.at, UTC).date().isoformat(),
}


def counts(entries: Iterable[Entry]) -> dict[str, int]:
    """How many entries have each verdict, zeros included."""
    found = Counter(entry.verdict for entry in entries)
    return {verdict.value: found[verdict] for verdict in Verdict}


def not_checkable(entries: Iterable[Entry]) -> dict[str, dict[str, float]]:
    """What could not be checked, by provider: how many attempts, and what is booked for them."""
    found: dict[str, dict[str, float]] = {}
    for entry in entries:
        if entry.verdict is Verdict.NOT_CHECKABLE:
            one = found.setdefault(entry.provider, {"attempts": 0, "booked_usd": 0.0})
            one["attempts"] += 1
            one["booked_usd"] = _round(one["booked_usd"] + (entry.booked_usd or 0.0))
    return found


def as_json(report: Report) -> dict[str, Any]:
    """The report as JSON fields. Entries that agree are counted only."""
    window, entries = report.window, report.entries
    return {
        "agrees": report.agrees,
        "since": window.since,
        "until": window.until,
        "read_at": window.now,
        "tenant": window.tenant,
        "rows": report.rows,
        "billing_events": report.events,
        "totals": asdict(totals(entries)),
        "counts": counts(entries),
        **{f"by_{name}": _as_dicts(totals_by(entries, key)) for name, key in GROUPS.items()},
        "not_checkable": not_checkable(entries),
        "sums": [asdict(check) for check in report.sums],
        "entries": [asdict(entry) for entry in entries if entry.verdict is not Verdict.AGREES],
        "notes": list(report.notes),
    }


def _as_dicts(found: Mapping[str, Totals]) -> dict[str, dict[str, Any]]:
    return {name: asdict(one) for name, one in found.items()}


def check_sums(entries: Sequence[Entry], sums: Iterable[Sum], group: Callable[[str], str]) -> tuple[SumCheck, ...]:
    """Hold what is booked against what was billed in sum. `group` is the biller of a provider."""
    booked: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.provider not in CHECKABLE:
            booked[group(entry.provider), entry.endpoint].append(entry)
    billed = {(one.provider, one.endpoint): one for one in sums}
    return tuple(
        _check_sum(name, booked.get(name, []), billed.get(name)) for name in sorted(booked.keys() | billed.keys())
    )


def _check_sum(name: tuple[str, str], entries: Sequence[Entry], billed: Sum | None) -> SumCheck:
    provider, endpoint = name
    lower = _round(sum(entry.lower_usd for entry in entries))
    upper = _upper(entries)
    usd = billed.usd if billed else 0.0
    return SumCheck(
        provider=provider,
        endpoint=endpoint,
        attempts=len(entries),
        calls=billed.calls if billed else 0,
        lower_usd=lower,
        upper_usd=upper,
        billed_usd=_round(usd),
        drift_usd=outside(usd, lower, upper),
    )


def _round(usd: float) -> float:
    return round(usd, 9)
