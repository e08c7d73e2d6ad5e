"""`kilnhand duplicates`: submissions that were never found, and whether their jobs were really paid twice."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from config.keys.fal import find_fal_key
from config.settings import Settings
from worker.cli.exit_codes import INTERRUPTED
from worker.cli.redis_errors import report_redis_errors
from worker.cli.screen import terminal
from worker.cli.screen.duplicates import show_findings
from worker.cli.screen.progress_line import ProgressLine
from worker.cli.settings import read_settings
from worker.cli.times import read_time
from worker.errors import ExternalServiceError
from worker.ledger.scan import ledger_time, scan_rows
from worker.money.bills import bills_of_job, bills_of_request
from worker.money.duplicates import Doubt, Finding, doubts, judge
from worker.net.http import open_transport
from worker.providers.base import LostSubmission
from worker.providers.fal.permissions import PermissionMissingError
from worker.providers.fal.platform import FalPlatform, open_platform
from worker.providers.fal.request_list import find_request

AT_ONCE = 8  # calls to fal


def run_duplicates(since: str | None, limit: int, lag_s: float, as_json: bool) -> int:
    """Print them, newest first. Returns 0, or 130 after Ctrl-C. Raises a `CliError` when the ledger cannot be read."""
    settings = read_settings()
    try:
        with ProgressLine() as line, report_redis_errors("the ledger cannot be read"):
            found, rows = asyncio.run(_find(settings, since, lag_s, line))
    except KeyboardInterrupt:
        terminal.err().print("\nInterrupted. This command only reads: nothing was changed.", soft_wrap=True)
        return INTERRUPTED
    sums = count(found)
    if as_json:
        terminal.print_json(
            {"rows": rows, "counts": sums, "duplicates": [finding_as_json(one) for one in found[:limit]]}
        )
    else:
        show_findings(terminal.out(), found, limit, sums, rows)
    return 0


def count(findings: Sequence[Finding]) -> dict[str, int]:
    """How many there are: in all, by what became of them, and of jobs that ended without another attempt."""
    paid = Counter(one.was_paid_twice for one in findings)
    return {
        "possible_duplicates": len(findings),
        "paid_twice": paid[True],
        "not_paid_twice": paid[False],
        "not_known": paid[None],
        "not_repeated": sum(one.doubt.repeated_by is None for one in findings),
    }


def finding_as_json(finding: Finding) -> dict[str, Any]:
    """One finding as JSON fields."""
    doubt = asdict(finding.doubt) | {"known_requests": sorted(finding.doubt.known_requests)}
    return doubt | {
        "was_paid": finding.was_paid,
        "was_paid_twice": finding.was_paid_twice,
        "why": finding.why,
        "request_ids": list(finding.request_ids),
        "usd": finding.usd,
    }


async def _find(settings: Settings, since: str | None, lag_s: float, line: ProgressLine) -> tuple[list[Finding], int]:
    """The findings, newest first, and how many rows were read."""
    now = await ledger_time(settings.redis.ledger)
    first = read_time("--since", since, now) if since else 0.0
    found: dict[tuple[str, int], Doubt] = {}
    rows = 0
    async for batch in scan_rows(settings.redis.ledger, settings.redis.own_keys):
        rows += len(batch.jobs)
        found |= {(one.job_id, one.attempt): one for job in batch.jobs for one in doubts(job) if one.at >= first}
        line.say(f"{rows:,} rows, {len(found)} possible duplicates")
    newest = sorted(found.values(), key=lambda one: one.at, reverse=True)
    return await _judge_all(settings, newest, now, lag_s, line), rows


async def _judge_all(
    settings: Settings, found: Sequence[Doubt], now: float, lag_s: float, line: ProgressLine
) -> list[Finding]:
    key, places = find_fal_key(), asyncio.Semaphore(AT_ONCE)
    if key is None and settings.fal.fal_base_url is None:
        return [Finding(one, None, "fal has no key here") for one in found]
    done = Counter[str]()
    async with open_platform(settings.fal, key, open_transport(AT_ONCE)) as platform:

        async def one(doubt: Doubt) -> Finding:
            async with places:
                finding = await _judge(platform, doubt, now, lag_s)
            done["asked"] += 1
            line.say(f"{done['asked']} of {len(found)} looked up at fal")
            return finding

        return list(await asyncio.gather(*(one(doubt) for doubt in found)))


async def _judge(platform: FalPlatform, doubt: Doubt, now: float, lag_s: float) -> Finding:
    """What the bills say, by tag or by request id; or, if they have no tags, what the list of requests says."""
    if doubt.provider != "fal":
        return Finding(doubt, None, f"not checkable at {doubt.provider}")
    try:
        return judge(doubt, await bills_of_job(platform, doubt.job_id, doubt.at), now, lag_s)
    except PermissionMissingError as error:
        missing = error.message
    except ExternalServiceError as error:
        return Finding(doubt, None, f"the bills cannot be read now: {error.message}")
    if doubt.request_id is None:
        return await _search_list(platform, doubt, missing)
    try:
        return judge(doubt, await bills_of_request(platform, doubt.request_id, doubt.at), now, lag_s)
    except ExternalServiceError as error:
        return Finding(doubt, None, error.message)


async def _search_list(platform: FalPlatform, doubt: Doubt, missing: str) -> Finding:
    """Look for the attempt by its seed. A list without it proves nothing: it may lack requests."""
    if doubt.seed is None:
        return Finding(doubt, None, missing)
    sent = {"seed": doubt.seed}
    lost = LostSubmission(doubt.job_id, doubt.attempt, doubt.endpoint, sent, doubt.at, True, doubt.known_requests)
    try:
        request_ids = (await find_request(platform.http, platform.url, lost)).request_ids
    except ExternalServiceError as error:
        return Finding(doubt, None, f"{missing}; {error.message}")
    if not request_ids:
        return Finding(doubt, None, f"it is not in fal's list; {missing}")
    return Finding(doubt, True, "fal's list of requests has it", request_ids)
