"""Logs are constant events with fields, for our loggers and for libraries, and no key gets into them."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from config.logging import configure, mask_text

FAL_KEY = "0f1e2d3c-1111-2222-3333-444455556666:00112233445566778899aabbccddeeff"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root, level = logging.getLogger(), logging.getLogger().level
    handlers, quiet = list(root.handlers), logging.getLogger("httpx").level
    kept = structlog.get_config()
    yield
    root.handlers[:], root.level = handlers, level
    logging.getLogger("httpx").setLevel(quiet)
    structlog.configure(**kept)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_events_and_those_of_libraries_share_one_shape() -> None:
    configure("json", stream=(stream := io.StringIO()))

    structlog.get_logger("worker.engine.dispatcher").bind(job="j1").info("job.accepted", queue="video")
    logging.getLogger("celery.worker").warning("lost %s", "the broker")

    ours, theirs = lines(stream)
    assert ours.items() >= {"event": "job.accepted", "job": "j1", "queue": "video", "level": "info"}.items()
    assert theirs.items() >= {"event": "lost the broker", "logger": "celery.worker", "level": "warning"}.items()
    assert set(theirs) <= set(ours)


def test_a_stream_that_is_no_terminal_gets_json() -> None:
    configure("auto", stream=(stream := io.StringIO()))
    structlog.get_logger("a").info("a.b")

    assert lines(stream)[0]["event"] == "a.b"


def test_the_console_is_for_people() -> None:
    configure("console", stream=(stream := io.StringIO()))
    structlog.get_logger("a").info("kiln.lit", cones=3)

    assert "kiln.lit" in stream.getvalue() and "cones=3" in stream.getvalue()


def test_levels_are_kept_and_request_lines_of_http_clients_are_left_out() -> None:
    configure("json", "info", stream=(stream := io.StringIO()))

    structlog.get_logger("a").debug("a.detail")
    logging.getLogger("httpx").info("HTTP Request: POST https://queue.fal.run")
    logging.getLogger("httpcore.connection").debug("connect_tcp.started")

    assert stream.getvalue() == ""


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"Authorization": f"Key {FAL_KEY}"}},
        {"text": f"sent Authorization: Key {FAL_KEY}"},
        {"fal_key": FAL_KEY},
        {"key_in_a_sentence": f"the key {FAL_KEY} was refused"},
        {"broker": f"redis://:{FAL_KEY}@redis:6379/0"},
        {"broker": f"rediss://user:{FAL_KEY}@redis:6379/0"},
        {"line": f"FAL_KEY={FAL_KEY} kilnhand up"},
        {"deep": [{"more": (f"Bearer {FAL_KEY.partition(':')[2]}",)}]},
        {"password": FAL_KEY},
        {"error": ValueError(f"cannot use {FAL_KEY}")},
    ],
)
def test_nothing_that_looks_like_a_key_is_written(form: Any, fields: dict[str, Any]) -> None:
    configure(form, stream=(stream := io.StringIO()))

    structlog.get_logger("a").warning("a.b", **fields)

    assert "00112233445566778899" not in stream.getvalue()
    assert "***" in stream.getvalue()


def test_a_traceback_is_masked_too() -> None:
    configure("json", stream=(stream := io.StringIO()))
    secret = FAL_KEY
    try:
        raise RuntimeError(f"refused Key {secret}")
    except RuntimeError:
        structlog.get_logger("a").exception("a.failed")
        logging.getLogger("b").exception("failed")

    assert len(lines(stream)) == 2 and "RuntimeError" in stream.getvalue()
    assert "00112233445566778899" not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "Key features of the model",
        "redis://redis:6379/0",
        "https://example.com/a.png?width=3",
        "the token bucket is empty",
        "set FAL_KEY=<id>:<secret> (or FAL_API_KEY)",
        "job 0f1e2d3c-1111-2222-3333-444455556666 has ended",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert mask_text(text) == text


@pytest.mark.timeout(60)
@pytest.mark.parametrize("part", ["a", "redis://a:", "a://b:1/", "a://", "Key ", "secret ", "a@", "0123456a-"])
@pytest.mark.parametrize("end", ["", "@", " @", "://a:b@"])
def test_a_text_is_masked_in_time_by_its_length_alone(part: str, end: str) -> None:
    assert mask_text(part * (1_000_000 // len(part)) + end)


def test_ordinary_fields_stay_as_they_are() -> None:
    configure("json", stream=(stream := io.StringIO()))
    fields = {"key": "jobs/1/image.png", "token": 7, "tokens": "many", "idempotency_key": "order-17", "none": None}

    structlog.get_logger("a").info("a.b", **fields)

    assert lines(stream)[0].items() >= fields.items()
