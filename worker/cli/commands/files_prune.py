"""Carries out `kilnhand files prune` and `kilnhand files url`."""

import asyncio

from rich.text import Text

from worker.cli.errors import CliError
from worker.cli.screen import terminal
from worker.cli.settings import ADVICE_WITHOUT_KEY, read_settings
from worker.errors import KilnhandError
from worker.files.prune import Pruned, prune
from worker.files.signing import SecretMissingError
from worker.files.store import folder_of, open_store


def prune_files(dry_run: bool, as_json: bool) -> int:
    """Delete the files whose time is over, or count them. Raises a `CliError` if the store cannot be read."""
    settings = read_settings()
    try:
        store, folder = open_store(settings.store, settings.gateway), folder_of(settings.store)
        found = asyncio.run(prune(store, settings.store.file_days, folder, dry_run=dry_run))
    except KilnhandError as error:
        raise CliError(f"the files could not be pruned: {_advised(error)}") from error
    if as_json:
        fields = {"dry_run": dry_run, "files": found.files, "bytes": found.bytes, "kept": found.kept}
        terminal.print_json({**fields, "by_tenant_folder": dict(found.by_owner)})
    else:
        _show(found, dry_run, keeps=not settings.store.files_days)
    return 0


def print_url(key: str, days: float | None, as_json: bool) -> int:
    """Print a new URL."""
    from worker.client import url

    read_settings()
    try:
        made = url(key, days)
    except KilnhandError as error:
        raise CliError(_advised(error), status=2) from error
    if as_json:
        terminal.print_json({"key": key, "url": made})
    else:
        print(made)
    return 0


def _advised(error: KilnhandError) -> str:
    return f"{error.message} ({ADVICE_WITHOUT_KEY})" if isinstance(error, SecretMissingError) else error.message


def _show(found: Pruned, dry_run: bool, keeps: bool) -> None:
    out = terminal.out()
    done = "would be deleted" if dry_run else "deleted"
    out.print(Text(f"{found.files:,} files, {found.bytes / 1e6:,.1f} MB {done}; {found.kept:,} kept", style="bold"))
    for owner, count in sorted(found.by_owner.items()):
        out.print(Text(f"  {count:,} of {owner or 'no tenant'}"), soft_wrap=True)
    if keeps:
        out.print(
            Text("KILNHAND_FILES_DAYS is not set: files are kept for ever unless their key says days", style="yellow")
        )
