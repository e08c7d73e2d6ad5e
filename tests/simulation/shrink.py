"""Makes the world of a violation small: fewer faults, fewer calls, fewer workers, as long as it breaks the same promise."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from tests.simulation.plan import Order, Plan
from tests.simulation.world import Case, Course

Run = Callable[[Case], Course]


def shrink(course: Course, run: Run, tries: int = 400) -> Course:
    """The smallest course that was found. Each try runs a world."""
    wanted = kind_of(course)
    best, left = course, tries

    def breaks(case: Case) -> Course | None:
        nonlocal left
        if left <= 0:
            return None
        left -= 1
        found = run(case)
        return found if any((each.promise, each.kind) == wanted for each in found.violations) else None

    if fixed := breaks(replace(course.case, faults=course.faults)):
        best = fixed
    is_smaller = True
    while is_smaller and left > 0:
        is_smaller = False
        for case in _smaller(best.case, best.faults):
            if found := breaks(case):
                best, is_smaller = found, True
                break
    return best


def kind_of(course: Course) -> tuple[str, str]:
    """The promise and the kind of the violation that counts most."""
    return course.violations[0].promise, course.violations[0].kind


def _smaller(case: Case, faults: Mapping[str, str]) -> Iterator[Case]:
    """Cases that are a little smaller, those that promise most first."""
    names = list(faults)
    size = len(names) // 2
    while size:
        for first in range(0, len(names), size):
            kept = [name for name in names if name not in names[first : first + size]]
            yield replace(case, faults={name: faults[name] for name in kept})
        size //= 2
    used = {name: faults[name] for name in names}
    for plan in _smaller_plans(case.plan):
        yield replace(case, plan=plan, faults=used)


def _smaller_plans(plan: Plan) -> Iterator[Plan]:
    for order in plan.orders if len(plan.orders) > 1 else ():
        yield replace(plan, orders=tuple(each for each in plan.orders if each != order))
    if plan.workers > 1:
        yield replace(plan, workers=plan.workers - 1)
    for order in plan.orders:
        for simpler in _simpler(order):
            yield replace(plan, orders=tuple(simpler if each == order else each for each in plan.orders))
    plain = Plan(plan.workers, plan.orders)
    for field in ("webhooks", "list_lag_s", "list_is_forbidden", "list_fails", "soon", "late_workers_s"):
        if getattr(plan, field) != getattr(plain, field):
            yield replace(plan, **{field: getattr(plain, field)})


def _simpler(order: Order) -> Iterator[Order]:
    if order.stop:
        yield replace(order, stop="", stop_s=0.0)
    if order.deadline_s is not None:
        yield replace(order, deadline_s=None)
    if order.duplicates is not None:
        yield replace(order, duplicates=None)
    if order.is_video:
        yield replace(order, is_video=False)
    if order.at_s:
        yield replace(order, at_s=0.0)
    if order.kind != "job":
        yield replace(order, kind="job")
