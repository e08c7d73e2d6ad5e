"""`kilnhand up --demo`: sends different jobs, follows them, fetches their results and checks them."""

import os
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from worker.cli.demo.check import file_problems
from worker.cli.demo.jobs import DemoJob, send_jobs, set_pace
from worker.cli.follow import follow
from worker.cli.job_snapshot import JobSnapshot, read_snapshot
from worker.cli.processes.stack import Stack
from worker.cli.screen.progress import open_display
from worker.cli.screen.results import files_in, show_files, summary

TIMEOUT_S = 180.0


def run_demo(stack: Stack, console: Console, pause: Callable[[float], None]) -> bool:
    """True when every job has succeeded and every file is as requested."""
    os.environ.update(stack.environment)  # the producer in this process reads its settings at the first job
    set_pace(stack.twin_url)
    jobs = send_jobs(stack.twin_url)
    from worker.edge.app import app

    note = f"{len(jobs)} jobs are sent, in the same way as a backend does: text_to_image.delay(prompt=…)"
    console.print(Text(note, style="dim"))
    followed = [job.followed for job in jobs]
    display = open_display(console)
    snapshots = follow(followed, lambda job_id: read_snapshot(app, job_id), display, pause, TIMEOUT_S)
    problems = _problems(jobs, snapshots)
    _show(console, stack, jobs, snapshots)
    for problem in problems:
        console.print(Text(problem, style="red"), soft_wrap=True)
    if not problems:
        count = sum(len(list(files_in(last.result or {}))) for last in snapshots.values())
        console.print(Text(f"All {len(jobs)} jobs have succeeded; {count} files were fetched and are whole.", "green"))
    return not problems


def _problems(jobs: Sequence[DemoJob], snapshots: Mapping[str, JobSnapshot]) -> list[str]:
    found = []
    for job in jobs:
        name, last = job.followed.name, snapshots[job.followed.job_id]
        if last.result is not None:
            found += [f"{name}: {problem}" for problem in file_problems(last.result, job.width, job.height)]
        elif last.error is not None:
            found.append(f"{name} failed: {last.error['message']}")
        else:
            found.append(f"{name} was not finished after {TIMEOUT_S:g} s; see {job.followed.job_id} in Flower")
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
