"""How far a streamed call is, published while its row is not written."""

import asyncio
from typing import Any

from tests.unit.engine.fakes import FakePublisher
from worker.edge.call_progress import CallProgress
from worker.jobs.job import Job, Options, Stage, Step
from worker.jobs.status import JobStatus
from worker.providers.base import Running


class Rows:
    """A ledger with one row."""

    def __init__(self, stage: Stage = Stage.SUBMITTING) -> None:
        self.stage, self.errors = stage, list[Exception]()

    async def get(self, job_id: str) -> Job:
        if self.errors:
            raise self.errors.pop()
        return Job(job_id, "t", "generation", {}, Step("m", {}, ()), Options(), 0.0, stage=self.stage)


class Shown(FakePublisher):
    """Keeps the statuses."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = list[tuple[JobStatus, bool]]()

    async def publish(self, job: Job, status: JobStatus, milestone: bool) -> None:
        self.shown.append((status, milestone))


def opened(rows: Any, pause_s: float = 0.0) -> tuple[CallProgress, Shown]:
    shown = Shown()
    return CallProgress(rows, shown, lambda: 5.0, pause_s), shown


async def settled(turns: int = 20) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def test_a_report_becomes_a_status() -> None:
    progress, shown = opened(Rows())
    progress.report("a", Running(("node 8 (KSampler): 1/4",), 0.3))
    await settled()
    ((status, is_milestone),) = shown.shown
    assert (status.state, status.progress, status.progress_estimated) == ("IN_PROGRESS", 0.3, False)
    assert status.logs == ["node 8 (KSampler): 1/4"] and is_milestone


async def test_only_the_newest_of_many_reports_is_published_and_a_quarter_is_a_milestone() -> None:
    progress, shown = opened(Rows())
    for share in (0.1, 0.2, 0.3):
        progress.report("a", Running(("x",), share))
    await settled()
    progress.report("a", Running(("y",), 0.4))
    await settled()
    assert [(status.progress, milestone) for status, milestone in shown.shown] == [(0.3, True), (0.4, True)]


async def test_a_job_that_is_not_in_its_call_any_more_is_left_alone() -> None:
    progress, shown = opened(Rows(Stage.WAITING))
    progress.report("a", Running())
    await settled()
    assert shown.shown == []


async def test_an_error_of_redis_stops_no_call_and_no_later_report() -> None:
    rows = Rows()
    rows.errors.append(OSError("away"))
    progress, shown = opened(rows)
    progress.report("a", Running())
    await settled()
    progress.report("a", Running())
    await settled()
    assert len(shown.shown) == 1


async def test_providers_that_report_are_listened_to() -> None:
    class Reports:
        listener = None

    progress, _ = opened(Rows())
    reports = Reports()
    progress.listen_to([reports, object()])
    assert reports.listener == progress.report
    progress.report("a", Running())
    await progress.aclose()
