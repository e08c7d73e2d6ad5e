"""The tags that a submission carries to fal (`X-Fal-Tags`), by which its billing events are found again.

fal allows at most 10 pairs, keys of `a-z0-9._-`, values of printable ASCII without a comma up to 256 characters, and
drops the others without an error (https://fal.ai/docs/documentation/model-apis/request-tags).
"""

import hashlib
import re

JOB, ATTEMPT = "job", "attempt"
_VALUE = re.compile(r"[A-Za-z0-9._-]{1,200}")


def tag_header(job_id: str, attempt: int) -> str:
    """The header's value for one attempt of a job."""
    return f"{JOB}={job_tag(job_id)},{ATTEMPT}={attempt}"


def job_tag(job_id: str) -> str:
    """The value of the tag `job`: the job's id, or its hash where fal does not allow its characters in a tag."""
    return job_id if _VALUE.fullmatch(job_id) else hashlib.sha256(job_id.encode()).hexdigest()
