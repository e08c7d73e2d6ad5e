"""Reads a job's row from the ledger; the error for a job that does not exist."""

from worker.cli.errors import CliError
from worker.cli.redis_errors import report_redis_errors
from worker.errors import UnknownJobError
from worker.ledger.base import Row


def load_row(job_id: str) -> tuple[Row, float]:
    """The row and the ledger's time, in seconds since the epoch. Raises a `CliError` if the ledger has no such job."""
    from worker.edge.sending import producer

    with report_redis_errors(f"job {job_id} cannot be read"):
        row, now = producer().row(job_id), producer().now()
    if row is None:
        raise unknown_job_error(job_id)
    return row, now


def unknown_job_error(job_id: str) -> CliError:
    """The error for a job that the ledger does not know, with the possible reasons."""
    return CliError(
        f"no job {job_id}: the ledger does not know it. Possible reasons: it ended long ago and its row has expired "
        f"(`kilnhand status {job_id}` also asks the result backend), it was sent by name only and no worker has taken "
        "it yet, or it is in another Redis (KILNHAND_REDIS_URL)",
        code=UnknownJobError.code,
    )
