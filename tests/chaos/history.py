"""What was seen of a run, as plain values: the checks read nothing else."""

from dataclasses import dataclass, field
from typing import Any

FINAL_STATES = frozenset({"SUCCESS", "FAILURE", "REVOKED"})
FINAL_STAGES = frozenset({"completed", "failed", "cancelled"})
STATE_OF = {"completed": "SUCCESS", "failed": "FAILURE", "cancelled": "REVOKED"}


@dataclass(frozen=True)
class Wanted:
    """One job as its caller wanted it. `id` is None when the sending raised and nobody told one."""

    number: int
    part: int
    kind: str
    id: str | None
    model: str
    piece: str
    count: int = 1
    sent: bool = True  # delay() returned
    other_ids: tuple[str, ...] = ()  # that a second delay() with the same key returned


@dataclass(frozen=True)
class Seen:
    """A state as a reader of the result backend saw it. `missing`: files of a SUCCESS that our store did not hold then."""

    at: float
    source: str  # published, polled
    state: str
    digest: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sight:
    """A row as it stood at a moment."""

    at: float
    stage: str
    fence: int
    doc: dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A row at the end. `ttl_s` is None for a key that stays for ever."""

    stage: str
    doc: dict[str, Any]
    ttl_s: float | None = None
    due: bool = False


@dataclass(frozen=True)
class File:
    """A file of a SUCCESS, fetched as a stranger would. `problem` is empty when it was whole."""

    job: str
    url: str
    problem: str = ""


@dataclass
class History:
    """Everything that was seen."""

    wanted: list[Wanted] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    sights: dict[str, list[Sight]] = field(default_factory=dict)
    states: dict[str, list[Seen]] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)  # id -> {"state":, "result":}, at the end
    requests: list[dict[str, Any]] = field(default_factory=list)  # the twin's
    files: list[File] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)  # where a secret stands
    fetched_forged: list[str] = field(default_factory=list)  # paths that only a forged webhook names
    leftovers: list[str] = field(default_factory=list)  # keys and processes that belong to nothing


@dataclass(frozen=True)
class Violation:
    """A promise that was not kept."""

    promise: str
    job: str | None
    text: str
