"""Deletes the files whose time is over. Their keys and ages decide; nothing is known of jobs.

A key says its days (`worker.jobs.file_keys`). One that does not, of a version before or of the command line, has those
that the settings give to its tenant or to all.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from config.file_days import FileDays
from worker.files.base import Store, StoredEntry
from worker.jobs.file_keys import OURS, OUTCOMES, days_of, owner_of, tenant_folder

DAY_S = 86400
OUTCOME_DAYS = 30  # of an outcome that was kept for a ledger that was away, and was not removed
_AT_ONCE = 500


@dataclass
class Pruned:
    """What was deleted, or would be."""

    files: int = 0
    bytes: int = 0
    kept: int = 0
    by_owner: Counter[str] = field(default_factory=Counter)  # files by the folder of their tenant; "" without one


async def prune(
    store: Store, days: FileDays, folder: Path | None, *, dry_run: bool, clock: Callable[[], float] = time.time
) -> Pruned:
    """Delete every file that is older than its days. `folder` is that of a folder store; emptied folders go, too."""
    now, found, batch = clock(), Pruned(), list[str]()
    for prefix in (OURS, OUTCOMES):
        async for entry in store.entries(prefix):
            if not _is_over(entry, days, now):
                found.kept += 1
                continue
            found.files, found.bytes = found.files + 1, found.bytes + entry.bytes
            found.by_owner[owner_of(entry.key) or ""] += 1
            batch.append(entry.key)
            if len(batch) >= _AT_ONCE and not dry_run:
                await _delete(store, batch, folder)
                batch.clear()
    if batch and not dry_run:
        await _delete(store, batch, folder)
    return found


def _is_over(entry: StoredEntry, days: FileDays, now: float) -> bool:
    if entry.key.startswith(OUTCOMES):
        return now - entry.modified_at > OUTCOME_DAYS * DAY_S
    most = days_of(entry.key) or _days_of_owner(owner_of(entry.key), days)
    return most is not None and now - entry.modified_at > most * DAY_S


def _days_of_owner(owner: str | None, days: FileDays) -> int | None:
    by_folder = {tenant_folder(tenant): most for tenant, most in days.tenants.items()}
    return by_folder.get(owner or "", days.default)


async def _delete(store: Store, keys: Iterable[str], folder: Path | None) -> None:
    for key in keys:
        await store.delete(key)
        if folder is not None:
            with suppress(OSError):  # it has another file, or a worker has just made it
                (folder / key).parent.rmdir()
