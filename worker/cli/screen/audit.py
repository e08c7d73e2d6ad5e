"""An audit's report on the terminal: sums, what does not agree, and what could not be checked."""

from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.text import Text

from worker.cli.screen.tables import print_table
from worker.explain.history import usd_text
from worker.money.audit import Entry, Verdict
from worker.money.audit_report import GROUPS, Report, Totals, counts, not_checkable, totals, totals_by

MOST = 50  # entries that are printed; --json has all

WORDS: Mapping[Verdict, str] = {
    Verdict.AGREES: "agree",
    Verdict.DRIFT: "billed out of bounds",
    Verdict.PAID_NOT_BOOKED: "paid and not booked",
    Verdict.BOOKED_NOT_PAID: "booked and not paid",
    Verdict.UNKNOWN: "billed, and booked without a limit",
    Verdict.PENDING: "not over yet",
    Verdict.NOT_CHECKABLE: "not checkable",
    Verdict.FOREIGN: "not ours",
}


def show_report(out: Console, report: Report) -> None:
    """Print the report."""
    _show_totals(out, report.entries)
    for name, key in GROUPS.items():
        _show_group(out, name, totals_by(report.entries, key))
    _show_sums(out, report)
    _show_wrong(out, report.wrong)
    for provider, one in not_checkable(report.entries).items():
        text = f"not checkable at {provider}: {one['attempts']:.0f} attempts, booked {usd(one['booked_usd'])}"
        out.print(Text(text, style="yellow"), soft_wrap=True)
    for note in report.notes:
        out.print(Text(f"! {note}", style="yellow"), soft_wrap=True)
    found = counts(report.entries)
    text = ", ".join(f"{found[verdict]} {WORDS[verdict]}" for verdict in Verdict if found[verdict])
    out.print(Text(f"{report.rows:,} rows, {report.events:,} bills: {text or 'nothing in this time'}"), soft_wrap=True)
    ending = Text("no drift", style="bold green") if report.agrees else Text("drift", style="bold red")
    out.print(ending)


def usd(value: float | None) -> str:
    """US dollars; `no limit` for None."""
    return "no limit" if value is None else usd_text(value)


def _show_totals(out: Console, entries: Iterable[Entry]) -> None:
    one = totals(entries)
    bounds = f"between {usd(one.lower_usd)} and {usd(one.upper_usd)}"
    text = f"booked {usd(one.booked_usd)} ({bounds}), billed {usd(one.billed_usd)}, drift {one.drift_usd:+,.4f} USD"
    out.print(Text(text, style="bold"), soft_wrap=True)
    if one.estimated:
        bounds = f"between {usd(one.estimated_lower_usd)} and {usd(one.estimated_upper_usd)}"
        count = f"{one.estimated} attempt{'s' if one.estimated > 1 else ''}"
        text = f"{usd(one.estimated_usd)} of booked is estimated, for {count}: {bounds}; billed "
        text += f"{usd(one.estimated_billed_usd)}. Drift is only what is billed outside of an attempt's bounds."
        out.print(Text(text), soft_wrap=True)


def _show_group(out: Console, name: str, groups: Mapping[str, Totals]) -> None:
    if not groups:
        return
    rows = []
    for key, one in groups.items():
        sums = [f"{one.attempts:,}", f"{one.booked_usd:,.4f}", f"{one.billed_usd:,.4f}", f"{one.drift_usd:+,.4f}"]
        style = "red" if one.wrong else ""
        rows.append([Text(cell, style=style) for cell in (key, *sums, str(one.wrong or ""))])
    titles = ("attempts", "booked", "billed", "drift", "wrong")
    print_table(out, (name, *titles), rows, right=titles)


def _show_sums(out: Console, report: Report) -> None:
    for check in report.sums:
        bounds = f"{usd(check.lower_usd)} to {usd(check.upper_usd)}"
        text = f"{check.provider} {check.endpoint} in sum: {check.attempts} attempts, {bounds}; billed "
        text += f"{usd(check.billed_usd)} for {check.calls} calls, drift {check.drift_usd:+,.4f} USD"
        out.print(Text(text, style="red" if check.drift_usd else ""), soft_wrap=True)


def _show_wrong(out: Console, entries: list[Entry]) -> None:
    for entry in entries[:MOST]:
        job = f"{entry.job_id or 'no job'}{f' attempt {entry.attempt}' if entry.attempt else ''}"
        text = f"{WORDS[entry.verdict]}: {job}, {entry.endpoint}, request {', '.join(entry.request_ids) or '–'}: "
        booked = usd(entry.booked_usd) if entry.booked_usd is not None else "nothing"
        billed = usd(entry.billed_usd) if entry.billed_usd is not None else "nothing"
        text += f"booked {booked}, billed {billed}; {entry.why}"
        out.print(Text(text, style="red"), soft_wrap=True)
    if len(entries) > MOST:
        out.print(f"… and {len(entries) - MOST} more: --json has all", soft_wrap=True)
