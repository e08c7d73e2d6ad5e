"""The report of a run: each promise with its violations, then the figures as one line of JSON."""

import json
from collections.abc import Callable
from typing import Any

from tests.chaos.checks import tickets_of
from tests.chaos.history import History, Violation
from tests.chaos.payments import by_provider, paid_per_job, paid_twice, payments
from tests.chaos.recovery import Recovery, percentile
from tests.chaos.repeats import told_revoked_and_run

SHOWN = 5
RECOVERY_MAX_S = 10.0


def summary(
    history: History, found: dict[str, list[Violation]], recovered: list[Recovery], kills: int, faults: int, seed: int
) -> dict[str, Any]:
    """Return the figures of a run, by their frozen names."""
    times = [each.seconds for each in recovered if each.seconds is not None]
    attempts = {job: len(row.doc.get("attempts", [])) for job, row in history.rows.items()}
    paid = payments(history)
    return {
        "jobs": len(history.expected_jobs),
        "kills": kills,
        "faults": faults,
        "lost": len(found["no_job_lost"]),
        "paid_twice": paid_twice(paid, attempts),
        "possible_duplicates": possible_duplicates(history),
        "endings_changed": len(found["one_ending"]),
        "orphans": len(history.leftovers),
        "recovery_p50_s": _rounded(percentile(times, 0.5)),
        "recovery_p99_s": _rounded(percentile(times, 0.99)),
        "seed": seed,
        "recoveries": len(times),
        "never_recovered": sum(each.seconds is None for each in recovered),
        "revoked_and_run": told_revoked_and_run(history),
        "providers": by_provider(history),
        "submissions": len(paid),
        "paid_per_job": paid_per_job(paid),
        "strangers": len(history.strangers),
        "violations": {name: len(many) for name, many in found.items() if many},
        "endings": endings(history),
    }


def possible_duplicates(history: History) -> int:
    """Return the number of attempts that are marked as possible duplicates."""
    rows = history.rows.values()
    return sum(bool(attempt.get("possible_duplicate")) for row in rows for attempt in row.doc.get("attempts", []))


def endings(history: History) -> dict[str, int]:
    """Return how many jobs have each state."""
    counts: dict[str, int] = {}
    for expected in history.expected_jobs:
        state = history.results.get(expected.id or "", {}).get("state", "unknown" if not expected.sent else "PENDING")
        counts[state] = counts.get(state, 0) + 1
    return counts


def is_successful(summary: dict[str, Any]) -> bool:
    """Whether all promises hold, nothing is left over, and rows of dead workers were claimed in time."""
    late = summary["recovery_p99_s"] is not None and summary["recovery_p99_s"] > RECOVERY_MAX_S
    broken = ("violations", "strangers", "orphans", "never_recovered")
    return not (late or any(summary[name] for name in broken))


def print_report(
    history: History, found: dict[str, list[Violation]], summary: dict[str, Any], print_line: Callable[[str], None]
) -> None:
    """Print each promise with its first violations and the timelines of their jobs; the JSON comes last."""
    for name, many in found.items():
        print_line(f"{name:16} {'ok' if not many else f'{len(many)} violations'}")
        for violation in many[:SHOWN]:
            print_line(f"    {violation.job or '-'}: {violation.text}")
            for line in job_timeline(history, violation.job):
                print_line(f"        {line}")
    for line in history.strangers[:SHOWN]:
        print_line(f"    strangers: {line}")
    for line in history.leftovers[:SHOWN]:
        print_line(f"    left over: {line}")
    for line in provider_table(by_provider(history)):
        print_line(line)
    print_line(json.dumps(summary))


def provider_table(providers: dict[str, dict[str, float]]) -> list[str]:
    """Return the figures by provider as lines of a table."""
    names = ("jobs", "paid", "paid_per_job", "marked", "marked_paid_twice", "unmarked")
    lines = [f"{'provider':10}" + "".join(f"{name:>19}" for name in names)]
    return lines + [f"{who:10}" + "".join(f"{each[name]:>19}" for name in names) for who, each in providers.items()]


def job_timeline(history: History, job: str | None) -> list[str]:
    """Return what is known of a job, in order of time."""
    row = history.rows.get(job or "")
    versions = history.row_versions.get(job or "", [])
    start = versions[0].at if versions else 0.0
    moves = [f"{version.at - start:+.2f} s {version.stage} (fence {version.fence})" for version in versions]
    history_lines = [
        f"{note.get('at', 0) - start:+.2f} s: {note.get('what')} {note.get('text', '')}"
        for note in _history_entries(row)
    ]
    states = [f"{each.at - start:+.2f} s {each.state} ({each.source})" for each in history.states.get(job or "", [])]
    tickets = [f"tickets: {', '.join(tickets_of(row.doc))}"] if row else []
    return [line for line in ("; ".join(moves), *history_lines, "; ".join(states), *tickets) if line]


def _history_entries(row: Any) -> list[dict[str, Any]]:
    return list(row.doc.get("history", [])) if row else []


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
