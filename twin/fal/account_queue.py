"""The waiting requests of one account, in the order in which they will start.

Normal priority comes before low; inside a priority the order is first in, first out. Positions are read far more often
than the order changes, so the order is two sorted lists of numbers, and a position is one binary search.
"""

from bisect import bisect_left

from twin.fal.job import Job


class AccountQueue:
    """The waiting requests of one account, and the number of its running ones."""

    def __init__(self) -> None:
        self.running = 0
        self._jobs: dict[int, Job] = {}
        self._normal: list[int] = []
        self._low: list[int] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Append a job to the queue of its priority."""
        self._jobs[job.number] = job
        self._order_of(job).append(job.number)

    def remove(self, job: Job) -> None:
        """Remove a job from any position."""
        order = self._order_of(job)
        del order[bisect_left(order, job.number)]
        del self._jobs[job.number]

    def next_job(self) -> Job | None:
        """Return the job that starts next."""
        order = self._normal or self._low
        return self._jobs[order[0]] if order else None

    def position(self, job: Job) -> int:
        """Return how many jobs start before this one."""
        ahead = len(self._normal) if job.submission.is_low_priority else 0
        return ahead + bisect_left(self._order_of(job), job.number)

    def waiting_count(self, app: str) -> int:
        """Return how many jobs of one app wait here."""
        return sum(job.submission.app == app for job in self._jobs.values())

    def _order_of(self, job: Job) -> list[int]:
        return self._low if job.submission.is_low_priority else self._normal
