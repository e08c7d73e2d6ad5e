"""What a run tells: a line every few seconds, each promise with what broke it, and one line of JSON at the end."""

import json
from collections.abc import Callable
from typing import Any

from tests.chaos.checks import tickets_of
from tests.chaos.history import History, Violation
from tests.chaos.payments import paid_per_job, paid_twice, payments
from tests.chaos.recovery import Recovery, percentile

SHOWN = 5
RECOVERY_MAX_S = 10.0


def summary(
    seen: History, found: dict[str, list[Violation]], recovered: list[Recovery], kills: int, faults: int, seed: int
) -> dict[str, Any]:
    """The figures of a run, by their frozen names."""
    times = [each.seconds for each in recovered if each.seconds is not None]
    attempts = {job: len(row.doc.get("attempts", [])) for job, row in seen.rows.items()}
    paid = payments(seen)
    return {
        "jobs": len(seen.wanted),
        "kills": kills,
        "faults": faults,
        "lost": len(found["no_job_lost"]),
        "paid_twice": paid_twice(paid, attempts),
        "possible_duplicates": possible_duplicates(seen),
        "endings_changed": len(found["one_ending"]),
        "orphans": len(seen.leftovers),
        "recovery_p50_s": _rounded(percentile(times, 0.5)),
        "recovery_p99_s": _rounded(percentile(times, 0.99)),
        "seed": seed,
        "recoveries": len(times),
        "never_recovered": sum(each.seconds is None for each in recovered),
        "submissions": len(paid),
        "paid_per_job": paid_per_job(paid),
        "violations": {name: len(many) for name, many in found.items() if many},
        "endings": endings(seen),
    }


def possible_duplicates(seen: History) -> int:
    """Attempts that are marked as such."""
    rows = seen.rows.values()
    return sum(bool(attempt.get("possible_duplicate")) for row in rows for attempt in row.doc.get("attempts", []))


def endings(seen: History) -> dict[str, int]:
    """How many jobs ended how."""
    counts: dict[str, int] = {}
    for wanted in seen.wanted:
        state = seen.results.get(wanted.id or "", {}).get("state", "unknown" if not wanted.sent else "PENDING")
        counts[state] = counts.get(state, 0) + 1
    return counts


def is_well(told: dict[str, Any]) -> bool:
    """Whether all promises hold, nothing was left over, and dead workers' rows were taken over in time."""
    late = told["recovery_p99_s"] is not None and told["recovery_p99_s"] > RECOVERY_MAX_S
    return not (told["violations"] or told["orphans"] or told["never_recovered"] or late)


def tell(seen: History, found: dict[str, list[Violation]], told: dict[str, Any], say: Callable[[str], None]) -> None:
    """Each promise, and the first of what broke it with the job's life; the JSON comes last."""
    for name, many in found.items():
        say(f"{name:16} {'ok' if not many else f'{len(many)} violations'}")
        for violation in many[:SHOWN]:
            say(f"    {violation.job or '-'}: {violation.text}")
            for line in life(seen, violation.job):
                say(f"        {line}")
    for line in seen.leftovers[:SHOWN]:
        say(f"    left over: {line}")
    say(json.dumps(told))


def life(seen: History, job: str | None) -> list[str]:
    """What is known of a job, in order of time."""
    row = seen.rows.get(job or "")
    sights = seen.sights.get(job or "", [])
    start = sights[0].at if sights else 0.0
    moves = [f"{sight.at - start:+.2f} s {sight.stage} (fence {sight.fence})" for sight in sights]
    notes = [f"{note.get('at', 0) - start:+.2f} s: {note.get('what')} {note.get('text', '')}" for note in _notes(row)]
    states = [f"{each.at - start:+.2f} s told {each.state} ({each.source})" for each in seen.states.get(job or "", [])]
    tickets = [f"tickets: {', '.join(tickets_of(row.doc))}"] if row else []
    return [line for line in ("; ".join(moves), *notes, "; ".join(states), *tickets) if line]


def _notes(row: Any) -> list[dict[str, Any]]:
    return list(row.doc.get("history", [])) if row else []


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
