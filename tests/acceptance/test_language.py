"""Words about pictures, from `delay()` to a judged answer: real workers, the vendors' own SDKs, the twin in their place."""

import base64
import gc
import hashlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, chain

from tasks import language
from tasks.generation import text_to_image
from tasks.language.completion import Completed, complete
from tests.acceptance.conftest import HTTP, Twin, forget_health, point_producer_at
from tests.conftest import BARE_ROUTES
from tests.unit.files.files import picture
from worker.cli.processes.stack import Stack, run_stack
from worker.errors import (
    AuthenticationError,
    ContentRefusedError,
    ExternalServiceError,
    RateLimitError,
    RequestRefusedError,
    SubmitUnknownError,
)  # fmt: skip
from worker.jobs.job import Job, load_job
from worker.jobs.status import Tried

RED, BLUE = picture("PNG", colour="red"), picture("JPEG", colour="blue")
CLAUDE, GEMINI = "anthropic", "google"
IMPATIENT = "impatient"  # the queue of a worker that waits two seconds for an answer


@pytest.fixture(scope="module")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with run_stack(tmp_path_factory.mktemp("words"), processes=("redis", "twin")) as stack:
        vendors = {f"KILNHAND_{name.upper()}_BASE_URL": f"{stack.twin_url}/{name}" for name in (GEMINI, CLAUDE)}
        stack.start_worker("worker", env=vendors)
        waits = {"KILNHAND_ANTHROPIC_TIMEOUT_S": "2", "KILNHAND_GOOGLE_TIMEOUT_S": "2"}
        stack.start_worker("worker-impatient", queues=IMPATIENT, env={**vendors, **waits})
        yield stack
        gc.collect()  # results that are collected later would look for their Redis in vain


@pytest.fixture
def stack(_home: Stack, _patch: pytest.MonkeyPatch) -> Stack:
    """A stack whose worker knows the language vendors, with nobody's health remembered and the twin forgetful."""
    point_producer_at(_home, _patch)
    Twin(_home.twin_url).reset()
    with redis.Redis.from_url(_home.redis_url) as client:
        forget_health(client)
    return _home


def uri(data: bytes, content_type: str = "image/png") -> str:
    return f"data:{content_type};base64,{base64.b64encode(data).decode()}"


def digest(data: bytes) -> str:
    """As the twin's models tell a picture."""
    return hashlib.sha256(data).hexdigest()[:8]


def asked(twin: Twin, vendor: str) -> list[dict[str, Any]]:
    """What a vendor was asked, in order."""
    found = [request for request in twin.requests() if request["provider"] == vendor]
    return sorted(found, key=lambda request: request["accepted_at"])


def still_to_come(twin: Twin) -> int:
    """How often the one fault that is left would strike: what it struck is in no list of requests."""
    (fault,) = HTTP.get(f"{twin.url}/_twin/script").json()["script"]
    return int(fault["times"])


def tried(result: dict[str, Any]) -> list[tuple[str, str | None]]:
    return [(each.provider, each.error) for each in map(Tried.model_validate, result["provenance"]["tried"])]


CASES = {
    "caption": (language.caption, {"images": [uri(RED), uri(BLUE, "image/jpeg")]}, "anthropic", "claude-haiku-5-5"),
    "style": (
        language.style,
        {"wardrobe": [{"name": "red coat", "image": uri(RED)}, {"name": "jeans"}], "outfits": 1},
        "gemini",
        "gemini-3.8-flash",
    ),
    "analyse": (
        language.analyse,
        {"images": [uri(RED), uri(BLUE, "image/jpeg")], "questions": ["Which is warmer?", "Which is blue?"]},
        "anthropic",
        "claude-sonnet-5-5",
    ),
    "filter": (
        language.filter_products,
        {"images": [uri(RED), uri(BLUE, "image/jpeg")], "products": [{"name": "red coat"}, {"name": "hat"}]},
        "gemini",
        "gemini-3.8-flash",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_task_is_answered_by_the_vendor_of_the_table(stack: Stack, twin: Twin, name: str) -> None:
    task, request, provider, model = CASES[name]
    result = task.delay(**request).get(timeout=120)

    read = task.gives.model_validate(result)
    origin = read.provenance
    assert (origin.provider, origin.model, origin.equivalence) == (provider, model, "exact")
    assert (read.provider, read.attempts, origin.tried[0].error) == (provider, 1, None)
    assert read.cost.per == "token" and read.cost.usd > 0 and not read.cost.estimated
    (record,) = twin.requests()
    assert record["billed"]["usd"] == pytest.approx(read.cost.usd, rel=0.01)
    assert origin.prompt in json.dumps(record["input"], ensure_ascii=False).replace("\\n", "\n")
    assert digest(RED) in json.dumps(result["answer"]), "the picture was looked at"


def test_a_bare_celery_gets_the_same(stack: Stack, twin: Twin) -> None:
    bare = Celery("backend", broker=stack.redis_url, backend=stack.redis_url, set_as_current=False)
    bare.conf.task_routes = BARE_ROUTES
    result = bare.send_task("language.caption", kwargs={"images": [uri(RED)], "trigger_word": "ohwx"}).get(timeout=120)

    (caption,) = result["answer"]["captions"]
    assert caption["image"] == 1 and caption["text"].startswith("ohwx, ") and digest(RED) in caption["text"]


def test_a_caption_follows_a_generation_and_sees_every_picture_of_it(stack: Stack, twin: Twin) -> None:
    pictures = text_to_image.s(prompt="two mugs", image_size="square", num_images=2)
    last = chain(pictures, language.caption.s(trigger_word="KILNMUG")).apply_async()
    captions = last.get(timeout=120)["answer"]["captions"]

    shown = last.parent.get(timeout=120)["images"]
    assert [caption["image"] for caption in captions] == [1, 2]
    assert all(file["sha256"][:8] in captions[0]["text"] for file in shown), "our own files, byte for byte"


def test_our_own_files_go_by_url_and_by_key(stack: Stack, twin: Twin) -> None:
    file = text_to_image.delay(prompt="a mug", image_size="square").get(timeout=120)["images"][0]
    result = language.caption.delay(images=[file["url"], file["key"]]).get(timeout=120)

    assert result["answer"]["captions"][0]["text"].count(file["sha256"][:8]) == 2
    forged = language.caption.delay(images=[file["url"][:-4] + "AAAA"])
    with pytest.raises(RequestRefusedError, match="image"):
        forged.get(timeout=120)
    assert len(asked(twin, CLAUDE)) == 1


def test_when_claude_is_overloaded_gemini_answers_and_the_result_says_so(stack: Stack, twin: Twin) -> None:
    twin.script(provider=CLAUDE, call="submit", what="http", status=529, times=4)
    result = language.caption.delay(images=[uri(RED)]).get(timeout=120)

    origin = result["provenance"]
    assert (origin["asked_for"], origin["provider"]) == ("claude-haiku-5-5", "gemini")
    assert (origin["model"], origin["equivalence"]) == ("gemini-3.5-flash-lite", "close")
    assert tried(result) == [("anthropic", "service_unavailable")] * 3 + [("gemini", None)]
    assert still_to_come(twin) == 1
    assert digest(RED) in result["answer"]["captions"][0]["text"]


def test_an_answer_that_breaks_its_schema_is_mended_by_the_same_vendor(stack: Stack, twin: Twin) -> None:
    twin.script(provider=CLAUDE, what="bad_schema")
    result = language.caption.delay(images=[uri(RED)]).get(timeout=120)

    first, second = (json.dumps(request["input"]) for request in asked(twin, CLAUDE))
    assert "It cannot be used" not in first
    assert "It cannot be used:\\n- captions: Input should be a valid" in second and digest(RED) in second
    assert tried(result) == [("anthropic", "broken_piece"), ("anthropic", None)]
    assert result["provenance"]["equivalence"] == "exact" and len(twin.requests()) == 2


def test_an_answer_that_is_bad_twice_is_left_to_the_other_vendor(stack: Stack, twin: Twin) -> None:
    twin.script(provider=CLAUDE, what="bad_schema", times=-1)
    result = language.analyse.delay(images=[uri(RED)], questions=["Is it red?"]).get(timeout=120)

    assert tried(result) == [("anthropic", "broken_piece")] * 2 + [("gemini", None)]
    (question,) = asked(twin, GEMINI)
    assert "It cannot be used" not in json.dumps(question["input"]), "a vendor is not told of another's fault"
    spent = [each["cost"]["usd"] for each in result["provenance"]["tried"]]
    assert all(usd > 0 for usd in spent), "what was paid for in vain is on the bill"


def test_a_refusal_for_content_is_final_unless_the_caller_says_otherwise(stack: Stack, twin: Twin) -> None:
    twin.script(provider=CLAUDE, what="blocked", times=-1)
    with pytest.raises(ContentRefusedError, match="anthropic: refused for its content"):
        language.caption.delay(images=[uri(RED)]).get(timeout=120)
    assert len(twin.requests()) == 1

    result = language.caption.delay(images=[uri(RED)], fallback_on_policy=True).get(timeout=120)
    assert tried(result) == [("anthropic", "content_refused"), ("gemini", None)]


LOOK = {
    "type": "object",
    "properties": {
        "colour": {"enum": ["red", "blue", None]},
        "pieces": {"type": "array", "items": {"$ref": "#/$defs/Piece"}, "minItems": 1, "maxItems": 9},
        "score": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    },
    "required": ["colour", "pieces"],
    "$defs": {"Piece": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
}
QUESTION = {"prompt": "What is worn?", "images": [uri(RED), uri(BLUE, "image/jpeg")], "json_schema": LOOK}


def test_a_completion_is_json_of_the_callers_schema_by_either_vendor(stack: Stack, twin: Twin) -> None:
    twin.script(provider=CLAUDE, call="submit", what="http", status=529, times=4)
    result = complete.delay(**QUESTION, system="Be brief.").get(timeout=120)

    read = Completed.model_validate(result)
    assert tried(result) == [("anthropic", "service_unavailable")] * 3 + [("gemini", None)]
    assert (read.provenance.asked_for, read.provenance.equivalence) == ("claude-sonnet-5-5", "close")
    assert read.data and read.data["colour"] == "red" and json.loads(read.text) == read.data
    assert read.cost and read.cost.usd and digest(RED) in read.text

    twin.reset()
    text = complete.delay(prompt="What is a kiln?").get(timeout=120)
    assert text["text"].startswith("You asked: What is a kiln?") and text["data"] is None
    assert text["provenance"]["provider"] == "anthropic"


VENDORS = {CLAUDE: CASES["caption"], GEMINI: CASES["style"]}
vendors = pytest.mark.parametrize("vendor", VENDORS)


def row_of(stack: Stack, job_id: str) -> Job:
    with redis.Redis.from_url(stack.redis_url) as client:
        row = client.hget(f"kilnhand:job:{job_id}", "doc")
    assert row
    return load_job(row)


@vendors
def test_a_refused_answer_is_on_the_bill_as_the_vendor_counted_it(stack: Stack, twin: Twin, vendor: str) -> None:
    task, request, provider, _ = VENDORS[vendor]
    twin.script(provider=vendor, what="blocked", times=1)
    result = task.delay(**request, fallback_on_policy=True).get(timeout=120)

    refused = Tried.model_validate(result["provenance"]["tried"][0])
    assert (refused.provider, refused.error) == (provider, "content_refused")
    assert refused.cost and refused.cost.usd and not refused.cost.estimated
    assert refused.cost.usd == pytest.approx(asked(twin, vendor)[0]["billed"]["usd"], rel=0.01)


@vendors
def test_a_cut_answer_is_on_the_bill_of_the_job_that_it_ends(stack: Stack, twin: Twin, vendor: str) -> None:
    task, request, _, _ = VENDORS[vendor]
    twin.script(provider=vendor, what="max_tokens", times=1)
    sent = task.delay(**request)
    with pytest.raises(RequestRefusedError, match="cut short"):
        sent.get(timeout=120)

    (attempt,) = row_of(stack, sent.id).attempts
    (record,) = twin.requests()
    assert attempt.cost and attempt.cost.usd and not attempt.cost.estimated
    assert attempt.cost.usd == pytest.approx(record["billed"]["usd"], rel=0.01)


@vendors
def test_a_call_that_hangs_is_on_the_bill_with_the_most_that_it_may_have_cost(
    stack: Stack, twin: Twin, vendor: str
) -> None:
    task, request, provider, model = VENDORS[vendor]
    twin.pace(seconds=0.1)
    twin.script(provider=vendor, call="submit", what="hang", seconds=8, times=1)
    result = task.apply_async(kwargs={**request, "duplicates": "allow"}, queue=IMPATIENT).get(timeout=120)

    lost, made = map(Tried.model_validate, result["provenance"]["tried"])
    assert [(each.provider, each.model, each.error) for each in (lost, made)] == [
        (provider, model, "submit_unknown"),
        (provider, model, None),
    ]
    assert result["possible_duplicate"]
    assert lost.seconds is not None and lost.seconds >= 2
    assert lost.cost and lost.cost.usd and lost.cost.estimated
    hung, answered = (record["billed"]["usd"] for record in asked(twin, vendor))
    assert 0 < hung <= lost.cost.usd < 0.05, "no less than the vendor has billed for it"
    assert made.cost and made.cost.usd == pytest.approx(answered, rel=0.01) and not made.cost.estimated


def test_a_call_that_hangs_twice_ends_the_job_with_both_on_the_bill_and_nobody_else_asked(
    stack: Stack, twin: Twin
) -> None:
    task, request, _, _ = VENDORS[CLAUDE]
    twin.script(provider=CLAUDE, call="submit", what="hang", seconds=8, times=3)
    sent = task.apply_async(kwargs={**request, "duplicates": "allow"}, queue=IMPATIENT)
    with pytest.raises(SubmitUnknownError):
        sent.get(timeout=120)

    attempts = row_of(stack, sent.id).attempts
    assert [attempt.error and attempt.error.code for attempt in attempts] == ["submit_unknown"] * 2
    billed = [record["billed"]["usd"] for record in asked(twin, CLAUDE)]
    assert len(billed) == len(twin.requests()) == 2
    for attempt, usd in zip(attempts, billed, strict=True):
        assert attempt.cost and attempt.cost.usd and attempt.cost.estimated and attempt.cost.usd >= usd


def test_an_image_inside_our_network_is_refused_and_nothing_is_sent(stack: Stack, twin: Twin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.setblocking(False)
        url = f"http://127.0.0.1:{inside.getsockname()[1]}/admin.png"
        with pytest.raises(RequestRefusedError, match=r"images\.1: .* is not public"):
            language.caption.delay(images=[uri(RED), url]).get(timeout=120)
        with pytest.raises(BlockingIOError):
            inside.accept()
    assert twin.count == 0


@pytest.mark.parametrize(
    ("fault", "error"), [({"status": 401}, AuthenticationError), ({"status": 429, "seconds": 900}, RateLimitError)]
)
def test_errors_reach_the_backend_as_themselves(
    stack: Stack, twin: Twin, fault: dict[str, Any], error: type[ExternalServiceError]
) -> None:
    twin.script(provider=CLAUDE, call="submit", what="http", times=5, **fault)
    with pytest.raises(ExternalServiceError, match="anthropic: ") as raised:
        language.caption.delay(images=[uri(RED)], fallback=False).get(timeout=120)

    assert type(raised.value) is error
    assert "fallback refused: fallback=false" in raised.value.message
    assert (still_to_come(twin), twin.requests()) == (4, []), "asked once, and nobody else"


def test_the_command_line_takes_a_photo_and_shows_the_answer(stack: Stack, twin: Twin, tmp_path: Path) -> None:
    (tmp_path / "red.png").write_bytes(RED)
    command = [sys.executable, "-P", "-m", "worker.cli"]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments],
            env=dict(stack.environment),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    shown = run("submit", "language.caption", "images=@red.png")
    assert digest(RED) in json.loads(shown)["captions"][0]["text"]
    result = json.loads(run("submit", "language.caption", "images=@red.png", "--json"))
    assert json.loads(shown) == result["answer"]
    assert digest(RED) in run("status", result["job_id"])

    (tmp_path / "blue.jpg").write_bytes(BLUE)
    wardrobe = (
        '[{"name": "red coat", "image": "@red.png"}, {"name": "hat"}, {"name": "blue scarf", "image": "@blue.jpg"}]'
    )
    assert json.loads(run("submit", "language.style", f"wardrobe={wardrobe}", "outfits=1"))["outfits"]
    (sent,) = asked(twin, GEMINI)
    assert [digest(RED) in str(sent), digest(BLUE) in str(sent)] == [True, True], "both photos, and no third"
