"""`kilnhand demo`: sends different jobs, or one of every task, follows them, fetches their results and checks them."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from worker.cli.demo.check import file_problems
from worker.cli.demo.every_task import send_every_task, set_quick_pace, show_table
from worker.cli.demo.jobs import DemoJob, send_jobs, set_pace
from worker.cli.demo.sheet import write_sheet
from worker.cli.follow import follow
from worker.cli.job_snapshot import JobSnapshot, read_snapshot
from worker.cli.processes.stack import Stack
from worker.cli.screen.progress import open_display
from worker.cli.screen.results import files_in, show_files, summary

TIMEOUT_S = 180.0
TIMEOUT_OF_ALL_S = 900.0  # about 50 jobs on one worker
SHEET = "contact-sheet.png"


def run_demo(stack: Stack, console: Console, pause: Callable[[float], None]) -> bool:
    """True when every job has succeeded and every file is as requested."""
    os.environ.update(stack.environment)  # the producer in this process reads its settings at the first job
    set_pace(stack.twin_url)
    jobs = send_jobs(stack.twin_url)
    snapshots = _follow(jobs, console, pause, TIMEOUT_S)
    problems = _problems(jobs, snapshots)
    _show(console, stack, jobs, snapshots)
    return _say_end(console, jobs, snapshots, problems)


def run_every_task(stack: Stack, console: Console, pause: Callable[[float], None], folder: Path) -> bool:
    """Run one job of every task, and write a contact sheet into the folder. True when every job has succeeded."""
    os.environ.update(stack.environment)
    set_quick_pace(stack.twin_url)
    jobs = send_every_task()
    snapshots = _follow(jobs, console, pause, TIMEOUT_OF_ALL_S)
    problems = _problems(jobs, snapshots, TIMEOUT_OF_ALL_S)
    show_table(console, jobs, snapshots)
    ended = ((job.followed.name, snapshots[job.followed.job_id].result) for job in jobs)
    results = sorted(((name, result) for name, result in ended if result), key=lambda each: each[0])
    count = write_sheet(folder / SHEET, results)
    console.print(Text(f"{count} pictures and poster frames are on {folder / SHEET}"), soft_wrap=True)
    return _say_end(console, jobs, snapshots, problems)


def _follow(
    jobs: Sequence[DemoJob], console: Console, pause: Callable[[float], None], timeout_s: float
) -> Mapping[str, JobSnapshot]:
    from worker.edge.app import app

    note = f"{len(jobs)} jobs are sent, in the same way as a backend does: text_to_image.delay(prompt=…)"
    console.print(Text(note, style="dim"))
    followed = [job.followed for job in jobs]
    return follow(followed, lambda job_id: read_snapshot(app, job_id), open_display(console), pause, timeout_s)


def _say_end(
    console: Console, jobs: Sequence[DemoJob], snapshots: Mapping[str, JobSnapshot], problems: Sequence[str]
) -> bool:
    for problem in problems:
        console.print(Text(problem, style="red"), soft_wrap=True)
    if not problems:
        count = sum(len(list(files_in(last.result or {}))) for last in snapshots.values())
        console.print(Text(f"All {len(jobs)} jobs have succeeded; {count} files were fetched and are whole.", "green"))
    return not problems


def _problems(jobs: Sequence[DemoJob], snapshots: Mapping[str, JobSnapshot], timeout_s: float = TIMEOUT_S) -> list[str]:
    found = []
    for job in jobs:
        name, last = job.followed.name, snapshots[job.followed.job_id]
        if last.result is not None:
            found += [f"{name}: {problem}" for problem in file_problems(last.result, job.width, job.height)]
        elif last.error is not None:
            found.append(f"{name} failed: {last.error['message']}")
        else:
            found.append(f"{name} was not finished after {timeout_s:g} s; see {job.followed.job_id} in Flower")
    return found


def _show(console: Console, stack: Stack, jobs: Sequence[DemoJob], snapshots: Mapping[str, JobSnapshot]) -> None:
    console.print()
    for job in jobs:
        if result := snapshots[job.followed.job_id].result:
            console.print(Text(job.followed.name, style="bold") + Text(f"  {summary(result)}", style="dim"))
            show_files(console, result, indent="  ")
    console.print()
    console.print(f"Flower   {stack.flower_url}", soft_wrap=True)
    console.print(f"         user and password {stack.flower_auth}", soft_wrap=True)
    console.print(f"gateway  {stack.gateway_url}", soft_wrap=True)
