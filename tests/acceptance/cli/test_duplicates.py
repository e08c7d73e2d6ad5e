"""`kilnhand duplicates` with rows in a real Redis and bills of a real twin."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import redis

from tests.acceptance.cli.conftest import Finished
from tests.acceptance.conftest import HTTP, Twin
from worker.cli.processes.stack import Stack
from worker.jobs.job import Attempt, ErrorRecord, Job, Options, Stage, Step, Ticket, dump_job

ENDPOINT = "fal-ai/flux/schnell"
LOST = ErrorRecord("submit_unknown", "lost")
Kilnhand = Callable[..., Finished]


def lost_job(job_id: str, provider: str = "fal", seed: int | None = None) -> Job:
    """A job whose first submission was never found, and whose second one brought the piece."""
    now = time.time() - 60
    first = Attempt(1, provider, ENDPOINT, now, ended_at=now, error=LOST, seed=seed)
    second = Attempt(2, provider, ENDPOINT, now + 1, Ticket("r-2"), ended_at=now + 2, possible_duplicate=True)
    step = Step("flux-schnell", {}, ())
    job = Job(job_id, "generation.text_to_image", "generation", {}, step, Options("acme"), now)
    return replace(job, attempts=(first, second), stage=Stage.COMPLETED, ending=Stage.COMPLETED)


@pytest.fixture
def rows(stack: Stack) -> Iterator[Callable[[Job], None]]:
    """Writes rows, and removes them after the test."""
    written: list[str] = []
    with redis.Redis.from_url(stack.redis_url) as client:

        def write(job: Job) -> None:
            written.append(f"kilnhand:job:{job.id}")
            client.hset(written[-1], "doc", dump_job(job))  # type: ignore[arg-type]

        yield write
        client.delete(*written)


def pay(twin: Twin, tags: str, **more: int) -> None:
    headers = {"Authorization": "Key twin:twin", "X-Fal-Tags": tags}
    body = {"prompt": "a fox", "image_size": "square", **more}
    HTTP.post(f"{twin.url}/run/{ENDPOINT}", json=body, headers=headers, timeout=20).raise_for_status()


def test_the_bills_say_which_jobs_were_paid_twice(
    kilnhand: Kilnhand, stack: Stack, twin: Twin, rows: Callable[[Job], None]
) -> None:
    for job_id, provider in (("twice", "fal"), ("once", "fal"), ("away", "vertex")):
        rows(lost_job(job_id, provider))
    pay(twin, "job=twice,attempt=1")
    ran = kilnhand("duplicates", "--since", "5m", "--lag", "0", "--json", env=stack.environment)
    told = json.loads(ran.out)
    assert ran.status == 0
    assert {one["job_id"]: one["was_paid_twice"] for one in told["duplicates"]} == {
        "twice": True, "once": False, "away": None,
    }  # fmt: skip
    assert told["counts"]["possible_duplicates"] == 3 and told["counts"]["paid_twice"] == 1
    shown = kilnhand("duplicates", "--since", "5m", "--lag", "0", env=stack.environment).out
    assert "paid twice: attempt 1 was lost, and repeated by attempt 2; it cost 0.0030 USD" in shown
    assert "not checkable at vertex" in shown and "3 possible duplicates, 1 paid twice, 1 not, 1 not known" in shown


def test_without_tags_the_list_is_searched_for_our_seed(
    kilnhand: Kilnhand, stack: Stack, twin: Twin, rows: Callable[[Job], None]
) -> None:
    rows(lost_job("listed", seed=77))
    rows(lost_job("absent", seed=78))
    pay(twin, "team=design", seed=77)
    HTTP.post(f"{twin.url}/_twin/platform", json={"tagged_reporting": False}).raise_for_status()
    told = json.loads(kilnhand("duplicates", "--since", "5m", "--lag", "0", "--json", env=stack.environment).out)
    found = {one["job_id"]: (one["was_paid_twice"], one["why"]) for one in told["duplicates"]}
    assert found["listed"] == (True, "fal's list of requests has it")
    assert found["absent"][0] is None and found["absent"][1].startswith("it is not in fal's list")


def test_without_the_permission_nothing_is_claimed(
    kilnhand: Kilnhand, stack: Stack, twin: Twin, rows: Callable[[Job], None]
) -> None:
    rows(lost_job("a"))
    HTTP.post(f"{twin.url}/_twin/platform", json={"tagged_reporting": False}).raise_for_status()
    told = json.loads(kilnhand("duplicates", "--since", "5m", "--lag", "0", "--json", env=stack.environment).out)
    (one,) = told["duplicates"]
    assert one["was_paid"] is None and "tagged reporting" in one["why"]
    nothing = kilnhand("duplicates", env={"KILNHAND_REDIS_URL": "redis://127.0.0.1:1/0"})
    assert nothing.status == 1 and "the ledger cannot be read" in nothing.err
