"""Names equal requests alike: the same task, fields, files and routes, of the same tenant.

A picture counts by its content, so it is fetched for it. Weights, archives, videos, sounds and other files count by
their key or URL: they may have gigabytes. A seed that is left out equals a seed that is left out.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from worker.files.input_refs import row_name
from worker.files.inputs import InputFiles
from worker.jobs.file_arguments import FileArgument
from worker.jobs.file_owners import FileOwners
from worker.jobs.job import Options

PICTURE_BYTES = 100_000_000
_PICTURES = frozenset({"image", "mask"})
_OF_ROUTES = ("tenant", "provider", "providers", "fallback", "allow_degraded", "fallback_on_policy")


async def file_names(
    files: Sequence[FileArgument], inputs: InputFiles | None, owners: FileOwners, tenant: str | None
) -> dict[str, str]:
    """What each file counts by: reference -> name. Raises what `InputFiles.bring` raises."""
    found = dict[str, str]()
    for file in files:
        if file.ref in found:
            continue
        if file.kind in _PICTURES and inputs is not None:
            (media,) = await inputs.bring([file.ref], most_bytes=PICTURE_BYTES, labels=[file.path], tenant=tenant)
            found[file.ref] = f"sha256:{hashlib.sha256(media.data).hexdigest()}"
        else:
            found[file.ref] = owners.key_in(file.ref) or row_name(file.ref)
    return found


def request_name(task: str, fields: Mapping[str, Any], files: Mapping[str, str], options: Options) -> str:
    """One name for all equal requests. `fields` has every field, those that are left out with their defaults."""
    routes = {name: value for name, value in asdict(options).items() if name in _OF_ROUTES}
    plain = json.dumps([task, _named(fields, files), routes], sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()


def _named(value: Any, files: Mapping[str, str]) -> Any:
    """The value with each file under its name."""
    if isinstance(value, Mapping):
        return {name: _named(each, files) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_named(each, files) for each in value]
    return files.get(value, value) if isinstance(value, str) else value
