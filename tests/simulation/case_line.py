"""A case as one line of Python, which is a regression test in `test_regressions`."""

from dataclasses import fields
from typing import Any

from tests.simulation.plan import Order, Plan
from tests.simulation.world import Case


def line_of(case: Case, faults: dict[str, str]) -> str:
    """The line. `eval` in this module's namespace makes the case again."""
    return f"Case({case.seed}, {_call(case.plan)}, {faults!r}),"


def case_of(line: str) -> Case:
    """The case of a line."""
    found = eval(line.strip().rstrip(","), {"Case": Case, "Plan": Plan, "Order": Order})
    assert isinstance(found, Case)
    return found


def _call(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(_call(each) for each in value)},)"
    if not isinstance(value, Plan | Order):
        return repr(value)
    given = []
    for field in fields(value):
        if (mine := getattr(value, field.name)) != field.default:
            given.append(f"{field.name}={_call(mine)}")
    return f"{type(value).__name__}({', '.join(given)})"
