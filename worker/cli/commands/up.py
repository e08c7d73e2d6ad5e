"""`kilnhand up`: run Redis, twin, worker, gateway and Flower in one terminal, and end all of them on Ctrl-C."""

import contextlib
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from config.redis_url import read_redis_url
from worker.cli.errors import CliError
from worker.cli.exit_codes import INTERRUPTED
from worker.cli.processes.stack import Child, ChildFailedError, Stack
from worker.cli.processes.state_folder import STATE_FOLDER, lock_folder, write_environment
from worker.cli.processes.stop_signal import StopRequested, StopSignal
from worker.cli.processes.up_plan import Ports, UpPlan, moved_ports, plan_demo, plan_up
from worker.cli.redis_errors import answers, require_servers
from worker.cli.screen import terminal
from worker.cli.screen.log_lines import LogLines
from worker.cli.screen.tables import print_table
from worker.cli.settings import read_settings

LOG_EVERY_S = 0.3
AFTER_ONCE = "These links no longer work: everything ends now. Without ONCE=1 (--once) it all runs on."
EXAMPLE = "submit generation.text_to_image prompt='a red fox'"


def up(ports: Ports, demo: bool, once: bool, every_task: bool = False) -> int:
    """Start everything and run until Ctrl-C; returns the exit status.

    `demo` sends jobs, `once` ends with them. With `every_task`, the demo is one job of every task, and ends with them.
    """
    if once and not demo:
        raise CliError("--once belongs to --demo: kilnhand up --demo --once", status=2)
    folder, console = Path.cwd() / STATE_FOLDER, terminal.out()
    with lock_folder(folder):
        plan = plan_demo(folder, ports) if demo else _plan_up(folder, ports)
        return _Up(plan, folder, console, every_task).run(demo, once or every_task)


def _plan_up(folder: Path, ports: Ports) -> UpPlan:
    settings = read_settings()
    require_servers(settings.redis.given_urls)
    if "redis_url" in settings.redis.model_fields_set and not answers(settings.redis.ledger):
        unset = "unset KILNHAND_REDIS_URL (in the environment or .env), so that `kilnhand up` starts its own"
        raise CliError(
            f"no Redis answers at {read_redis_url(settings.redis.ledger).place}: start it, or {unset}", status=2
        )
    return plan_up(folder, ports, settings)


class _Up:
    def __init__(self, plan: UpPlan, folder: Path, console: Console, every_task: bool) -> None:
        self._plan, self._folder, self._console, self._every_task = plan, folder, console, every_task
        self._stop = StopSignal(kill=self._kill, check=self._check)
        is_demo = plan.cwd == folder
        self._stack = Stack(
            folder, plan.addresses, plan.environment, plan.cwd, persist=not is_demo, pause=self._stop.pause
        )
        self._is_running = False

    def run(self, demo: bool, once: bool) -> int:
        """Start, run the demo or wait, and end everything in every case."""
        with self._stop.listening():
            try:
                return self._run(demo, once)
            except StopRequested:
                return 0 if self._is_running and not once else INTERRUPTED
            except ChildFailedError as error:
                raise CliError(str(error)) from error
            finally:
                self._end()

    def _run(self, demo: bool, once: bool) -> int:
        self._start()
        if demo:
            succeeded = self._run_demo()
            if once:
                stay = f"The files stay in {(self._folder / 'files').relative_to(Path.cwd())}."
                self._hint(stay if self._every_task else f"{AFTER_ONCE} {stay}")
                return 0 if succeeded else 1
        self._is_running = True
        self._show_logs(quiet=demo)
        return 0

    def _run_demo(self) -> bool:
        from worker.cli.demo.run import run_demo, run_every_task

        if self._every_task:
            return run_every_task(self._stack, self._console, self._stop.pause, self._folder)
        return run_demo(self._stack, self._console, self._stop.pause)

    def _start(self) -> None:
        for note in self._plan.notes:
            self._console.print(Text(note, style="bold"))
        starting = f"starting {', '.join(self._plan.processes)} …"
        with self._console.status(starting) if terminal.can_redraw(self._console) else contextlib.nullcontext():
            self._stack.start(*self._plan.processes)
        for name, wanted, port in moved_ports(self._plan, self._stack.addresses):
            self._console.print(Text(f"port {wanted} is taken: {name} listens on {port}", style="yellow"))
        write_environment(self._folder, self._stack.environment)
        self._show_table()

    def _show_table(self) -> None:
        at = self._stack.addresses
        addresses = {
            "redis": at.redis_url,
            "twin": f"{at.twin_url}/_twin/",
            "gateway": at.gateway_url,
            "flower": at.flower_url,
        }
        names = self._stack.children
        rows = [(Text(name, style="bold"), addresses.get(name, f"pid {names[name].pid}")) for name in names]
        print_table(self._console, ("process", "address"), rows)
        self._hint(f"Flower's user and password:  {at.flower_auth}")
        logs = (self._folder / "logs").relative_to(Path.cwd())
        self._hint(f"Logs:  {logs}/<process>.log")
        self._hint("Ctrl-C ends everything.")
        program = "kilnhand" if shutil.which("kilnhand") else sys.argv[0]
        self._hint(f"From another terminal in this folder:  {program} {EXAMPLE}")
        if at.redis_port is not None:
            self._hint(f"For your own backend:  export KILNHAND_REDIS_URL={at.redis_url}\n")

    def _hint(self, text: str) -> None:
        self._console.print(Text(text, style="dim"), soft_wrap=True)

    def _show_logs(self, quiet: bool) -> None:
        """Print the logs of worker and gateway until a signal comes; with `quiet` only wait."""
        shown = () if quiet else ("worker", "gateway")
        lines = LogLines(self._console, {name: self._stack[name].log for name in shown})
        while True:
            lines.show_new()
            self._stop.pause(LOG_EVERY_S)

    def _end(self) -> None:
        with contextlib.suppress(OSError):  # a closed terminal must not prevent the end of the children
            terminal.err().print(Text("ending everything …", style="dim"))
        self._stack.close()

    def _kill(self) -> None:
        self._stack.kill()

    def _check(self) -> None:
        if ended := self._stack.ended():
            raise ChildFailedError("\n\n".join(map(Child.exit_report, ended)))
