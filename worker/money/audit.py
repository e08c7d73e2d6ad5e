"""Holds the ledger's costs against a provider's bills, attempt by attempt. Pure.

A bill belongs to an attempt by its request id, or, where the attempt has no ticket, by the tags that were sent with it.
An attempt without drift has a bill within its bounds: an exact cost is its own bounds, a lost attempt may have cost
nothing. `worker.money.audit_report` sums up.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from worker.money.bills import Bill, Bills
from worker.money.booked import Booked
from worker.providers.fal.tags import job_tag

CHECKABLE = frozenset({"fal"})  # providers that can be asked what they billed for a request
TOLERANCE_USD = 0.00001  # units have few decimals in fal's header, and nano-dollars in its bill
DAY_S = 86_400.0


class Verdict(StrEnum):
    """What became of one attempt, or of one bill that no attempt has."""

    AGREES = "agrees"
    DRIFT = "drift"  # billed outside of the bounds
    PAID_NOT_BOOKED = "paid_not_booked"
    BOOKED_NOT_PAID = "booked_not_paid"
    UNKNOWN = "unknown"  # billed, and the ledger says itself that it knows no limit
    PENDING = "pending"  # too new, or still running
    NOT_CHECKABLE = "not_checkable"
    FOREIGN = "foreign"  # a bill of the same account that has nothing to do with us


WRONG = frozenset({Verdict.DRIFT, Verdict.PAID_NOT_BOOKED, Verdict.BOOKED_NOT_PAID})
CHECKED = frozenset({Verdict.AGREES, Verdict.UNKNOWN, *WRONG})


@dataclass(frozen=True)
class Window:
    """What is audited. Times are seconds since the epoch: from `since` until before `until`.

    A bill may come `lag_s` after the end of its run. A row is kept for `kept_s` after its end.
    """

    since: float
    until: float
    now: float
    lag_s: float
    kept_s: float
    tenant: str | None = None


@dataclass(frozen=True)
class Entry:
    """One attempt, or one bill without an attempt, and the verdict. `drift_usd`: how far it is out of bounds."""

    verdict: Verdict
    provider: str
    endpoint: str
    at: float
    why: str = ""
    job_id: str | None = None
    attempt: int | None = None
    tenant: str | None = None
    model: str | None = None
    request_ids: tuple[str, ...] = ()
    booked_usd: float | None = None
    lower_usd: float = 0.0
    upper_usd: float | None = 0.0
    billed_usd: float | None = None
    drift_usd: float = 0.0


def audit(booked: Iterable[Booked], found: Bills, window: Window) -> list[Entry]:
    """All entries of the window, oldest first."""
    attempts = list(booked)
    index = _Index(attempts)
    bills: dict[tuple[str, int], list[Bill]] = defaultdict(list)
    strangers: list[Bill] = []
    for bill in found.bills:
        owner = index.owner(bill)
        (bills[owner.job_id, owner.number] if owner else strangers).append(bill)
    entries = [
        _judge(one, bills[one.job_id, one.number], window)
        for one in attempts
        if _may_be_billed(one) or bills[one.job_id, one.number]  # a refused submission may have been taken
    ]
    entries += [_stranger(bill, index, found.tags_missing, window) for bill in strangers]
    return sorted(
        (one for one in entries if window.since <= one.at < window.until and window.tenant in (None, one.tenant)),
        key=lambda one: one.at,
    )


def _may_be_billed(one: Booked) -> bool:
    return one.request_id is not None or one.is_lost or one.is_open or one.is_booked


class _Index:
    """Finds the attempt of a bill."""

    def __init__(self, attempts: Sequence[Booked]) -> None:
        ours = [one for one in attempts if one.provider in CHECKABLE]
        self.by_request = {one.request_id: one for one in ours if one.request_id}
        self.by_tag: Mapping[tuple[str, int | None], Booked] = {(job_tag(one.job_id), one.number): one for one in ours}
        self.jobs = {job_tag(one.job_id): one for one in attempts}

    def owner(self, bill: Bill) -> Booked | None:
        """The attempt that the bill is for. One with a ticket has no other request than the ticket's."""
        if found := self.by_request.get(bill.request_id):
            return found
        tagged = self.by_tag.get((bill.job or "", bill.attempt))
        return tagged if tagged and tagged.request_id is None else None


def _judge(one: Booked, bills: Sequence[Bill], window: Window) -> Entry:
    """The entry of an attempt with its bills."""
    billed = _sum(bills)
    at = max(bill.at for bill in bills) if bills else one.at
    verdict, drift, why = _verdict(one, bills, billed, at > window.now - window.lag_s)
    return Entry(
        verdict=verdict,
        provider=one.provider,
        endpoint=one.endpoint,
        at=at,
        why=why,
        job_id=one.job_id,
        attempt=one.number,
        tenant=one.tenant,
        model=one.model,
        request_ids=tuple(bill.request_id for bill in bills) or ((one.request_id,) if one.request_id else ()),
        booked_usd=one.usd,
        lower_usd=one.lower,
        upper_usd=one.upper,
        billed_usd=billed,
        drift_usd=drift,
    )


def _verdict(one: Booked, bills: Sequence[Bill], billed: float | None, is_new: bool) -> tuple[Verdict, float, str]:
    """The verdict, the drift in US dollars, and the reason."""
    if one.provider not in CHECKABLE:
        return Verdict.NOT_CHECKABLE, 0.0, f"not checkable at {one.provider}"
    if one.is_open:
        return Verdict.PENDING, 0.0, "it has not ended"
    if not bills:
        if is_new:
            return Verdict.PENDING, 0.0, "its bill may still come"
        if one.lower > TOLERANCE_USD:
            return Verdict.BOOKED_NOT_PAID, -one.lower, "there is no bill for it"
        return Verdict.AGREES, 0.0, ""
    if billed is None:
        return Verdict.NOT_CHECKABLE, 0.0, "its bill has no price"
    if not one.is_booked and billed > TOLERANCE_USD:
        return Verdict.PAID_NOT_BOOKED, billed, "its row has no cost"
    drift = outside(billed, one.lower, one.upper)
    if drift:
        return Verdict.DRIFT, drift, "the bill is out of bounds"
    if one.upper is None:
        return Verdict.UNKNOWN, 0.0, "the ledger knows no upper bound"
    return Verdict.AGREES, 0.0, ""


def outside(billed: float, lower: float, upper: float | None) -> float:
    """How far the bill is above the upper bound, or (negative) below the lower one; 0 within."""
    if upper is not None and billed > upper + TOLERANCE_USD:
        return round(billed - upper, 9)
    return round(billed - lower, 9) if billed < lower - TOLERANCE_USD else 0.0


def _stranger(bill: Bill, index: _Index, tags_missing: str | None, window: Window) -> Entry:
    """The entry of a bill that no attempt has."""
    known = index.jobs.get(bill.job or "")
    verdict, why = _verdict_of_stranger(bill, index, tags_missing, window)
    wrong = verdict in WRONG
    return Entry(
        verdict=verdict,
        provider="fal",
        endpoint=bill.endpoint,
        at=bill.at,
        why=why,
        job_id=known.job_id if known else bill.job,
        attempt=bill.attempt,
        tenant=known.tenant if known else None,
        model=known.model if known else None,
        request_ids=(bill.request_id,),
        billed_usd=bill.usd,
        drift_usd=bill.usd or 0.0 if wrong else 0.0,
    )


def _verdict_of_stranger(bill: Bill, index: _Index, tags_missing: str | None, window: Window) -> tuple[Verdict, str]:
    is_new = bill.at > window.now - window.lag_s
    if bill.tags is None and tags_missing:
        return Verdict.NOT_CHECKABLE, "no row has this request, and its tags are not known"
    if bill.tags is None and is_new:
        return Verdict.PENDING, "no row has this request, and its tags may still come"
    if bill.job is None:
        return Verdict.FOREIGN, "it was not sent by us"
    if bill.usd is None:
        return Verdict.NOT_CHECKABLE, "its bill has no price"
    if (bill.job, bill.attempt) in index.by_tag:
        return Verdict.PAID_NOT_BOOKED, f"a second request of attempt {bill.attempt}, which its row does not know"
    if bill.job in index.jobs:
        return Verdict.PAID_NOT_BOOKED, f"its row has no attempt {bill.attempt}"
    if bill.at < window.now - window.kept_s:
        return Verdict.NOT_CHECKABLE, "the row of its job may have expired"
    return Verdict.PAID_NOT_BOOKED, "the ledger has no row of its job"


def _sum(bills: Iterable[Bill]) -> float | None:
    """US dollars; None if there is no bill, or one without a price."""
    sums = [bill.usd for bill in bills]
    known = [usd for usd in sums if usd is not None]
    return round(sum(known), 9) if sums and len(known) == len(sums) else None
