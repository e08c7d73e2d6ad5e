"""`kilnhand audit`: the ledger's costs compared with the providers' own bills.

It reads all rows and the bills of fal, changes nothing, and says what does not agree. `worker.money.audit` compares.
"""

import asyncio
from dataclasses import dataclass

import httpx

from config.keys.fal import HOW_TO_SET, FalKey, find_fal_key
from config.settings import RedisSettings, Settings
from worker.cli.commands.audit_twin import biller, twin_sums
from worker.cli.errors import CliError
from worker.cli.exit_codes import INTERRUPTED
from worker.cli.redis_errors import report_redis_errors
from worker.cli.screen import terminal
from worker.cli.screen.audit import show_report
from worker.cli.screen.progress_line import ProgressLine
from worker.cli.settings import read_settings
from worker.cli.times import read_time
from worker.errors import ExternalServiceError
from worker.ledger.scan import ledger_time, scan_rows
from worker.money.audit import DAY_S, Window, audit
from worker.money.audit_report import Report, as_json, check_sums
from worker.money.bills import CLOCKS_S, fal_bills
from worker.money.booked import Booked, booked_attempts
from worker.net.http import open_transport
from worker.providers.fal.platform import open_platform

NO_BILLS = 2  # exit status


@dataclass(frozen=True)
class AuditOptions:
    """What the command was asked for; times as they were written."""

    since: str
    until: str | None
    tenant: str | None
    lag_s: float


def run_audit(options: AuditOptions, as_json_: bool) -> int:
    """Print the report. Returns 0 without drift, 1 with drift, 130 after Ctrl-C. Raises a `CliError` of status 2."""
    settings = read_settings()
    key = find_fal_key()
    if key is None and settings.fal.fal_base_url is None:
        raise CliError(f"the bills of fal cannot be read: {HOW_TO_SET}", NO_BILLS)
    try:
        with ProgressLine() as line, report_redis_errors("the ledger cannot be read", NO_BILLS):
            report = asyncio.run(_report(settings, key, options, line))
    except KeyboardInterrupt:
        terminal.err().print("\nInterrupted. An audit only reads: nothing was changed.", soft_wrap=True)
        return INTERRUPTED
    except (ExternalServiceError, httpx.HTTPError) as error:
        raise CliError(f"the bills cannot be read: {error}", NO_BILLS) from error
    if as_json_:
        terminal.print_json(as_json(report))
    else:
        show_report(terminal.out(), report)
    return 0 if report.agrees else 1


async def _report(settings: Settings, key: FalKey | None, options: AuditOptions, line: ProgressLine) -> Report:
    now = await ledger_time(settings.redis.ledger)
    window = _window(options, now, settings)
    rows, notes, booked = await _read_rows(settings.redis, window, line)
    first = min([window.since - DAY_S, *(one.started_at - CLOCKS_S for one in booked)])
    last = min(window.until, now) + CLOCKS_S if window.until >= now else window.until + DAY_S
    async with open_platform(settings.fal, key, open_transport(2)) as platform:
        bills = await fal_bills(
            platform, first, last, lambda count: line.say(f"{rows:,} rows, {count:,} billing events of fal")
        )
    if bills.tags_missing:
        notes.append(f"requests that no row has cannot be told from other uses of the account: {bills.tags_missing}")
    entries = audit(booked, bills, window)
    sums = None if options.tenant else twin_sums(settings, window.since, window.until)
    checks = check_sums(entries, sums, biller) if sums is not None else ()
    return Report(window, tuple(entries), checks, tuple(notes), rows, len(bills.bills))


def _window(options: AuditOptions, now: float, settings: Settings) -> Window:
    since = read_time("--since", options.since, now)
    until = read_time("--until", options.until, now) if options.until else now + CLOCKS_S
    if since >= until:
        raise CliError("--since must be before --until", NO_BILLS)
    kept_s = settings.worker.result_days * DAY_S
    return Window(since, until, now, options.lag_s, kept_s, options.tenant)


async def _read_rows(
    settings: RedisSettings, window: Window, line: ProgressLine
) -> tuple[int, list[str], list[Booked]]:
    """How many rows there are, notes on them, and the attempts that may belong to the window."""
    found: dict[tuple[str, int], Booked] = {}
    rows = unreadable = 0
    async for batch in scan_rows(settings.ledger, settings.own_keys):
        rows, unreadable = rows + len(batch.jobs), unreadable + batch.unreadable
        attempts = (one for job in batch.jobs for one in booked_attempts(job))
        found |= {(one.job_id, one.number): one for one in attempts if one.is_open or one.at >= window.since - DAY_S}
        line.say(f"{rows:,} rows")
    notes = [f"{unreadable} rows could not be read: a newer version wrote them"] if unreadable else []
    return rows, notes, list(found.values())
