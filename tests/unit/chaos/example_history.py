"""An example history of a successful run, and functions that change it."""

from dataclasses import replace
from typing import Any

from tests.chaos.history import ExpectedJob, FetchedFile, FinalRow, History, RowVersion, StateRecord

JOB, REQUEST = "job-1", "request-1"


def attempt(number: int = 1, request: str | None = REQUEST, **fields: Any) -> dict[str, Any]:
    cost = {"usd": 0.003, "units": 1.0, "per": "megapixel", "estimated": False}
    ticket = {"ticket": {"request_id": request, "urls": {}}, "cost": cost} if request else {}
    return {"number": number, "provider": "fal", "endpoint": "fal-ai/flux/schnell", **ticket, **fields}


def request(name: str = REQUEST, job: str = JOB, number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "request_id": name,
        "endpoint": "fal-ai/flux/schnell",
        "input": {"prompt": "chaos job 1.1"},
        "headers": {"x-fal-tags": f"job={job},attempt={number}"},
        "billed": {"units": 1.0, "usd": 0.003},
        "polls": 1,
        **fields,
    }


def doc(*attempts: dict[str, Any], ending: str | None = "completed") -> dict[str, Any]:
    asked = {"prompt": "chaos job 1.1"}
    return {
        "id": JOB,
        "request": asked,
        "step": {"model": "flux-schnell"},
        "attempts": list(attempts),
        "ending": ending,
    }


RESULT = {
    "provider": "fal",
    "model": "flux-schnell",
    "endpoint": "fal-ai/flux/schnell",
    "request_id": REQUEST,
    "images": [{"url": "http://gateway/a.png", "key": "a.png", "sha256": "0" * 64}],
}


def good_history() -> History:
    """Return the history of one job that was sent, paid for once, stored and published."""
    return History(
        expected_jobs=[ExpectedJob(1, 1, "picture", JOB, "flux-schnell", "images")],
        rows={JOB: FinalRow("completed", doc(attempt()), ttl_s=600.0)},
        row_versions={
            JOB: [
                RowVersion(1.0, "waiting", 1, doc(attempt(), ending=None)),
                RowVersion(2.0, "closing", 2, doc(attempt())),
                RowVersion(3.0, "completed", 3, doc(attempt())),
            ]
        },
        states={JOB: [StateRecord(1.0, "published", "QUEUED", "q"), StateRecord(3.0, "published", "SUCCESS", "s")]},
        results={JOB: {"state": "SUCCESS", "result": RESULT}},
        requests=[request()],
        files=[FetchedFile(JOB, "http://gateway/a.png")],
    )


def set_result(history: History, state: str, **changes: Any) -> None:
    """Set the result of the job."""
    history.results[JOB] = {"state": state, "result": RESULT | changes}


def set_row(history: History, stage: str, **changes: Any) -> None:
    """Set the stage of the row."""
    history.rows[JOB] = replace(history.rows[JOB], stage=stage, **changes)
