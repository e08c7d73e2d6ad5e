"""Possible duplicates on the terminal: two lines for each, and the counts."""

import time
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from worker.cli.screen.audit import usd
from worker.money.duplicates import Doubt, Finding

STYLES = {True: "red", False: "green", None: "yellow"}
WORDS = {True: "paid twice", False: "not paid twice", None: "not known whether it was paid twice"}


def show_findings(out: Console, found: Sequence[Finding], limit: int, sums: Mapping[str, int], rows: int) -> None:
    """Print at most `limit` findings, and the counts of all."""
    for finding in found[:limit]:
        _show(out, finding)
    if len(found) > limit:
        out.print(f"… and {len(found) - limit} more: raise --limit", soft_wrap=True)
    text = f"{rows:,} rows: {sums['possible_duplicates']} possible duplicates, {sums['paid_twice']} paid twice, "
    text += f"{sums['not_paid_twice']} not, {sums['not_known']} not known; {sums['not_repeated']} were not repeated"
    out.print(Text(text, style="bold"), soft_wrap=True)


def _show(out: Console, finding: Finding) -> None:
    doubt = finding.doubt
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(doubt.at))
    head = Text(doubt.job_id, style="cyan")
    head.append(f"  {when}  {doubt.provider} {doubt.endpoint}  {doubt.state}", style="default")
    out.print(head.append(f"  {doubt.tenant or ''}", style="dim"), soft_wrap=True)
    line = Text(f"  {WORDS[finding.was_paid_twice]}", style=STYLES[finding.was_paid_twice])
    out.print(line.append(f": {_attempts(doubt)}; {_price(finding)}; {finding.why}", style="default"), soft_wrap=True)


def _attempts(doubt: Doubt) -> str:
    repeated = f"repeated by attempt {doubt.repeated_by}" if doubt.repeated_by else "not repeated"
    fate = "was found too late" if doubt.request_id else "was lost"
    return f"attempt {doubt.attempt} {fate}, and {repeated}"


def _price(finding: Finding) -> str:
    if finding.usd is not None:
        return f"it cost {usd(finding.usd)} (request {', '.join(finding.request_ids)})"
    if finding.request_ids:
        return f"what it cost is not known (request {', '.join(finding.request_ids)})"
    upper = finding.doubt.upper_usd
    return "it may have cost anything" if upper is None else f"it may have cost up to {usd(upper)}"
