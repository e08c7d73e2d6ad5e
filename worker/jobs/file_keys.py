"""The keys of our own files: how they are made, which are valid, and whose file a key names.

`jobs/d{days}/t-{tenant}/{random}/{name}-{n}.{ending}`, without the days if the file is kept for ever, and without the
tenant if there is none. The days come first, so that a bucket's rule can name them for all tenants. Versions before
used the job's id in place of the tenant and the random part. A job id is no secret, and may be used again when its row
is forgotten: an old URL would then show another job's file.
"""

import hashlib
import re
from pathlib import PurePosixPath

from worker.errors import KilnhandError
from worker.jobs.job import Job

OURS = "jobs/"  # the prefix of every key of a job's file
OUTCOMES = "outcomes/"
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_KEY_LENGTH = 512
_NUMBER = re.compile(r"-(\d+)\.[^/.]*$")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_UPLOADED = re.compile(r"/[0-9a-f]{64}/([^/]+)-0\.([^/.]+(?:\.gz)?)$")  # the folders of jobs have other lengths
_DAYS = re.compile(r"d([1-9]\d{0,3})")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


class BadKeyError(KilnhandError, ValueError):
    """This is not the key of a file."""

    code = "bad_key"


def checked(key: str) -> str:
    """The key. Raises `BadKeyError` if it could leave its folder, be a hidden file, or be misread in a URL."""
    if len(key) > _KEY_LENGTH or not _KEY.fullmatch(key):
        raise BadKeyError(f"not the key of a file: {key[:100]!r}")
    return key


def key_of(folder: str, name: str, n: int, ending: str) -> str:
    """The key of a file in a job's folder. It is always the same, so that a second fetch replaces the first."""
    return checked(f"{OURS}{folder}/{name}-{n}.{ending}")


def uploaded_key(tenant: str | None, digest: str, name: str, ending: str) -> str:
    """The key of a caller's file with this SHA-256 and name. The name is kept, as far as a key may have it."""
    stem = _NOT_IN_A_NAME.sub("_", PurePosixPath(name).stem)[:64]
    return key_of(in_tenant(tenant, digest), stem if _NAME.fullmatch(stem) else "input", 0, ending)


def uploaded_name(key: str) -> str | None:
    """The name of a caller's own file, `cat.jpg`, by its key; None for the key of a job's file."""
    found = _UPLOADED.search(key) if key.startswith(OURS) else None
    return f"{found[1]}.{found[2]}" if found else None


def number_of(key: str) -> int:
    """The number of a file among those of its name, as `key_of` was given it."""
    found = _NUMBER.search(key)
    return int(found[1]) if found else 0


def job_folder(job: Job) -> str:
    """The folder of a job's files under `jobs/`, below the one of its tenant.

    The random part is on the row from its acceptance on. A row that a version before has written lacks it; then the
    hash of id and creation time is used, which is no other job's either.
    """
    days, _, own = job.folder.rpartition("/")
    folder = in_tenant(job.options.tenant, own or _birth(job))
    return f"{days}/{folder}" if days else folder


def new_folder(days: int | None, random: str) -> str:
    """What a row keeps of its folder: how many days its files are kept, and the random part."""
    return f"d{days}/{random}" if days else random


def in_tenant(tenant: str | None, folder: str) -> str:
    """A folder below its tenant's."""
    return f"{tenant_folder(tenant)}/{folder}" if tenant else folder


def tenant_folder(tenant: str) -> str:
    """The folder of a tenant: its name, or a hash if the name is not a valid file name. No two tenants share one."""
    return f"t-{tenant}" if _NAME.fullmatch(tenant) else f"h-{hashlib.sha256(tenant.encode()).hexdigest()}"


def owner_of(key: str) -> str | None:
    """The folder of the tenant that a file belongs to; None for a file of no tenant."""
    parts = key.split("/")[1:]
    if days_of(key):
        parts = parts[1:]
    return parts[0] if len(parts) > 2 else None


def days_of(key: str) -> int | None:
    """How many days a file is kept, by its key; None if the key does not say it."""
    parts = key.split("/")
    found = _DAYS.fullmatch(parts[1]) if len(parts) > 3 else None
    return int(found[1]) if found else None


def is_of_tenant(key: str, tenant: str | None) -> bool:
    """Whether a file belongs to this tenant, or to none if `tenant` is None."""
    return owner_of(key) == (tenant_folder(tenant) if tenant else None)


def outcome_key(job: Job) -> str:
    """The key of the last attempt's outcome while the ledger is away. Nobody gets a URL of it."""
    return checked(f"{OUTCOMES}{_birth(job)}/{job.attempts[-1].number}.json")


def _birth(job: Job) -> str:
    """A hash that a job has for itself, also if its id is used again later."""
    return hashlib.sha256(f"{job.id}\n{job.created_at}".encode()).hexdigest()[:32]
