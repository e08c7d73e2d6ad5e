"""The log lines of a run, computed from the clock when they are read, so that a waiting run costs nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from twin.fal.job import Job
from twin.fal.models import Model

MAX_LINES = 50
DEFAULT_TOTAL = {"steps": 1000, "num_inference_steps": 28}
BAR_WIDTH = 10
EIGHTHS = " ▏▎▍▌▋▊▉"
STUCK_AT_SHARE = 0.5


def log_lines(job: Job, model: Model | None, now: float) -> list[dict[str, Any]]:
    """Return all lines up to now."""
    if job.started_at is None:
        return []
    is_training = model is not None and model.category == "training"
    total = _total(job, model, "steps" if is_training else "num_inference_steps")
    lines = [_line(job.started_at, f"Starting {job.submission.endpoint}")]
    for step in _steps(total, _share(job, now)):
        at = job.started_at + job.seconds * step / total
        message = f"steps: {_tqdm(step, total, job.seconds)}" if is_training else f"step {step}/{total}"
        lines.append(_line(at, message))
    return lines


def _total(job: Job, model: Model | None, name: str) -> int:
    default = model.input[name].default if model and name in model.input else None
    value = job.submission.input.get(name, default)
    return value if isinstance(value, int) and value > 0 else DEFAULT_TOTAL[name]


def _share(job: Job, now: float) -> float:
    if job.outcome is not None and job.outcome.is_good:
        return 1.0
    end = job.ended_at or now
    share = (end - (job.started_at or end)) / job.seconds if job.seconds else 1.0
    return min(STUCK_AT_SHARE if job.is_stuck else 1.0, share)


def _steps(total: int, share: float) -> Iterator[int]:
    stride = max(1, -(-total // MAX_LINES))
    done = int(total * share)
    yield from range(stride, done + 1, stride)
    if share >= 1 and total % stride:
        yield total


def _tqdm(step: int, total: int, seconds: float) -> str:
    share = step / total
    whole, part = divmod(round(share * BAR_WIDTH * 8), 8)
    bar = ("█" * whole + (EIGHTHS[part] if part else "")).ljust(BAR_WIDTH)
    return f"{share:4.0%}|{bar}| {step}/{total} [{_clock(seconds * share)}<{_clock(seconds * (1 - share))}]"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def _line(at: float, message: str) -> dict[str, Any]:
    stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"message": message, "timestamp": stamp, "level": "INFO", "source": "USER"}
