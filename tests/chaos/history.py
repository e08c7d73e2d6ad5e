"""The history of a run, as values. The checks read nothing else."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

BAD_ROW = "bad-"  # how the ids of rows begin that `strangers` has broken
FINAL_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
FINAL_STAGES = frozenset({"completed", "failed", "cancelled"})
STATE_OF = {"completed": "SUCCESS", "failed": "FAILURE", "cancelled": "REVOKED"}


@dataclass(frozen=True)
class ExpectedJob:
    """One job that a caller sent. `id` is None if sending raised an error before an id was returned."""

    number: int
    part: int
    kind: str
    id: str | None
    model: str
    piece: str
    count: int = 1
    sent: bool = True  # delay() returned
    other_ids: tuple[str, ...] = ()  # of a second delay() with the same idempotency key
    provider: str = "fal"
    duplicates: str | None = None  # the option of this name; None: the default
    step_of: str | None = None  # the pipeline of which it is a step


@dataclass(frozen=True)
class StateRecord:
    """A state in the result backend. `missing`: files of a SUCCESS that were not yet in the store."""

    at: float
    source: str  # published, polled
    state: str
    digest: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowVersion:
    """A row at one time."""

    at: float
    stage: str
    fence: int
    doc: dict[str, Any]


@dataclass(frozen=True)
class FinalRow:
    """A row at the end of the run. `ttl_s` is None for a key without expiry."""

    stage: str
    doc: dict[str, Any]
    ttl_s: float | None = None
    due: bool = False


@dataclass(frozen=True)
class FetchedFile:
    """A file of a SUCCESS, fetched through its URL. `problem` is empty if the file is complete."""

    job: str
    url: str
    problem: str = ""


@dataclass(frozen=True)
class Death:
    """A worker that was killed."""

    at: float
    worker: str


@dataclass
class History:
    """All records of a run."""

    expected_jobs: list[ExpectedJob] = field(default_factory=list)
    rows: dict[str, FinalRow] = field(default_factory=dict)
    row_versions: dict[str, list[RowVersion]] = field(default_factory=dict)
    states: dict[str, list[StateRecord]] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)  # id -> {"state":, "result":}, at the end
    requests: list[dict[str, Any]] = field(default_factory=list)  # the twin's
    files: list[FetchedFile] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)  # where a secret was found
    fetched_forged: list[str] = field(default_factory=list)  # paths that only a forged webhook names
    deaths: list[Death] = field(default_factory=list)
    noted_cancels: dict[str, float] = field(default_factory=dict)  # id without a row -> when its cancel was noted
    leftovers: list[str] = field(default_factory=list)  # keys, due entries and processes that should be gone
    is_one_version: bool = True  # no older version ran beside this one
    strangers: list[str] = field(default_factory=list)  # what the strangers in the same Redis met
    audit: dict[str, Any] | None = None  # the report of `kilnhand audit`; None if it was not run


@dataclass(frozen=True)
class Violation:
    """One case in which a promise does not hold."""

    promise: str
    job: str | None
    text: str


def result_of_success(history: History, job: str | None) -> dict[str, Any] | None:
    """Return the result of a job that succeeded, else None."""
    meta = history.results.get(job or "", {})
    result = meta.get("result")
    return result if meta.get("state") == "SUCCESS" and isinstance(result, dict) else None


def write(folder: Path, history: History, recoveries: Iterable[Any], summary: dict[str, Any]) -> None:
    """Write the history as JSON lines, one file for each list, and the summary."""
    for name in ("expected_jobs", "requests", "files", "leftovers", "deaths"):
        _write_lines(folder / f"{name}.jsonl", getattr(history, name))
    _write_lines(folder / "recoveries.jsonl", recoveries)
    for name in ("rows", "row_versions", "states", "results"):
        found = getattr(history, name).items()
        _write_lines(folder / f"{name}.jsonl", ({"id": key, name: value} for key, value in found))
    (folder / "audit.json").write_text(json.dumps(history.audit))
    (folder / "summary.json").write_text(json.dumps(summary))


def _write_lines(path: Path, values: Iterable[Any]) -> None:
    with path.open("w") as file:
        for value in values:
            file.write(json.dumps(value, default=asdict) + "\n")
