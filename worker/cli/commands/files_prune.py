"""Carries out `kilnhand files prune` and `kilnhand files url`."""

import asyncio

from rich.text import Text

from config.settings import Settings
from worker.cli.errors import CliError
from worker.cli.screen import terminal
from worker.cli.settings import ADVICE_WITHOUT_KEY, read_settings
from worker.errors import KilnhandError, ServiceUnavailableError
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
    """Print a new URL. Raises a `CliError` for a file that is not in the store; without access to it, only warns."""
    from worker.client import url

    settings = read_settings()
    try:
        made = url(key, days)
        is_there = asyncio.run(_is_there(settings, key))
    except KilnhandError as error:
        raise CliError(_advised(error), status=2) from error
    if is_there is False:
        raise CliError(f"there is no file {key} in the store")
    if is_there is None:
        terminal.err().print("the store cannot be read from here, so nobody looked whether the file is there")
    if as_json:
        terminal.print_json({"key": key, "url": made})
    else:
        print(made)
    return 0


async def _is_there(settings: Settings, key: str) -> bool | None:
    """Whether the store has the file; None if it cannot be read from this machine."""
    folder = folder_of(settings.store)
    if folder is not None and not folder.is_dir():
        return None
    try:
        async for _ in open_store(settings.store, settings.gateway).read(key):
            return True
    except KeyError:
        return False
    except ServiceUnavailableError:
        return None
    return True  # an empty file


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
