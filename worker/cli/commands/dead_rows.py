"""`kilnhand dead rows`: rows that no worker could read and that were set aside. They are shown, or made due again."""

import time
from dataclasses import asdict

from rich.text import Text

from worker.cli.commands.dead_list import query_ledger
from worker.cli.errors import CliError
from worker.cli.screen import terminal


def list_rows(as_json: bool, retry: str | None) -> int:
    """Show the rows, oldest first; or make one due again. Raises a `CliError` if that one is not among them."""
    if retry is not None:
        if not query_ledger(lambda ledger: ledger.retry_bad_row(retry)):
            raise CliError(f"{retry} was not set aside: see `kilnhand dead rows`")
        terminal.err().print(f"{retry} is due again")
        return 0
    rows = query_ledger(lambda ledger: ledger.bad_rows())
    found = sorted(rows.items(), key=lambda each: each[1].at)
    if as_json:
        terminal.print_json({"rows": [{"job_id": job_id, **asdict(row)} for job_id, row in found]})
        return 0
    out = terminal.out()
    for job_id, row in found:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.at))
        out.print(Text(f"{job_id!a}  {when}  {row.queue!a}", style="cyan"), soft_wrap=True)
        out.print(Text(f"  {row.reason!a}", style="red"), soft_wrap=True)
    if not found:
        out.print("no rows were set aside")
    return 0
