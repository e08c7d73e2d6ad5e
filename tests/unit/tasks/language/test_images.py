"""How the images of a language task may be named, and in which words they are refused."""

from typing import Any

import pytest

from tasks.language.requests import REQUESTS, CaptionRequest, StyleRequest
from worker.errors import InvalidRequestError
from worker.jobs.request import read

FILE = {"url": "https://files.example/files/jobs/a/images-0.png?signature=s", "key": "jobs/a/images-0.png", "bytes": 5}
DATA = "data:image/png;base64,iVBORw0KGgo="


def images(given: Any) -> list[str]:
    return list(read("language.caption", CaptionRequest, {"images": given})[0].images)


@pytest.mark.parametrize(
    "ref", ["https://a.example/b.png?c=d", "HTTP://a.example/", DATA, "jobs/a-1/images-0.png", FILE["url"]]
)
def test_a_url_a_data_uri_and_a_key_of_ours_are_taken_as_they_are(ref: str) -> None:
    assert images([ref, ref]) == [ref, ref]


def test_one_image_alone_is_a_list_of_one() -> None:
    assert images(DATA) == [DATA]


def test_a_file_of_a_result_goes_by_its_key_which_does_not_expire() -> None:
    assert images([FILE, {"url": DATA}]) == [FILE["key"], DATA]
    assert images(FILE) == [FILE["key"]]
    worn = read("language.style", StyleRequest, {"wardrobe": [{"name": "coat", "image": FILE}]})[0]
    assert worn.pictures == [FILE["key"]]


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("/etc/passwd", "images.0: must be an http:// or https:// URL, a data: URI, or the key of one of our files"),
        ("file:///etc/passwd", "images.0: must be an http:// or https:// URL, a data: URI, or the key"),
        ("gs://bucket/a.png", "images.0: must be an http:// or https:// URL, a data: URI, or the key"),
        ("@red.png", "images.0: must be an http:// or https:// URL, a data: URI, or the key"),
        ("", "images.0: must be an http:// or https:// URL, a data: URI, or the key"),
        ("jobs/../secret", "images.0: not the key of a file"),
        ("jobs/", "images.0: not the key of a file"),
        ("jobs/a/.hidden", "images.0: not the key of a file"),
        ("https://me:pw@a.example/b.png", "images.0: must not carry a user name or password"),
        ("https:///b.png", "images.0: must be an http:// or https:// URL"),
        ("https://a.example/" + "b" * 4096, "images.0: is longer than 4096 characters"),
        ("data:image/png;base64," + "A" * 300_000, "request: is 300"),
        (5, "images.0: input should be a valid string"),
        ({"bytes": 5}, "images.0: input should be a valid string"),
        ({"key": "a/b"}, "images.0: must be an http"),
    ],
)
def test_what_names_no_image_is_refused_in_words(ref: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        images([ref])
    assert f"  {says}" in refused.value.message


@pytest.mark.parametrize("task", REQUESTS)
def test_extra_may_say_how_to_answer_but_not_what_is_asked(task: str) -> None:
    given = {"images": [DATA], "questions": ["?"], "wardrobe": [{"name": "coat"}], "products": [{"name": "c"}]}
    own = {name: given[name] for name in given if name in REQUESTS[task].model_fields}
    assert read(task, REQUESTS[task], {**own, "extra": {"temperature": 0}})
    with pytest.raises(InvalidRequestError, match="extra: cannot hold prompt, schema, system: this task writes"):
        read(task, REQUESTS[task], {**own, "extra": {"schema": {}, "prompt": "x", "system": "y"}})
