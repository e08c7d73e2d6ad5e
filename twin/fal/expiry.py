"""How long fal stores a result: an hour, and about six minutes if it has 10 KB or more.

As described at https://fal.ai/docs/documentation/model-apis/inference/queue. Where the account stores payloads, fal
keeps results of up to 1 MB for longer; the twin does not, since nobody should count on it.
"""

import json

from twin.fal.job import Job
from twin.pace import Pace

LARGE_BYTES = 10_000


def has_expired(job: Job, now: float, pace: Pace) -> bool:
    """Whether the result of an ended request is stored no more."""
    if job.outcome is None or job.ended_at is None:
        return False
    age_s = now - job.ended_at
    if age_s < min(pace.result_s, pace.large_result_s):
        return False
    is_large = len(json.dumps(job.outcome.body)) >= LARGE_BYTES
    return age_s >= (pace.large_result_s if is_large else pace.result_s)
