"""The keys of our own files: how they are made, and which are valid."""

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
    """The key. Raises `BadKeyError` if it could leave its folder, be a hidden file, or be misread in a URL."""
    if len(key) > _KEY_LENGTH or not _KEY.fullmatch(key):
        raise BadKeyError(f"not the key of a file: {key[:100]!r}")
    return key


def key_of(job_id: str, name: str, n: int, ending: str) -> str:
    """The key of a job's file: `jobs/{job_id}/{name}-{n}.{ending}`, so that a second fetch replaces the first.

    In Celery a caller may choose the job id. If the id is not a valid file name, its SHA-256 is used.
    """
    return checked(f"jobs/{_folder(job_id)}/{name}-{n}.{ending}")


def outcome_key(job_id: str, attempt: int) -> str:
    """The key of an attempt's outcome while the ledger is away. It is no file of a job: nobody gets a URL of it."""
    return checked(f"outcomes/{_folder(job_id)}/{attempt}.json")


def _folder(job_id: str) -> str:
    return job_id if _NAME.fullmatch(job_id) else hashlib.sha256(job_id.encode()).hexdigest()
