"""The public values of a job: its live status and its result. `worker.edge` sends them to Celery."""

from collections.abc import Mapping
from typing import Any, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field

from worker.jobs.cost import Cost
from worker.jobs.file_keys import number_of
from worker.jobs.job import HELD_BACK, Artefact, Job, Receipt, Stage
from worker.jobs.raw_result import by_kind, urls_of_provider, with_file_urls
from worker.jobs.seed import seed_in
from worker.jobs.total_cost import total_cost

State = Literal["QUEUED", "IN_PROGRESS", "SUCCESS", "FAILURE", "REVOKED"]
VALUES = "kilnhand:values"  # in an answer: what the result has beside its files
CANCEL_NOTED = "cancel_noted"
OF_VIDEOS = {"has_sound", "poster_url", "poster_key"}  # fields of files that only videos have

_ENDED: Mapping[Stage, State] = {
    Stage.COMPLETED: "SUCCESS",
    Stage.FAILED: "FAILURE",
    Stage.CANCELLED: "REVOKED",
}


class JobStatus(BaseModel):
    """The Celery meta of a job that has not ended; `kilnhand status` shows it. Times: seconds since the epoch."""

    model_config = ConfigDict(frozen=True)

    job_id: str
    task: str
    state: State | Literal["PENDING"]  # PENDING: there is no job of this id yet, and its cancel is noted
    stage: str
    model: str
    progress: float = Field(description="0 to 1")
    progress_estimated: bool = Field(description="from the elapsed time, because the provider reports no progress")
    queue_position: int | None = Field(
        None, description="the number of requests ahead in the provider's queue, if known"
    )
    logs: list[str] = Field(default_factory=list, description="the newest lines of the provider's log")
    provider: str | None = None
    endpoint: str | None = None
    request_id: str | None = None
    attempt: int = 0
    tenant: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    created_at: float
    updated_at: float
    error: str | None = None
    delayed_by: str | None = Field(
        None, description="why it waits: the last attempt failed or is searched for, or no provider may be asked"
    )
    total_cost: Cost | None = Field(None, description="all attempts so far; a running one with what it may cost")
    receipt: Receipt | None = Field(
        None, description="the result of a cancel: whether it came in time, and what was billed"
    )


class FileOut(BaseModel):
    """A stored file, with our URL."""

    model_config = ConfigDict(frozen=True)

    url: str
    content_type: str
    bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    key: str = Field(description="its key in the store")
    has_sound: bool | None = Field(None, description="of a video")
    poster_url: str | None = Field(None, description="of a video: one of its frames, as a JPEG")
    poster_key: str | None = None


class Timings(BaseModel):
    """Seconds: before the provider took it, at the provider, the model alone (if known), and in total."""

    model_config = ConfigDict(frozen=True)

    before_submit_s: float
    provider_s: float
    inference_s: float | None = None
    total_s: float


class Tried(BaseModel):
    """One attempt: provider, model, the code of its error if it failed, duration and cost."""

    model_config = ConfigDict(frozen=True)

    provider: str
    model: str
    error: str | None = None
    seconds: float | None = None
    cost: Cost | None = None


class Provenance(BaseModel):
    """Where the piece comes from, so that no model or provider is replaced silently."""

    model_config = ConfigDict(frozen=True)

    asked_for: str = Field(description="the model, as the caller named it")
    provider: str = Field(description="the provider that served it")
    model: str = Field(description="the provider's name of the model that served it")
    version: str | None = Field(None, description="the version that ran, by the provider's name")
    equivalence: str = Field(description="exact, close or degraded")
    approximated: dict[str, str] = Field(default_factory=dict, description="parameters that were changed, and how")
    dropped: list[str] = Field(default_factory=list, description="parameters that were not sent")
    prompt: str | None = Field(None, description="the prompt as it was sent")
    rewritten_prompt: str | None = Field(None, description="the prompt that the provider made of it, if it says so")
    missing: list[str] = Field(default_factory=list, description="why some of several pictures are missing")
    tried: list[Tried] = Field(default_factory=list, description="every attempt; the last one brought the piece")


class JobResult(BaseModel):
    """What `AsyncResult.get()` returns, as a dict. A task adds its pieces by name: `images`, `video`, `weights`, …"""

    model_config = ConfigDict(frozen=True)

    job_id: str
    task: str
    provider: str
    model: str
    endpoint: str
    request_id: str
    seed: int | None = None
    cost: Cost | None = Field(None, description="the attempt that brought the piece")
    total_cost: Cost | None = Field(None, description="all attempts: failed, lost and repeated ones too")
    timings: Timings
    attempts: int
    possible_duplicate: bool = Field(False, description="an earlier submission was lost and may also be billed")
    provenance: Provenance
    reused_from: str | None = Field(None, description="the job whose run brought it, with `reuse_s`; it paid")
    tenant: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)


def status_of(job: Job, now: float) -> JobStatus:
    """The job's public status at this moment."""
    attempt = job.attempt
    ticket = attempt.ticket if attempt else None
    is_done = Stage.COMPLETED in {job.stage, job.ending}
    return JobStatus(
        job_id=job.id,
        task=job.task,
        state=state_of(job),
        stage=job.stage,
        model=job.step.model,
        progress=1.0 if is_done else job.observed.progress or 0.0,
        progress_estimated=not is_done and job.observed.progress_estimated,
        queue_position=job.observed.queue_position,
        logs=list(job.observed.logs),
        provider=attempt.provider if attempt else None,
        endpoint=attempt.endpoint if attempt else None,
        request_id=ticket.request_id if ticket else None,
        attempt=len(job.attempts),
        tenant=job.options.tenant,
        labels=dict(job.options.labels),
        created_at=job.created_at,
        updated_at=now,
        error=job.error.message if job.error else None,
        delayed_by=delayed_by(job),
        total_cost=total_cost(job),
        receipt=job.receipt,
    )


def delayed_by(job: Job) -> str | None:
    """Why a job waits: its last attempt failed, its submission is searched for, or it is held back."""
    if job.stage == Stage.UNKNOWN and job.attempt:
        return f"the answer to attempt {job.attempt.number} was lost: its run is searched for at {job.attempt.provider}"
    if job.stage != Stage.ACCEPTED:
        return None
    if job.history and job.history[-1].what == HELD_BACK:
        return job.history[-1].text
    failed = job.attempt
    return f"attempt {failed.number} failed: {failed.error.message}" if failed and failed.error else None


def cancel_noted(job_id: str, now: float) -> JobStatus:
    """The status of an id without a row whose cancel is noted."""
    return JobStatus(
        job_id=job_id,
        task="",
        state="PENDING",
        stage=CANCEL_NOTED,
        model="",
        progress=0.0,
        progress_estimated=False,
        created_at=now,
        updated_at=now,
    )


def state_of(job: Job) -> State:
    """The frozen public state of a job."""
    if job.ending is not None:
        return _ENDED[job.ending]
    match job.stage:
        case Stage.SENT | Stage.ACCEPTED | Stage.SUBMITTING | Stage.UNKNOWN | Stage.WAITING:
            return "IN_PROGRESS" if job.observed.running else "QUEUED"
        case Stage.FETCHED | Stage.STORED:
            return "IN_PROGRESS"
        case Stage.CLOSING | Stage.COMPLETED | Stage.FAILED | Stage.CANCELLED:  # these have an ending
            return _ENDED.get(job.stage, "IN_PROGRESS")
        case _:
            assert_never(job.stage)


def result_of(job: Job, provenance: Provenance, urls: Mapping[str, str], now: float) -> dict[str, Any]:
    """The result of a job whose pieces are stored. `urls`: store key -> URL."""
    attempt = job.attempts[-1]
    ticket, submitted = attempt.ticket, attempt.submitted_at or attempt.started_at
    base = JobResult(
        job_id=job.id,
        task=job.task,
        provider=attempt.provider,
        model=job.step.model,
        endpoint=attempt.endpoint,
        request_id=ticket.request_id if ticket else "",
        seed=seed_in(job.answer or {}),
        cost=attempt.cost,
        total_cost=total_cost(job),
        timings=Timings(
            before_submit_s=round(submitted - job.created_at, 3),
            provider_s=round((attempt.ended_at or now) - submitted, 3),
            inference_s=attempt.inference_s,
            total_s=round(now - job.created_at, 3),
        ),
        attempts=len(job.attempts),
        possible_duplicate=job.is_possible_duplicate,
        provenance=provenance,
        tenant=job.options.tenant,
        labels=dict(job.options.labels),
    )
    return base.model_dump(mode="json") | _pieces(job, urls)


def _pieces(job: Job, urls: Mapping[str, str]) -> dict[str, Any]:
    """The files by the names of the task's pieces: a list if there may be several, otherwise the file itself."""
    answer = dict(job.answer or {})
    values = answer.get(VALUES)
    found: dict[str, Any] = dict(values) if values is not None else {} if job.step.pieces else {"answer": answer}
    for piece in job.step.pieces:
        artefacts = [artefact for artefact in job.artefacts if artefact.name == piece.name]
        files = [_file(artefact, urls) for artefact in artefacts]
        if piece.as_found:
            of_ours = {number_of(artefact.key): urls[artefact.key] for artefact in artefacts}
            found = with_file_urls(found, {**urls_of_provider(answer.get(piece.name)), **of_ours})
            found |= by_kind([(artefact.kind, file) for artefact, file in zip(artefacts, files, strict=True)])
        found[piece.name] = files if "*" in piece.at else files[0]
    return found


def _file(artefact: Artefact, urls: Mapping[str, str]) -> dict[str, Any]:
    poster_url = urls.get(artefact.poster_key) if artefact.poster_key else None
    made = {"url": urls[artefact.key], "poster_url": poster_url}
    fields = {name: getattr(artefact, name) for name in FileOut.model_fields if name not in made}
    return FileOut(**made, **fields).model_dump(mode="json", exclude=None if artefact.kind == "video" else OF_VIDEOS)
