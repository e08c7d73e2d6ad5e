"""Large files pass the SDK as placeholders and arrive unchanged; other values stay as they are."""

import base64
import json
import os
from typing import Any

import pytest

from worker.providers.google.large_files import LARGE_BYTES, LargeFiles

SMALL, BIG, BIGGER = os.urandom(300), os.urandom(LARGE_BYTES + 1), os.urandom(3 * LARGE_BYTES + 2)


def as_sdk_writes(*files: bytes) -> bytes:
    parts = [{"inlineData": {"data": base64.urlsafe_b64encode(file).decode(), "mime_type": "x"}} for file in files]
    return json.dumps({"contents": [{"parts": [*parts, {"text": 'a "data": "x"'}]}]}).encode()


def test_a_request_contains_the_files_in_order() -> None:
    large = LargeFiles()
    placeholders = [large.placeholder_for(file) for file in (BIG, SMALL, BIGGER, BIG)]
    body = as_sdk_writes(*placeholders)
    found = json.loads(large.insert_into(body))["contents"][0]["parts"]

    assert placeholders[1] == SMALL and len(body) < 2000
    assert [base64.urlsafe_b64decode(part["inlineData"]["data"].translate({43: 45, 47: 95})) for part in found[:4]] == [
        BIG,
        SMALL,
        BIGGER,
        BIG,
    ]
    assert found[4] == {"text": 'a "data": "x"'}


def test_a_placeholder_that_the_sdk_left_out_raises() -> None:
    large = LargeFiles()
    large.placeholder_for(BIG)
    with pytest.raises(ValueError, match="not found"):
        large.insert_into(b"{}")


@pytest.mark.parametrize(
    "encode", [base64.b64encode, base64.urlsafe_b64encode, lambda data: base64.b64encode(data).rstrip(b"=")]
)
@pytest.mark.parametrize("spaces", [(",", ":"), (" , ", " :  ")])
def test_an_answer_has_placeholders_for_its_files(encode: Any, spaces: tuple[str, str]) -> None:
    large = LargeFiles()
    answer = {
        "data": [{"data": encode(BIGGER).decode(), "x": "data"}, {"data": encode(SMALL).decode()}],
        "text": f'"data": "{"A" * LARGE_BYTES}"',
        "more": {"data": encode(BIG).decode()},
    }
    body = json.dumps(answer, separators=spaces).encode()
    light = large.extract_from(body, b"data")
    read = json.loads(light)

    assert [large.original(base64.b64decode(item["data"])) for item in (read["data"][0], read["more"])] == [BIGGER, BIG]
    assert read["data"][1] == answer["data"][1] and read["text"] == answer["text"]
    assert len(light) < LARGE_BYTES + 5000


@pytest.mark.parametrize(
    "body",
    [
        b'{"data": "' + b"A" * LARGE_BYTES * 2,  # cut short
        b'{"data": "' + b"A" * (LARGE_BYTES - 1) + b"=" + b"A" * LARGE_BYTES + b'"}',  # the end of a step
        b'{"data": "' + b"A" * LARGE_BYTES + b"=" + b"A" * LARGE_BYTES * 2 + b'"}',
        b'{"data": "' + b"A" * LARGE_BYTES + rb"\u003d" + b'"}',
        b'{"data": "' + b"A" * LARGE_BYTES + b"A" + b'"}',  # an impossible length for base64
        b'{"data": ' + b"1" * LARGE_BYTES + b"}",
        b'{"other": "' + b"A" * LARGE_BYTES * 2 + b'"}',
        b'"data"' * LARGE_BYTES,
    ],
    ids=range(8),
)
def test_a_value_that_is_not_plain_base64_is_unchanged(body: bytes) -> None:
    large = LargeFiles()

    assert large.extract_from(body, b"data") == body and large.is_empty
