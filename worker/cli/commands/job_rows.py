"""A job's row as the commands read it, and what is said when there is none."""

from worker.cli.commands.redis_reach import redis_needed
from worker.cli.screen.complaint import Complaint
from worker.ledger.base import Row


def known_row(job_id: str) -> tuple[Row, float]:
    """The row and the ledger's time. Raises a `Complaint` when the ledger knows no such job."""
    from worker.edge.sending import producer

    with redis_needed(f"nothing is known of {job_id}"):
        row, now = producer().row(job_id), producer().now()
    if row is None:
        raise unknown(job_id)
    return row, now


def unknown(job_id: str) -> Complaint:
    """Nobody knows this job, and why that may be."""
    return Complaint(
        f"no job {job_id}: the ledger does not know it. It may be long over and its row forgotten (`kilnhand status "
        f"{job_id}` asks the result backend, too), have been sent by name alone and not be taken by a worker yet, or "
        "live in another Redis (KILNHAND_REDIS_URL)"
    )
