"""`kilnhand up`: Redis, twin, worker, gateway and Flower in one terminal, and their sure end."""

import contextlib
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from worker.cli.commands.settings import read_settings
from worker.cli.processes.house import Child, ChildFailedError, House
from worker.cli.processes.plan import Plan, Ports, plan_demo, plan_up
from worker.cli.processes.running import FOLDER, announce, only_one
from worker.cli.processes.stop import Stop, Stopped
from worker.cli.screen import terminal
from worker.cli.screen.complaint import Complaint
from worker.cli.screen.log_lines import LogLines

INTERRUPTED = 130
GLANCE_S = 0.3
TRY = "submit generation.text_to_image prompt='a red fox'"


def up(ports: Ports, demo: bool, once: bool) -> int:
    """Start everything and stay until Ctrl-C; the exit status. `demo` submits jobs, `once` ends with them."""
    if once and not demo:
        raise Complaint("--once belongs to --demo: kilnhand up --demo --once", status=2)
    folder, console = Path.cwd() / FOLDER, terminal.out()
    with only_one(folder):
        plan = plan_demo(folder, ports) if demo else plan_up(folder, ports, read_settings())
        return _Up(plan, folder, console).run(demo, once)


class _Up:
    def __init__(self, plan: Plan, folder: Path, console: Console) -> None:
        self._plan, self._folder, self._console = plan, folder, console
        self._stop = Stop(kill=self._kill, watch=self._watch)
        self._house = House(
            folder, plan.addresses, plan.environment, plan.cwd, keep=plan.cwd != folder, pause=self._stop.pause
        )
        self._steady = False

    def run(self, demo: bool, once: bool) -> int:
        """Start, show, work or wait, and end everything whatever happens."""
        with self._stop.listening():
            try:
                return self._work(demo, once)
            except Stopped:
                return 0 if self._steady and not once else INTERRUPTED
            except ChildFailedError as error:
                raise Complaint(str(error)) from error
            finally:
                self._end()

    def _work(self, demo: bool, once: bool) -> int:
        self._start()
        if demo:
            from worker.cli.demo.run import run_demo

            well = run_demo(self._house, self._console, self._stop.pause)
            if once:
                return 0 if well else 1
        self._steady = True
        self._stay(quiet=demo)
        return 0

    def _start(self) -> None:
        for note in self._plan.notes:
            self._console.print(Text(note, style="bold"))
        with self._console.status(f"starting {', '.join(self._plan.parts)} …"):
            self._house.start(*self._plan.parts)
        announce(self._folder, self._house.environment)
        self._show_table()

    def _show_table(self) -> None:
        at = self._plan.addresses
        where = {
            "redis": at.redis_url,
            "twin": f"{at.twin_url}/_twin/",
            "gateway": at.gateway_url,
            "flower": f"{at.flower_url}  (user and password {at.flower_auth})",
        }
        table = Table(box=None, padding=(0, 3, 0, 0), header_style="dim")
        for column in ("part", "address", "log"):
            table.add_column(column, no_wrap=True)
        for name, child in self._house.children.items():
            log = child.log.relative_to(Path.cwd())
            table.add_row(
                Text(name, style="bold"), where.get(name, f"process {child.pid}"), Text(str(log), style="dim")
            )
        self._console.print(table)
        self._console.print(Text("Ctrl-C ends everything.", style="dim"))
        program = "kilnhand" if shutil.which("kilnhand") else sys.argv[0]
        self._console.print(
            Text(f"From another terminal in this folder:  {program} {TRY}", style="dim"), soft_wrap=True
        )
        told = f"For a backend of yours:  export KILNHAND_REDIS_URL={at.redis_url}\n"
        self._console.print(Text(told, style="dim"), soft_wrap=True)

    def _stay(self, quiet: bool) -> None:
        shown = () if quiet else ("worker", "gateway")
        lines = LogLines(self._console, {name: self._house[name].log for name in shown})
        while True:
            lines.show_new()
            self._stop.pause(GLANCE_S)

    def _end(self) -> None:
        """A terminal that has gone must not keep us from ending the children."""
        with contextlib.suppress(OSError):
            terminal.err().print(Text("ending everything …", style="dim"))
        self._house.close()

    def _kill(self) -> None:
        self._house.kill()

    def _watch(self) -> None:
        if dead := self._house.dead():
            raise ChildFailedError("\n\n".join(map(Child.obituary, dead)))
