"""Ends a run with `kilnhand audit`: the ledger compared with the twin's bills."""

import importlib.util
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.chaos.history import History
from worker.cli.processes.specs import KILNHAND

COMMAND = "worker.cli.commands.audit"
OPTIONS = ("audit", "--json", "--since", "24h", "--lag", "0")
WRONG = {"drift", "paid_not_booked", "booked_not_paid"}
DRIFT, TIMEOUT_S = 1, 120.0


def run_audit(environment: Mapping[str, str], folder: Path) -> dict[str, Any] | None:
    """Return the report of the audit, or what went wrong as `error`; None if this version has no such command."""
    if importlib.util.find_spec(COMMAND) is None:
        return None
    ran = subprocess.run(
        [*KILNHAND, *OPTIONS], env=dict(environment), cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip
    if ran.returncode not in {0, DRIFT}:
        return {"error": f"status {ran.returncode}: {ran.stderr.strip()[-500:]}"}
    return dict(json.loads(ran.stdout))


def find_drift(history: History) -> Iterator[tuple[str | None, str]]:
    """Return each attempt and each sum of the audit whose bill is not what was booked."""
    report = history.audit or {}
    if error := report.get("error"):
        yield None, f"kilnhand audit failed: {error}"
    for entry in report.get("entries", []):
        if entry["verdict"] in WRONG:
            shown = {name: entry.get(name) for name in ("verdict", "provider", "attempt", "booked_usd", "billed_usd")}
            yield entry.get("job_id"), f"audit: {shown}"
    for check in report.get("sums", []):
        if check.get("drift_usd"):
            yield None, f"audit of {check['provider']} {check['endpoint']}: {check}"
