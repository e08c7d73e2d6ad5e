"""`python -m tests.simulation`: see `make simulate`."""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from tests.simulation import sabotage
from tests.simulation.case_line import case_of
from tests.simulation.coverage import Coverage
from tests.simulation.runner import Batch, Found, Options, run, run_case


def main() -> int:
    """Run worlds; 1 when a promise is broken, 130 after Ctrl-C."""
    given = _arguments()
    if given.case:
        return _replay(given.case, given.without)
    options = Options(
        first=given.seed,
        worlds=given.worlds,
        seconds=None if given.worlds else given.seconds,
        without=given.without,
        shrinks=not given.no_shrink,
        lossy=given.lossy,
    )
    report = Report(options, quiet=given.json)
    try:
        run(options, report.add)
    except KeyboardInterrupt:
        report.is_interrupted = True
    report.print_end(as_json=given.json)
    return 130 if report.is_interrupted else int(bool(report.found))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--worlds", type=int, help="how many worlds; without it, as many as --seconds allows")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--without", choices=sabotage.NAMES, help="remove one safety")
    parser.add_argument("--no-shrink", action="store_true", help="print violations as they are found")
    parser.add_argument("--lossy", action="store_true", help="Redis may lose its last second; fewer promises hold")
    parser.add_argument("--json", action="store_true", help="the result as JSON")
    parser.add_argument("--case", help="run one case and tell its story: a line of test_regressions, or a file with it")
    return parser.parse_args()


def _replay(text: str, without: str | None) -> int:
    line = text if text.startswith("Case(") else Path(text).read_text(encoding="utf-8")
    course = run_case(case_of(line), tells=True, without=without)
    print("\n".join(course.story))
    for violation in course.violations:
        print(f"broken: {violation}")
    return int(bool(course.violations))


class Report:
    """What is printed while worlds run, and in the end."""

    def __init__(self, options: Options, quiet: bool) -> None:
        self._options, self._quiet = options, quiet
        self._began = time.monotonic()
        self.worlds, self.found, self.coverage = 0, list[Found](), Coverage()
        self.is_interrupted = False
        self._shown: Counter[str] = Counter()
        self._is_terminal = sys.stderr.isatty() and not quiet

    def add(self, batch: Batch) -> bool:
        """Add some worlds."""
        self.worlds += batch.worlds
        self.coverage.merge(batch.coverage)
        for found in batch.found:
            self.found.append(found)
            self._shown[found.promise] += 1
            if not self._quiet and self._shown[found.promise] <= 3:
                _print_found(found)
        if self._is_terminal:
            self._bar()
        return True

    def _bar(self) -> None:
        passed, options = time.monotonic() - self._began, self._options
        share = self.worlds / options.worlds if options.worlds else passed / (options.seconds or 1.0)
        full = int(30 * min(1.0, share))
        text = f"[{'#' * full}{'.' * (30 - full)}] {self.worlds} worlds, {self.worlds / passed:.0f}/s, "
        sys.stderr.write(f"\r{text}{len(self.found)} broken ")
        sys.stderr.flush()

    def print_end(self, *, as_json: bool) -> None:
        """The figures, and the holes."""
        passed = time.monotonic() - self._began
        broken = Counter(found.promise for found in self.found)
        if as_json:
            print(
                json.dumps(
                    {
                        "worlds": self.worlds,
                        "seconds": round(passed, 1),
                        "broken": broken,
                        "found": [found.__dict__ for found in self.found],
                        "reached": self.coverage.reached(),
                        "holes": self.coverage.holes(),
                        "interrupted": self.is_interrupted,
                    }
                )
            )
            return
        if self._is_terminal:
            sys.stderr.write("\n")
        print(f"{self.worlds} worlds in {passed:.0f} s ({self.worlds / passed:.0f}/s)")
        print("broken: " + (", ".join(f"{name} {count}" for name, count in broken.items()) or "nothing"))
        print("reached: " + ", ".join(f"{name} {count}" for name, count in self.coverage.reached().items()))
        for name, holes in self.coverage.holes().items():
            if holes:
                print(f"never reached, {name}: {', '.join(holes)}")


def _print_found(found: Found) -> None:
    print(f"\nseed {found.seed}: {found.text}")
    print("\n".join(f"    {line}" for line in found.story))
    print(f"  a regression test ({found.faults} faults):\n    {found.line}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
