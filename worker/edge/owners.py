"""Refuses a job that names a file of another tenant, before anything is sent and where the job is accepted.

`worker.files.input_refs` checks again where the file is read; a URL that a provider fetches is checked only here.
"""

from functools import cache

from config.settings import GatewaySettings
from worker.jobs.file_arguments import file_arguments, leaves
from worker.jobs.file_owners import FileOwners
from worker.jobs.job import Step


def owner_problems(step: Step, tenant: str | None) -> list[tuple[str, str]]:
    """A pair of parameter and message for each file that a job of this tenant may not use, also inside `extra`."""
    owners = _owners()
    files = [(file.path, file.ref) for file in file_arguments(step)]
    files += [(path, text) for path, text in leaves(step.extra, "extra") if owners.key_in(text)]
    found = ((path, owners.problem(ref, tenant)) for path, ref in files)
    return [(path, problem) for path, problem in found if problem]


@cache
def _owners() -> FileOwners:
    return FileOwners(GatewaySettings().public_url)
