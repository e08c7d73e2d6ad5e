"""Keeps the paid pictures of a list when one of them is finally bad: flagged, black, cut short, gone.

The result has the others, and its `provenance.missing` says why that one is not there.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from worker.engine.endings import error_record
from worker.errors import ExternalServiceError
from worker.files.fetch import Fetched
from worker.files.pieces import find_pieces
from worker.jobs.job import ErrorRecord, Job, Piece, Stage

log = structlog.get_logger(__name__)


def missing_of(answer: Mapping[str, Any], pieces: Sequence[Piece]) -> tuple[ErrorRecord, ...]:
    """Why files of the answer's lists are missing from it. Empty where it has none: `fetch_all` says why."""
    try:
        return tuple(error_record(error) for error in find_pieces(answer, pieces).missing)
    except ExternalServiceError:
        return ()


async def stored_rest(job: Job, rest: Callable[[], Awaitable[Fetched]], **changes: Any) -> Job | None:
    """The stored job with the files that could be had; None if there are none.

    `rest` is `Fetcher.fetch_rest` or `keep_rest` of this job.
    """
    try:
        fetched = await rest()
    except (ExternalServiceError, OSError):
        return None  # the error that led here is the one to report
    missing = tuple(error_record(error) for error in fetched.missing)
    log.warning("files_missing", job=job.id, stored=len(fetched.artefacts), missing=len(missing))
    job = job.with_attempt(missing=(*job.attempts[-1].missing, *missing))
    return job.move(Stage.STORED, artefacts=fetched.artefacts, **changes)
