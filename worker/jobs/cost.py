"""What an attempt costs, and how much that sum is worth: exact, estimated or unknown. Pure.

`worker.money` computes costs. This module has their value, because a row, a status and a result contain it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import computed_field

Certainty = Literal["exact", "estimated", "unknown"]


@dataclass(frozen=True)
class Cost:
    """US dollars, with the bounds between which the bill lies, and the billed units.

    `usd` is the bill if it is exact, otherwise the most likely sum; None if no price is known. `upper_usd` is None if
    the bill has no known limit. A version before the bounds drops them when it writes a row. Such a cost is read as
    before: `estimated` still says whether it is exact, and an estimate without bounds counts as unknown.
    """

    usd: float | None
    units: float | None
    per: str | None
    estimated: bool
    lower_usd: float = 0.0
    upper_usd: float | None = None

    def __post_init__(self) -> None:
        """An exact cost is its own bounds, also one from a row that has none."""
        if not self.estimated and self.usd is not None:
            object.__setattr__(self, "lower_usd", self.usd)
            object.__setattr__(self, "upper_usd", self.usd)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def certainty(self) -> Certainty:
        """What the sum is worth: `exact` is the bill, `estimated` lies between the bounds, `unknown` has no limit."""
        if self.upper_usd is None:
            return "unknown"
        return "estimated" if self.estimated else "exact"


NOTHING_BILLED = Cost(0.0, 0.0, None, estimated=False)
UNKNOWN_COST = Cost(None, None, None, estimated=True)


def sum_of(costs: Iterable[Cost]) -> Cost:
    """One cost for all of them. It is exact if all are exact, and has an upper bound if all have one."""
    found = list(costs)
    known = [cost.usd for cost in found if cost.usd is not None]
    uppers = [cost.upper_usd for cost in found if cost.upper_usd is not None]
    priced = [cost for cost in found if cost.usd != 0 or cost.units]
    pers = {cost.per for cost in priced}
    units = [cost.units for cost in priced if cost.units is not None]
    is_one_unit = len(pers) == 1 and len(units) == len(priced)
    return Cost(
        usd=_rounded(sum(known)) if known or not found else None,
        units=(sum(units) if is_one_unit else None) if priced else 0.0,
        per=pers.pop() if is_one_unit else None,
        estimated=any(cost.certainty != "exact" for cost in found),
        lower_usd=_rounded(sum(cost.lower_usd for cost in found)),
        upper_usd=_rounded(sum(uppers)) if len(uppers) == len(found) else None,
    )


def _rounded(usd: float) -> float:
    """Without the error of adding binary fractions: a billionth of a dollar is less than any price of a token."""
    return round(float(usd), 9)
