"""`kilnhand dead messages`: broker messages that no worker could read. They are shown, or dropped."""

import time
from collections.abc import Sequence

from rich.text import Text

from worker.cli.redis_errors import report_redis_errors
from worker.cli.screen import terminal
from worker.cli.settings import read_settings
from worker.ledger.dead_messages import DeadMessage, open_dead_messages

HEAD_CHARS = 200  # of a message on the screen; --json has all that is kept


def list_messages(limit: int, as_json: bool, drop: bool) -> int:
    """Show the messages that were set aside, newest first, and how many there were in all; or empty the list."""
    settings = read_settings().redis
    dead = open_dead_messages(settings.ledger, settings.own_keys)
    try:
        with report_redis_errors("the messages that were set aside cannot be read"):
            if drop:
                terminal.err().print(f"{dead.drop_all()} dropped")
                return 0
            found, counts = dead.newest(limit), dict(dead.counts())
    finally:
        dead.close()
    if as_json:
        terminal.print_json({"messages": [_as_json(each) for each in found], "counts": counts})
    else:
        _show(found, counts)
    return 0


def _as_json(message: DeadMessage) -> dict[str, object]:
    return {
        "at": message.at,
        "queue": message.queue,
        "kind": message.kind,
        "reason": message.reason,
        "raw": message.raw.decode(errors="backslashreplace"),
        "is_cut": message.is_cut,
    }


def _show(messages: Sequence[DeadMessage], counts: dict[str, int]) -> None:
    out = terminal.out()
    for message in messages:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(message.at))
        out.print(Text(f"{when}  {message.queue!a}  {message.kind}", style="cyan"), soft_wrap=True)
        out.print(Text(f"  {message.reason!a}", style="red"), soft_wrap=True)
        out.print(Text(f"  {message.raw[:HEAD_CHARS]!r}", style="dim"), soft_wrap=True)
    total = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
    out.print(f"set aside since Redis was emptied: {total or 'none'}", soft_wrap=True)
