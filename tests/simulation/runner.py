"""Runs the worlds of many seeds on every core, and shrinks those that break a promise."""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing.pool import AsyncResult

from tests.simulation import sabotage
from tests.simulation.case_line import line_of
from tests.simulation.coverage import Coverage
from tests.simulation.plan import plan_of
from tests.simulation.seams import Seams, quiet_logs
from tests.simulation.shrink import kind_of, shrink
from tests.simulation.world import Case, Course, World

BATCH = 20
SCRIPTED_EVERY = 10  # one world in so many has its rows in a real Redis; it takes three times as long
_seams: Seams | None = None


@dataclass(frozen=True)
class Found:
    """A violation, shrunk."""

    seed: int
    promise: str
    kind: str
    text: str
    faults: int
    line: str
    story: tuple[str, ...]


@dataclass
class Batch:
    """What a few worlds came to."""

    worlds: int = 0
    found: list[Found] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)


@dataclass(frozen=True)
class Options:
    """What to run."""

    first: int = 0
    worlds: int | None = None
    seconds: float | None = None
    without: str | None = None
    shrinks: bool = True
    lossy: bool = False
    most_found: int = 5  # of one promise, in one process
    processes: int = field(default_factory=lambda: os.cpu_count() or 1)


def seams_of(without: str | None = None) -> Seams:
    """The seams of this process, installed once."""
    global _seams
    if _seams is None:
        quiet_logs()
        _seams = Seams().install()
        sabotage.apply(without)
    return _seams


def remove_seams() -> None:
    """Put everything in this process back."""
    global _seams
    if _seams is not None:
        _seams.remove()
        _seams = None


def run_case(case: Case, *, tells: bool = False, without: str | None = None) -> Course:
    """Run one world."""
    return World(case, seams_of(without), tells=tells).run()


def run(options: Options, report: Callable[[Batch], bool]) -> None:
    """Run until the worlds or the seconds are over, or `report` returns False."""
    began = time.monotonic()
    context = multiprocessing.get_context("spawn")
    batches = _batches(options, began)
    with context.Pool(options.processes, _start, (options.without,)) as pool:
        running: deque[AsyncResult[Batch]] = deque()
        try:
            while True:
                for work in islice(batches, 2 * options.processes - len(running)):
                    running.append(pool.apply_async(_run_batch, (work,)))
                if not running or not report(running.popleft().get()):
                    break
        finally:
            pool.terminate()
            pool.join()


def _batches(options: Options, began: float) -> Iterator[tuple[int, int, Options]]:
    first = options.first
    while options.worlds is None or first < options.first + options.worlds:
        if options.seconds is not None and time.monotonic() - began > options.seconds:
            return
        last = first + BATCH if options.worlds is None else min(first + BATCH, options.first + options.worlds)
        yield first, last, options
        first = last


def _start(without: str | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    seams_of(without)


def _run_batch(work: tuple[int, int, Options]) -> Batch:
    first, last, options = work
    batch = Batch()
    for seed in range(first, last):
        is_scripted = options.without is None and not options.lossy and seed % SCRIPTED_EVERY == 0
        plan = replace(plan_of(seed), is_lossy=options.lossy, is_scripted=is_scripted)
        course = run_case(Case(seed, plan), without=options.without)
        batch.worlds += 1
        batch.coverage.add(course)
        if course.violations:
            batch.found.append(found_of(course, options))
    return batch


def found_of(course: Course, options: Options) -> Found:
    """The violation with its smallest schedule."""
    smallest = shrink(course, run_case) if options.shrinks else course
    told = run_case(Case(smallest.case.seed, smallest.case.plan, smallest.faults), tells=True)
    wanted = kind_of(course)
    violation = next(each for each in told.violations if (each.promise, each.kind) == wanted)
    line = line_of(smallest.case, smallest.faults)
    return Found(
        course.case.seed,
        violation.promise,
        violation.kind,
        str(violation),
        len(smallest.faults),
        line,
        tuple(told.story),
    )
