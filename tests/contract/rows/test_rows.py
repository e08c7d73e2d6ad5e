"""A row is a promise between versions: this version and the one before read and write the same rows, in both directions.

`version_before` was recorded by `record`: rows that the version before wrote, its names, and its module of rows. What
happens to a name that it does not know:

| unknown to the version before | what it does |
|---|---|
| a field of a dataclass in a row | ignores it, and drops it when it writes the row: the field needs a default |
| an allowed value (a stage, a priority) | cannot read the row, and sets it aside: the row needs a newer version |
| a field of a row's hash | keeps it: scripts set the fields that they know |
| a signal | keeps it until the ending is decided, and does nothing with it |
| a key | does not read it; it needs an expiry |
| a field of a message in a row | keeps it in the row, and does not put it into a message that it sends |
| a header of a message | receives it, and does nothing with it |
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.chaos.source_copy import ROOT
from tests.contract.rows.newer_fields import NEWER
from tests.contract.rows.record import FOLDER, MODULES
from tests.contract.rows.row_names import all_names
from tests.unit.engine.fakes import FakeFetcher
from tests.unit.engine.world import World
from worker.jobs.job import Artefact, Job, Piece, Stage, Ticket, dump_job, load_job
from worker.ledger.hash import confirmed_doc, read_claim, read_row
from worker.ledger.memory import StoredRow

ROWS = [json.loads(line) for line in (FOLDER / "rows.jsonl").read_text().splitlines()]
BEFORE = set((FOLDER / "names.txt").read_text().splitlines())
OPEN = [row for row in ROWS if row["stage"] not in {"completed", "failed", "cancelled"}]


class NamingFetcher(FakeFetcher):
    """Names a file after its piece, since these jobs promise different pieces."""

    async def fetch_all(
        self, job_id: str, answer: Mapping[str, Any], pieces: Sequence[Piece], *, tenant: str | None = None
    ) -> tuple[Artefact, ...]:
        (found,) = await super().fetch_all(job_id, answer, pieces)
        return tuple(replace(found, name=piece.name, kind=piece.kind) for piece in pieces)


def name_of(row: dict[str, str]) -> str:
    return f"{row['stage']}-{row['id'][:4]}"


@pytest.fixture(scope="module")
def before() -> Iterator[Any]:
    """The module of rows of the version before."""
    name = "rows_of_the_version_before"
    spec = importlib.util.spec_from_file_location(name, FOLDER / "job.py")
    assert spec and spec.loader
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


def test_a_name_that_the_version_before_does_not_know_has_a_reason_why_that_is_safe() -> None:
    newer = all_names() - BEFORE
    assert sorted(newer - NEWER.keys()) == [], "add each to newer_fields.py, with what happens when it is lost"
    assert sorted(NEWER.keys() - newer) == [], "these are not newer any more"
    assert all(len(why.split()) >= 5 for why in NEWER.values())


def test_every_name_of_the_version_before_is_still_there() -> None:
    assert sorted(BEFORE - all_names()) == []


def test_the_version_before_left_rows_of_every_stage() -> None:
    assert {row["stage"] for row in ROWS} == set(Stage)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_a_row_of_the_version_before_is_read_and_written_so_that_it_can_read_it(
    row: dict[str, str], before: Any
) -> None:
    assert before.dump_job(before.load_job(dump_job(load_job(row["doc"])))) == row["doc"].encode()


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_its_hash_is_read(row: dict[str, str]) -> None:
    found = {name.encode(): value.encode() for name, value in row.items()}
    assert read_row(row["id"], found, due_ms=None).job.stage == row["stage"]
    del found[b"id"]
    flat = [each for pair in (found | {b"late": b"0", b"id": row["id"].encode()}).items() for each in pair]
    assert read_claim(flat, now=0.0).job.id == row["id"]


@pytest.mark.parametrize("row", OPEN, ids=name_of)
async def test_its_job_goes_on_and_the_version_before_can_read_every_row_of_it(
    row: dict[str, str], before: Any
) -> None:
    """Each row that this version writes is read by the version before, written by it, and continued by this version."""
    world = World(fetcher=NamingFetcher())
    world.fal.finds = [Ticket("r-1")]
    first = replace(load_job(row["doc"]), queue="generation")  # the queue of this world
    world.now = first.history[-1].at if first.history else first.created_at
    world.ledger.rows[first.id] = StoredRow(first, due=world.now)
    seen: list[Job] = []
    for _ in range(400):
        stored = world.ledger.rows[first.id]
        if not seen or stored.job != seen[-1]:
            seen.append(stored.job)
            stored.job = load_job(before.dump_job(before.load_job(dump_job(stored.job))))
        if stored.job.stage in {Stage.SENT, Stage.CLOSING} and (world.publisher.sent or world.publisher.closed):
            break
        world.now += 0.5
        await world.dispatcher.run_once()
        await world.dispatcher.idle()
    ending = seen[-1].ending
    assert seen[-1].stage == (Stage.SENT if first.stage == Stage.SENT else Stage.CLOSING)
    assert ending == (None if first.stage == Stage.SENT else first.ending or Stage.COMPLETED)


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_unknown_fields_of_a_newer_version_are_ignored(row: dict[str, str]) -> None:
    """As the version before does with our newer fields."""
    doc = json.loads(row["doc"])
    newer = doc | {"newer": 1, "options": doc["options"] | {"newer": 1}}
    assert load_job(json.dumps(newer)) == load_job(row["doc"])


def test_an_ending_is_confirmed_without_losing_a_newer_field() -> None:
    row = next(row for row in ROWS if row["stage"] == "closing")
    doc = confirmed_doc(json.dumps(json.loads(row["doc"]) | {"newer": [1]}).encode(), 5.0)
    assert (json.loads(doc)["newer"], load_job(doc).is_final, load_job(doc).history[-1].what) == ([1], True, "closed")


def test_the_recorded_module_is_that_of_the_commit_if_the_history_has_it() -> None:
    commit = (FOLDER / "commit.txt").read_text().strip()
    for name, path in MODULES.items():
        shown = subprocess.run(["git", "-C", ROOT, "show", f"{commit}:{path}"], capture_output=True, check=False)
        assert shown.returncode != 0 or shown.stdout == (FOLDER / name).read_bytes()
