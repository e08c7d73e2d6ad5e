"""Read a job from command line arguments: `generation.text_to_image prompt="a fox" num_images=2`."""

import difflib
import importlib
import json
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from config.settings import Settings
from worker.cli.errors import CliError
from worker.cli.field_values import FieldTypes
from worker.edge.job_task import JobTask
from worker.jobs.aliases import task_of


def find_task(name: str) -> JobTask:
    """The task with this name or alias. Raises a `CliError` that lists all tasks."""
    known = all_tasks()
    name = name if name in known else task_of(name, Settings().request.aliases)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.45)
    hint = f"did you mean {near[0]}? " if near else ""
    raise CliError(f"no task {name!r}: {hint}the tasks are {', '.join(sorted(known))}", status=2)


def all_tasks() -> dict[str, JobTask]:
    """Every task by name."""
    import tasks
    from worker.edge.app import app

    for module in pkgutil.walk_packages(tasks.__path__, "tasks."):
        importlib.import_module(module.name)
    return {name: task for name, task in app.tasks.items() if isinstance(task, JobTask)}


def read_fields(request_type: type[BaseModel], pairs: Sequence[str]) -> dict[str, Any]:
    """Parse `key=value` pairs. The types of the request's fields decide how a value is read."""
    fields: dict[str, Any] = {}
    types = FieldTypes(request_type)
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise CliError(f"{pair!r} is not key=value: write for example prompt='a red fox' num_images=2", status=2)
        if (name := name.strip()) in fields:
            hint = f"""a list is one value, for example {name}='["@a.jpg", "@b.jpg"]'"""
            raise CliError(f"{name} is given twice: write it once; {hint}", status=2)
        is_file = text.startswith("@") and types.takes_json_file(name)
        fields[name] = types.value(name, _json_file(name, Path(text[1:]).expanduser()) if is_file else text)
    return fields


def _json_file(name: str, path: Path) -> str:
    """The text of a file of JSON, such as a workflow. Raises a `CliError`."""
    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)
    except OSError as error:
        raise CliError(f"{name}: {path} cannot be read ({error.strerror})", status=2) from error
    except (ValueError, RecursionError) as error:
        raise CliError(f"{name}: {path} is no JSON ({error})", status=2) from error
    return text
