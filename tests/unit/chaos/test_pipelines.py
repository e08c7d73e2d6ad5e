"""What the promises say about a pipeline and its steps, and how a submission without words is matched with its job."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from tests.chaos.checks import check
from tests.chaos.history import ExpectedJob, FetchedFile, FinalRow, History, StateRecord
from tests.chaos.input_marks import link_files, made_for
from tests.chaos.marked_files import picture, sound
from tests.chaos.pipelines import STEP_OF, STEPS, with_steps
from tests.unit.chaos.example_history import attempt, request
from worker.edge.pipeline import step_id

PIPELINE, MODEL = "pipeline-1", "pipeline:editing.sticker"
DRAW, CUT = step_id(PIPELINE, "draw"), step_id(PIPELINE, "cut-out")
EXPECTED = ExpectedJob(1, 1, "sticker", PIPELINE, MODEL, "images", provider="pipeline")


def row(job: str, step: str | None = None, **fields: Any) -> FinalRow:
    message = {"message": {"headers": {STEP_OF: [PIPELINE, step]}}} if step else {}
    return FinalRow("completed", {"id": job, "ending": "completed", **message, **fields}, ttl_s=600.0)


def success(provider: str, model: str, endpoint: str, request_id: str, key: str) -> dict[str, Any]:
    files = [{"url": f"http://gateway/{key}", "key": key, "sha256": key}]
    served = {"provider": provider, "model": model, "endpoint": endpoint, "request_id": request_id}
    return {"state": "SUCCESS", "result": served | {"images": files}}


def good_pipeline() -> History:
    """Return the history of a sticker: each of both steps was paid once."""
    own = attempt(request=PIPELINE, provider="pipeline", cost={"usd": 0.006, "estimated": False})
    rows = {
        PIPELINE: row(PIPELINE, attempts=[own]),
        DRAW: row(DRAW, "draw", attempts=[attempt(request="r-1")]),
        CUT: row(CUT, "cut-out", attempts=[attempt(request="r-2", endpoint="rembg")]),
    }
    results = {
        PIPELINE: success("pipeline", MODEL, "editing.sticker", PIPELINE, "b.png"),
        DRAW: success("fal", "flux-schnell", "fal-ai/flux/schnell", "r-1", "a.jpg"),
        CUT: success("fal", "rembg", "rembg", "r-2", "b.png"),
    }
    cutting = {"endpoint": "rembg", "input": {"image_url": "http://fal/x"}, "file_marks": [[1, 1]]}
    return History(
        expected_jobs=with_steps([EXPECTED], rows, results),
        rows=rows,
        results=results,
        requests=[request("r-1", DRAW), request("r-2", CUT, **cutting)],
        files=[FetchedFile(job, f"http://gateway/{job}") for job in rows],
    )


def test_a_pipeline_that_went_well_breaks_no_promise() -> None:
    history = good_pipeline()
    assert {name: many for name, many in check(history).items() if many} == {}
    assert [expected.id for expected in history.expected_jobs] == [PIPELINE, DRAW, CUT]


def _a_step_is_paid_twice(history: History) -> None:
    history.requests.append(request("r-3", DRAW, polls=0))


def _a_step_is_begun_as_two_jobs(history: History) -> None:
    history.rows["other"] = row("other", "draw")


def _a_step_has_no_result(history: History) -> None:
    del history.results[CUT]


def _a_file_of_a_step_is_broken(history: History) -> None:
    history.files[1] = FetchedFile(DRAW, "http://gateway/a.jpg", "HTTP 404")


def _a_file_of_no_step(history: History) -> None:
    history.results[PIPELINE] = success("pipeline", MODEL, "editing.sticker", PIPELINE, "c.png")


def _a_step_that_took_a_file_of_another_job(history: History) -> None:
    history.rows[CUT].doc["request"] = {"image": "jobs/strange.png"}


def _a_step_with_the_picture_of_another_job(history: History) -> None:
    history.requests[1]["file_marks"] = [[2, 1]]


def _a_step_whose_picture_is_unknown(history: History) -> None:
    history.requests[1]["file_marks"] = []


def _another_sum_than_that_of_the_steps(history: History) -> None:
    history.rows[PIPELINE].doc["attempts"][0]["cost"] = {"usd": 0.003, "estimated": False}


def _a_step_after_the_end_of_its_pipeline(history: History) -> None:
    history.states[PIPELINE] = [StateRecord(1.0, "published", "REVOKED", "r")]
    history.requests[1]["accepted_at"] = 2.0


BROKEN: list[tuple[str, Callable[[History], None]]] = [
    ("paid_once", _a_step_is_paid_twice),
    ("paid_once", _a_step_is_begun_as_two_jobs),
    ("no_job_lost", _a_step_has_no_result),
    ("whole_piece", _a_file_of_a_step_is_broken),
    ("no_silent_swap", _a_file_of_no_step),
    ("no_silent_swap", _a_step_that_took_a_file_of_another_job),
    ("no_silent_swap", _a_step_with_the_picture_of_another_job),
    ("no_silent_swap", _a_step_whose_picture_is_unknown),
    ("money_adds_up", _another_sum_than_that_of_the_steps),
    ("one_ending", _a_step_after_the_end_of_its_pipeline),
]


@pytest.mark.parametrize(("promise", "spoil"), BROKEN, ids=[f"{name}-{how.__name__[1:]}" for name, how in BROKEN])
def test_a_broken_promise_of_a_step_is_found(promise: str, spoil: Callable[[History], None]) -> None:
    history = good_pipeline()
    spoil(history)
    assert check(history)[promise], "the check found nothing"


def test_before_the_end_of_a_pipeline_only_steps_with_a_row_are_expected() -> None:
    found = with_steps([EXPECTED], {DRAW: row(DRAW, "draw")}, {})
    assert [expected.id for expected in found] == [PIPELINE, DRAW]
    assert set(STEPS) >= {MODEL}


def test_a_submission_without_words_is_known_by_the_files_that_it_brings() -> None:
    contents = {"/own": b"..chaos job 3.2..", "/made": b"a picture", "/strange": b"?"}
    transport = httpx.MockTransport(lambda asked: httpx.Response(200, content=contents[asked.url.path]))
    given = [{"input": {"image_url": f"http://127.0.0.1:1{path}"}} for path in ("/own", "/made", "/strange")] + [
        {"input": {"prompt": "chaos job 5.1", "image_url": "http://127.0.0.1:1/own"}}
    ]
    results = {PIPELINE: success("pipeline", MODEL, "", "", hashlib.sha256(b"a picture").hexdigest())}
    link_files(given, [EXPECTED], results, transport)
    assert [made_for(each) for each in given] == [(3, 2), (1, 1), None, (5, 1)]


def test_the_mark_of_a_file_is_read_from_a_data_uri_of_which_only_the_beginning_is_known() -> None:
    given = [{"input": {"image_url": picture("chaos job 3.1")[:200]}}, {"input": {"audio_url": sound("chaos job 4.1")}}]
    link_files(given, [], {})
    assert [made_for(each) for each in given] == [(3, 1), (4, 1)]


def test_a_file_that_two_jobs_have_made_shows_none_of_them() -> None:
    equal = hashlib.sha256(b"a mask").hexdigest()
    transport = httpx.MockTransport(lambda asked: httpx.Response(200, content=b"a mask"))
    given = [{"input": {"mask_url": "http://127.0.0.1:1/mask"}}]
    made = {job: success("pipeline", MODEL, "", "", equal) for job in (PIPELINE, "other")}
    link_files(given, [EXPECTED, replace(EXPECTED, number=2, id="other")], made, transport)
    assert made_for(given[0]) is None


def test_a_submission_with_files_of_two_jobs_belongs_to_none() -> None:
    assert made_for({"input": {}, "file_marks": [[1, 1], [2, 1]]}) is None
    assert made_for({"input": {}, "file_marks": [[1, 1], [1, 1]]}) == (1, 1)
