"""`kilnhand up --demo`: a handful of different jobs, followed, and their results fetched and checked."""

import os
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from worker.cli.demo.check import problems_of
from worker.cli.demo.jobs import Asked, send_jobs, set_pace
from worker.cli.processes.house import House
from worker.cli.screen.follow import follow
from worker.cli.screen.jobs import open_screen
from worker.cli.screen.results import files_in, show_files, took
from worker.cli.screen.watch import Seen, see

TIMEOUT_S = 180.0


def run_demo(house: House, console: Console, pause: Callable[[float], None]) -> bool:
    """Whether every job has succeeded, and every file is what was asked for."""
    os.environ.update(house.environment)  # the producer in this process reads its settings at the first job
    set_pace(house.twin_url)
    jobs = send_jobs(house.twin_url)
    from worker.edge.app import app

    console.print(Text(f"{len(jobs)} jobs are sent, as a backend would: text_to_image.delay(prompt=…)", style="dim"))
    watched = [job.watched for job in jobs]
    seen = follow(watched, lambda job_id: see(app, job_id), open_screen(console), pause, TIMEOUT_S)
    problems = list(_problems(jobs, seen))
    _show(console, house, jobs, seen)
    for problem in problems:
        console.print(Text(problem, style="red"), soft_wrap=True)
    if not problems:
        count = sum(len(list(files_in(last.result or {}))) for last in seen.values())
        console.print(Text(f"All {len(jobs)} jobs have succeeded; {count} files were fetched and are whole.", "green"))
    return not problems


def _problems(jobs: Sequence[Asked], seen: Mapping[str, Seen]) -> list[str]:
    found = []
    for job in jobs:
        last = seen[job.watched.job_id]
        if last.result is not None:
            found += [f"{job.watched.name}: {problem}" for problem in problems_of(last.result, job.width, job.height)]
        elif last.error is not None:
            found.append(f"{job.watched.name} failed: {last.error['message']}")
        else:
            found.append(f"{job.watched.name} was not over after {TIMEOUT_S:g} s; see {job.watched.job_id} in Flower")
    return found


def _show(console: Console, house: House, jobs: Sequence[Asked], seen: Mapping[str, Seen]) -> None:
    console.print()
    for job in jobs:
        if result := seen[job.watched.job_id].result:
            console.print(Text(job.watched.name, style="bold") + Text(f"  {took(result)}", style="dim"))
            show_files(console, result, indent="  ")
    console.print()
    console.print(f"Flower   {house.flower_url}  (user and password {house.flower_auth})", soft_wrap=True)
    console.print(f"gateway  {house.gateway_url}", soft_wrap=True)
