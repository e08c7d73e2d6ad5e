"""The tasks as Celery has them: what they ask, what they follow, and how little a producer has to import."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from config.catalogue import load_catalogue
from tasks import language
from tasks.language.requests import REQUESTS
from worker.cli.local_files import attach_files
from worker.errors import InvalidRequestError

TASKS = (language.caption, language.style, language.analyse, language.filter_products)
GENERATION = {"task": "generation.text_to_image", "images": [{"url": "https://a/1", "key": "jobs/a/images-0.png"}] * 2}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_task_asks_and_gives_what_its_answers_are_judged_by(task: Any) -> None:
    assert task.asks is REQUESTS[task.name]
    assert task.gives.model_fields["answer"].annotation is task.asks.answer
    model = load_catalogue().find(task.asks.model_fields["model"].default)
    assert model.serves(task.name)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_row_holds_enough_of_a_request_for_its_answer_to_be_judged(task: Any) -> None:
    """Defaults are not on it, and what is there has been read once."""
    given = {"images": ["https://a/1", "https://a/2"], "questions": ["?"], "wardrobe": [{"name": "a"}, {"name": "b"}]}
    given |= {"products": [{"name": "a"}, {"name": "b"}], "text": "t"}
    request, _, step = task._read({name: given[name] for name in given if name in task.asks.model_fields})
    again = task.asks.model_validate(request.model_dump(mode="json", exclude_unset=True))
    assert again == request and again.asked == request.asked
    assert again.step(load_catalogue().find(again.model)) == replace(step, files=None)


@pytest.mark.parametrize("task", [language.caption, language.analyse], ids=lambda task: task.name)
def test_in_a_chain_it_takes_every_picture_of_the_job_before(task: Any) -> None:
    given = task._given((GENERATION,), {} if task is language.caption else {"questions": ["?"]})
    assert task._read(given)[0].images == ["jobs/a/images-0.png"] * 2
    assert task._given((GENERATION,), {"images": ["https://b"]})["images"] == ["https://b"], "what is given wins"


def test_a_wardrobe_takes_nothing_from_before() -> None:
    with pytest.raises(InvalidRequestError, match=r"use \.si\("):
        language.style._given((GENERATION,), {})


def test_a_photo_of_this_machine_goes_along(tmp_path: Any) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for given in (f"@{tmp_path}/a.png", [f"@{tmp_path}/a.png"]):
        found = attach_files(language.caption.asks, {"images": given, "about": "@home"})
        assert "data:image/png;base64," in str(found["images"]) and found["about"] == "@home"


def test_a_producer_imports_no_vendor_and_nothing_that_decodes_pictures() -> None:
    program = """
import sys
from tasks.language import analyse, caption, style
caption._read({"images": "https://a/1", "extra": {"temperature": 0}})
print(*sorted({"PIL", "anthropic", "google", "httpx", "httpx2", "av", "aiohttp", "fal_client"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], env={"PATH": ""}, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
