"""The pipelines of the load, and what the promises say about their steps. The rest they share with all jobs."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config.catalogue import SHARED
from tests.chaos.history import ExpectedJob, FinalRow, History
from tests.chaos.recorder import files_of
from worker.edge.pipeline import step_id

STEP_OF = "kilnhand_step_of"  # the header of a step's message: [the pipeline's id, the step's name]

STORED = "jobs/"  # how the keys of our store begin


@dataclass(frozen=True)
class ExpectedStep:
    """A step of a pipeline: its name, its model, and where that runs."""

    name: str
    model: str
    provider: str = "fal"
    piece: str = "images"


STEPS: Mapping[str, tuple[ExpectedStep, ...]] = {  # the model of a pipeline -> its steps
    "pipeline:editing.sticker": (ExpectedStep("draw", "flux-schnell"), ExpectedStep("cut-out", "rembg")),
    "pipeline:editing.fix_garment": (
        ExpectedStep("segment", "sam-3", piece="masks"),
        ExpectedStep("grow", "grow-mask", "local"),
        ExpectedStep("feather", "grow-mask", "local"),
        ExpectedStep("paint", "flux-fill"),
        ExpectedStep("blend", "blend", "local"),
    ),
    "pipeline:editing.fix_face": (
        ExpectedStep("faces", "moondream3-detect", piece="objects"),
        ExpectedStep("cut-1", "cut", "local"),
        ExpectedStep("refine-1", "flux-dev-image-to-image"),
        ExpectedStep("blend-1", "blend", "local"),
    ),
    "pipeline:generation.batch": (
        ExpectedStep("item-1-1x1", "flux-schnell"),
        ExpectedStep("item-2-1x1", "flux-schnell"),
    ),
    f"{SHARED}flux-schnell": (ExpectedStep("run", "flux-schnell"),),
    "pipeline:training.lora_with_samples": (
        ExpectedStep("train", "flux-lora-training", piece="weights"),
        ExpectedStep("sample-1", "flux-lora"),
        ExpectedStep("sheet", "contact-sheet", "local"),
    ),
}


def with_steps(
    sent: Iterable[ExpectedJob], rows: Mapping[str, FinalRow], results: Mapping[str, dict[str, Any]]
) -> list[ExpectedJob]:
    """Return the jobs that were sent, and the steps of the pipelines among them: those with a row, all after a SUCCESS."""
    found = list[ExpectedJob]()
    for job in sent:
        found.append(job)
        is_done = results.get(job.id or "", {}).get("state") == "SUCCESS"
        for step in STEPS.get(job.model, ()) if job.id else ():
            own = step_id(str(job.id), step.name)
            if is_done or own in rows:
                found.append(_expected(job, own, step))
    return found


def _expected(job: ExpectedJob, own: str, step: ExpectedStep) -> ExpectedJob:
    return ExpectedJob(
        job.number, job.part, f"step {step.name}", own, step.model, step.piece, provider=step.provider,
        duplicates=job.duplicates, step_of=job.id,
    )  # fmt: skip


def steps_by_pipeline(history: History) -> dict[str, list[str]]:
    """Return the ids of the steps of each pipeline."""
    found: dict[str, list[str]] = defaultdict(list)
    for expected in history.expected_jobs:
        if expected.step_of and expected.id:
            found[expected.step_of].append(expected.id)
    return dict(found)


def find_repeated_steps(history: History) -> Iterator[tuple[str, str]]:
    """Return pipelines that began a step as two jobs, or a step that is not theirs."""
    known = {step for steps in steps_by_pipeline(history).values() for step in steps}
    begun = Counter[tuple[str, str]]()
    for job, row in history.rows.items():
        headers = (row.doc.get("message") or {}).get("headers") or {}
        if STEP_OF in headers:
            pipeline, name = headers[STEP_OF]
            begun[pipeline, name] += 1
            if history.rows.get(pipeline) and job not in known:
                yield pipeline, f"its step {name} is the job {job}, which no step of this pipeline has"
    for (pipeline, name), count in begun.items():
        if count > 1:
            yield pipeline, f"its step {name} was begun as {count} jobs"


def find_foreign_files(history: History) -> Iterator[tuple[str, str]]:
    """Return pipelines whose result, or a step of which, has a file of ours that none of their steps has made."""
    for pipeline, steps in steps_by_pipeline(history).items():
        made = {key for step in steps for key in _result_keys(history, step)}
        for job in (pipeline, *steps):
            used = _request_keys(history, job) if job != pipeline else _result_keys(history, job)
            if foreign := sorted(used - made):
                yield job, f"no step of the pipeline {pipeline} has made {foreign}"


def _result_keys(history: History, job: str) -> set[str]:
    meta = history.results.get(job, {})
    return {file["key"] for file in files_of(meta.get("result"))} if meta.get("state") == "SUCCESS" else set()


def _request_keys(history: History, job: str) -> set[str]:
    """Return the files of our store in a job's request."""
    request = history.rows[job].doc.get("request") or {} if job in history.rows else {}
    given = (one for value in request.values() for one in (value if isinstance(value, list) else [value]))
    return {one for one in given if isinstance(one, str) and one.startswith(STORED)}
