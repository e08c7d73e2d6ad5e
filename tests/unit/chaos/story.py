"""A made-up history in which everything went well, and the ways to spoil it."""

from dataclasses import replace
from typing import Any

from tests.chaos.history import File, History, Row, Seen, Sight, Wanted

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


def well() -> History:
    """One job that was asked for, paid for once, stored, and told of."""
    return History(
        wanted=[Wanted(1, 1, "picture", JOB, "flux-schnell", "images")],
        rows={JOB: Row("completed", doc(attempt()), ttl_s=600.0)},
        sights={
            JOB: [
                Sight(1.0, "waiting", 1, doc(attempt(), ending=None)),
                Sight(2.0, "closing", 2, doc(attempt())),
                Sight(3.0, "completed", 3, doc(attempt())),
            ]
        },
        states={JOB: [Seen(1.0, "published", "QUEUED", "q"), Seen(3.0, "published", "SUCCESS", "s")]},
        results={JOB: {"state": "SUCCESS", "result": RESULT}},
        requests=[request()],
        files=[File(JOB, "http://gateway/a.png")],
    )


def told(history: History, state: str, **changes: Any) -> None:
    """Have the caller read this."""
    history.results[JOB] = {"state": state, "result": RESULT | changes}


def row(history: History, stage: str, **changes: Any) -> None:
    """Have the row stand there."""
    history.rows[JOB] = replace(history.rows[JOB], stage=stage, **changes)
