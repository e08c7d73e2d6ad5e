"""Compares what rows and results say that a job cost with what the twin billed: a part of the promise `money_adds_up`."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tests.chaos.history import FINAL_STAGES, History, result_of_success
from tests.chaos.payments import payments
from tests.chaos.pipelines import steps_by_pipeline

MODELS_WITH_EQUAL_PRICE = {
    "flux-schnell",
    "flux-dev",
    "flux-lora",
}  # where the catalogue and the twin agree on the unit's price
TOLERANCE_USD = 1e-4


def find_miscounted_jobs(history: History) -> Iterator[tuple[str, str]]:
    """Compare sums by job, of a pipeline with those of its steps: the bill lies between the bounds of all attempts together, and equals an exact sum."""
    usd: dict[str | None, float] = defaultdict(float)
    for each in payments(history):
        usd[each.job] += each.usd
    for pipeline, steps in steps_by_pipeline(history).items():
        usd[pipeline] += sum(usd[step] for step in steps)
    for job, row in history.rows.items():
        if row.stage not in FINAL_STAGES:
            continue
        bounds = [_bounds(attempt) for attempt in row.doc.get("attempts", [])]
        lower = sum(low for low, _ in bounds)
        upper = None if any(high is None for _, high in bounds) else sum(high or 0.0 for _, high in bounds)
        if text := _outside(usd[job], lower, upper):
            yield job, f"{text} booked"
        told = (result_of_success(history, job) or {}).get("total_cost")
        if told and (text := _outside(usd[job], told.get("lower_usd", 0.0), told.get("upper_usd"))):
            yield job, f"{text} told to the caller"


def _outside(usd: float, lower: float, upper: float | None) -> str:
    """Return what was billed and the bounds if the bill is not between them, else an empty text."""
    if lower - TOLERANCE_USD <= usd and (upper is None or usd <= upper + TOLERANCE_USD):
        return ""
    return f"{usd:.5f} USD were billed, {lower:.5f} to {'any sum' if upper is None else f'{upper:.5f}'}"


def _bounds(attempt: dict[str, Any]) -> tuple[float, float | None]:
    """The least and the most that an attempt cost, by its row. None: no known limit.

    Without a cost, an attempt that was refused cost nothing; a version before bounds books no other one, either.
    """
    cost, code = attempt.get("cost"), (attempt.get("trouble") or {}).get("code")
    if cost is None:
        return 0.0, None if attempt.get("ticket") or attempt.get("answered") or code == "submit_unknown" else 0.0
    if not cost.get("estimated") and cost.get("usd") is not None:
        return cost["usd"], cost["usd"]
    return cost.get("lower_usd", 0.0), cost.get("upper_usd")


def find_miscounted(row: Any, attempt: dict[str, Any], billed: dict[str, Any]) -> Iterator[str]:
    cost, units = attempt.get("cost"), billed.get("units") or 0.0
    number, model = attempt.get("number"), row.doc.get("step", {}).get("model")
    if cost is None:
        receipt = row.doc.get("receipt") or {"in_time": True}
        is_left = receipt.get("in_time") is None  # a cancelled run whose end is unknown
        if row.stage in FINAL_STAGES and units and not (is_left or receipt.get("cost")):
            yield f"attempt {number}: {units:g} units were billed and none booked"
        return
    if cost.get("estimated") or attempt.get("provider") in {"pipeline", "shared"}:
        return  # the row says that it does not know the cost, or has the sum of its steps
    if (cost.get("units") or 0.0) != units:
        yield f"attempt {number}: {units:g} units were billed, {cost.get('units')} booked"
    elif (
        model in MODELS_WITH_EQUAL_PRICE
        and cost.get("usd") is not None
        and abs(cost["usd"] - (billed.get("usd") or 0.0)) > 1e-6
    ):
        yield f"attempt {number}: {billed.get('usd')} USD were billed, {cost['usd']} booked"
