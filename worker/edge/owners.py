"""Whose files are whose: the folder of a new job's files, and the refusal of a job that names another tenant's.

A job is refused before anything is sent, and where it is accepted.

`worker.files.input_refs` checks again where the file is read; a URL that a provider fetches is checked only here.
"""

from functools import cache
from uuid import uuid4

from config.file_days import FileDays
from config.settings import GatewaySettings, StoreSettings
from worker.jobs.file_arguments import file_arguments
from worker.jobs.file_keys import new_folder
from worker.jobs.file_owners import FileOwners
from worker.jobs.job import Options, Step
from worker.jobs.leaves import leaves


def owner_problems(step: Step, tenant: str | None) -> list[tuple[str, str]]:
    """A pair of parameter and message for each file that a job of this tenant may not use.

    A URL of our gateway counts wherever it stands: in `extra`, or in a node of a workflow that nobody knows.
    """
    owners = _owners()
    texts = [*leaves(step.arguments), *leaves(step.extra, "extra")]
    files = {path: text for path, text in texts if owners.key_in(text)}
    files |= {file.path: file.ref for file in file_arguments(step)}
    found = ((path, owners.problem(ref, tenant)) for path, ref in files.items())
    return [(path, problem) for path, problem in found if problem]


def folder_for(options: Options) -> str:
    """The folder of a new job's files, as its row keeps it."""
    return new_folder(_file_days().of(options.tenant, options.labels), uuid4().hex)


@cache
def _file_days() -> FileDays:
    return StoreSettings().file_days


@cache
def _owners() -> FileOwners:
    return FileOwners(GatewaySettings().public_url)
