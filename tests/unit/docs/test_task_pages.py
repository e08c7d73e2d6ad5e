"""The examples of the tasks' pages are requests that the tasks take."""

import re
from pathlib import Path
from typing import Any

import pytest
from celery import canvas

from worker.edge.canvas import judge_parts
from worker.edge.job_task import JobTask

PAGES = sorted((Path(__file__).parents[3] / "docs/tasks").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_example_is_taken_as_it_stands(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def taken(task: JobTask, args: Any = None, kwargs: Any = None, **options: Any) -> None:
        task._read(task._given(tuple(args or ()), kwargs or {}))
        read.append(task.name)

    monkeypatch.setattr(JobTask, "apply_async", taken)
    monkeypatch.setattr(canvas._chain, "apply_async", lambda chain, **options: judge_parts(chain))
    examples = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

    for example in examples:
        exec(compile(example, page.name, "exec"), {})

    named = set(re.findall(r"^\| `(\w+\.\w+)`", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert set(read) == named
