"""An answer is read under a cap of bytes, also when it is compressed, and odd JSON does no harm."""

import gzip
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic_core import to_json

from worker.net.answer import AnswerEncodingError, read_answer
from worker.net.answer_json import AnswerTooLargeError, clean_json, read_json


async def chunks(body: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        (None, bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("x-gzip", lambda body: gzip.compress(body[:5]) + gzip.compress(body[5:])),
        ("deflate", zlib.compress),
    ],
)
async def test_an_answer_is_decoded(encoding: str | None, encode: Any) -> None:
    body = json.dumps({"text": "a kiln" * 1000}).encode()
    assert await read_answer(chunks(encode(body)), encoding) == body


async def test_an_answer_is_read_no_further_than_its_cap() -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1000
            yield b" " * 1000

    with pytest.raises(AnswerTooLargeError, match=r"more than 0.01 MB"):
        await read_answer(endless(), None, 10_000)
    assert read <= 11_000


async def test_a_compressed_bomb_is_decoded_no_further_than_its_cap() -> None:
    import tracemalloc

    bomb = gzip.compress(b" " * 40_000_000)
    tracemalloc.start()
    with pytest.raises(AnswerTooLargeError):
        await read_answer(chunks(bomb, len(bomb)), "gzip", 4_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16_000_000


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"x", "br"), (b"x", "gzip, gzip"), (b"not gzip", "gzip"), (gzip.compress(b"x" * 5000)[:-9], "gzip")],
    ids=["unknown", "two", "damaged", "cut short"],
)
async def test_an_encoding_that_cannot_be_read_is_an_error(body: bytes, encoding: str) -> None:
    with pytest.raises(AnswerEncodingError):
        await read_answer(chunks(body), encoding)


DEEP = b"[" * 256 + b"]" * 256


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (rb'{"a": "\uD800", "b": "\udfff", "c": "\ud83d\ude00", "d": "\\ud800"}',
         {"a": "?", "b": "?", "c": "\U0001f600", "d": "\\ud800"}),
        (rb'{"\uD800": 1}', {"?": 1}),
        (b'{"a": NaN, "b": -Infinity, "c": 1e999, "d": 1e10, "e": 1.5}',
         {"a": None, "b": None, "c": None, "d": 1e10, "e": 1.5}),
        (b'{"a": ' + b"9" * 5000 + b', "b": 12345678901234567890}', {"a": None, "b": 12345678901234567890}),
        (b'{"url": "u", "deep": ' + DEEP + b"}", None),
        (b'"a control sign: \\u0000\\u001b"', "a control sign: \0\x1b"),
    ],
    ids=["surrogates", "keys", "numbers", "integers", "levels", "controls"],
)  # fmt: skip
def test_odd_json_becomes_what_a_row_can_hold(body: bytes, expected: Any) -> None:
    found = read_json(clean_json(body))
    assert expected is None or found == expected
    assert json.loads(to_json(found)) == found
    assert found == read_json(body)


@pytest.mark.parametrize("body", [b"{}", b'{"a": [1, "\xc3\xa9"]}', b"not json NaN", b"", b'{"s": "Infinity"}'])
def test_other_bodies_stay_as_they_are(body: bytes) -> None:
    assert json.loads(clean_json(body)) == json.loads(body) if body[:1] == b"{" else clean_json(body) == body


def test_levels_beyond_all_reason_are_no_json() -> None:
    with pytest.raises(ValueError, match="levels"):
        read_json(b"[" * 100_000)


def test_an_answer_of_a_million_values_is_not_parsed() -> None:
    with pytest.raises(AnswerTooLargeError, match="values"):
        clean_json(b'{"a": [' + b"[]," * 1_000_000 + b"0]}")
