"""The keys of our own files: how they are made, and which are well formed."""

import hashlib
import re

from worker.errors import KilnhandError

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_KEY_LENGTH = 512
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class BadKeyError(KilnhandError, ValueError):
    """This is not the key of a file."""

    code = "bad_key"


def checked(key: str) -> str:
    """The key itself. `BadKeyError` for one that could leave its folder, hide, or mean something else in a URL."""
    if len(key) > _KEY_LENGTH or not _KEY.fullmatch(key):
        raise BadKeyError(f"not the key of a file: {key[:100]!r}")
    return key


def key_of(job_id: str, name: str, n: int, ending: str) -> str:
    """Where a job's file lies: `jobs/{job_id}/{name}-{n}.{ending}`, so that a second fetch replaces the first.

    Celery lets a caller choose the job id; one that is no file name goes by its hash.
    """
    folder = job_id if _NAME.fullmatch(job_id) else hashlib.sha256(job_id.encode()).hexdigest()
    return checked(f"jobs/{folder}/{name}-{n}.{ending}")
