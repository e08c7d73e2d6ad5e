"""A hundred kinds of messages that no backend should send, each with one thing wrong, as bytes in a Redis list.

They are made of a good message of a plain task, so that one wrong thing is all that a worker can refuse.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

QUEUE = "hostile"
DEEP = "[" * 100_000
OWN_TASK, OUR_TASK = "tests.own.note", "generation.text_to_image"


@dataclass(frozen=True)
class Case:
    """A message, and whether it has to be set aside; others may also run, or end as a failure."""

    name: str
    raw: bytes
    is_unreadable: bool = True


def message(
    task: str = OWN_TASK, body: Any = None, headers: Mapping[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """A message as Celery 5 writes it, with these changes: of its headers, or of the fields around them."""
    job_id = str(uuid4())
    text = json.dumps([[job_id], {}, {}] if body is None else body)
    return {
        "body": base64.b64encode(text.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": job_id, "root_id": job_id, "parent_id": None, "group": None,
                    "retries": 0, "timelimit": [None, None], "eta": None, "expires": None, **(headers or {})},
        "properties": {"correlation_id": job_id, "reply_to": str(uuid4()), "delivery_mode": 2, "priority": 0,
                       "delivery_info": {"exchange": "", "routing_key": QUEUE}, "body_encoding": "base64",
                       "delivery_tag": str(uuid4())},
        **changes,
    }  # fmt: skip


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def cases() -> list[Case]:
    return [*_not_json(), *_envelopes(), *_bodies(), *_properties(), *_headers(), *_ours()]


def _not_json() -> Iterator[Case]:
    raws = {
        "nonsense": b"nonsense", "empty": b"", "null": b"null", "true": b"true", "number": b"1", "text": b'"text"',
        "list": b"[]", "object": b"{}", "not UTF-8": b"\xff\xfe{}", "cut": dumped(message())[:-9], "deep": DEEP.encode(),
        "NaN": b"NaN", "bad uuid": b'{"__type__": "uuid", "__value__": 5}', "two": b"{} {}",
        "bad type": b'{"__type__": "pickle", "__value__": "x"}',
    }  # fmt: skip
    for name, raw in raws.items():
        yield Case(f"message: {name}", raw)


def _envelopes() -> Iterator[Case]:
    for value in (None, 5, [], "x", [1]):
        yield Case(f"properties: {value!r}", dumped(message(properties=value)))
        yield Case(f"headers: {value!r}", dumped(message(headers=None) | {"headers": value}))
    for name in ("headers", "properties", "body", "content-type"):
        whole = message()
        del whole[name]
        yield Case(f"no {name}", dumped(whole))
    for kind in (5, [], "application/x-python-serialize", "application/x-nothing", "text/plain"):
        yield Case(f"content-type: {kind!r}", dumped(message() | {"content-type": kind}))
    for coding in (5, [], "klingon"):  # the two others run: JSON is read without it
        yield Case(f"content-encoding: {coding!r}", dumped(message() | {"content-encoding": coding}), coding == 5)


def _bodies() -> Iterator[Case]:
    for value in (None, 5, [], {}, "", "nonsense", "ÄÖ", "YQ", base64.b64encode(b"\xff\xfe").decode()):
        yield Case(f"body: {value!r}", dumped(message() | {"body": value}))
    for inner in (5, "x", [], {}, [[]], [[], {}], [[], {}, {}, {}], [5, {}, {}], ["ab", {}, {}], [{}, {}, {}], [[], 5, {}],
                  [[], [], {}], [[], "x", {}], [[], {}, 5], [[], {}, [1]], [[], {}, "x"], [None, None, None]):  # fmt: skip
        yield Case(f"arguments: {inner!r}", dumped(message(body=inner)))
    for name in ("callbacks", "errbacks", "chain", "chord"):
        for odd in (5, "x", [5], [[]], {"task": 5} if name != "chord" else []):
            yield Case(f"{name}: {odd!r}", dumped(message(body=[["x"], {}, {name: odd}])))


def _properties() -> Iterator[Case]:
    for name, values in {
        "delivery_tag": (None, [], {}),
        "delivery_info": (None, [], {}, 5, {"exchange": ""}, {"routing_key": "x"}),
        "body_encoding": ("rot13", 5, []),
        "priority": ("high", [], {}),
        "correlation_id": ([], {}),
        "reply_to": ([], {}),
    }.items():
        whole = message()
        for value in values:
            changed = dumped(whole | {"properties": {**whole["properties"], name: value}})
            yield Case(f"{name}: {value!r}", changed)
    whole = message()
    del whole["properties"]["delivery_tag"]
    yield Case("no delivery_tag", dumped(whole))


def _headers() -> Iterator[Case]:
    wrong: Mapping[str, tuple[Any, ...]] = {
        "task": (None, 5, [], {}, ""),
        "id": (None, [], {}, "", True, [1]),
        "timelimit": ("soon", 5, [1], [1, 2, 3], ["a", "b"], {}, [-1, None]),
        "eta": ("", "tomorrow", 5, [], {}, "99999-01-01T00:00:00"),
        "expires": ("", "tomorrow", [], {}, "99999-01-01T00:00:00"),
        "root_id": ([], {}),
        "parent_id": ([], {}),
        "group": ([], {}),
        "retries": ("twice", [], {}),
        "shadow": ([], {}, 5),
        "argsrepr": ([], {}, 5),
        "stamped_headers": ("x", 5, [5]),
        "stamps": ("x", 5, []),
        "ignore_result": ("maybe", []),
        "compression": ("zip", 5, "application/x-gzip"),
    }
    for name, values in wrong.items():
        for value in values:
            yield Case(f"{name}: {value!r}", dumped(message(headers={name: value})))
    for name in ("task", "id"):
        whole = message()
        del whole["headers"][name]
        yield Case(f"no {name}", dumped(whole))
    yield Case("a task that nobody knows", dumped(message(task="shop.unknown")))


def _ours() -> Iterator[Case]:
    """Of our own tasks: a row, a message of a row, and its headers."""
    for name, value in {"kilnhand_since": "then", "kilnhand_sent": []}.items():
        yield Case(f"{name}: {value!r}", dumped(message(OUR_TASK, [[], {"prompt": "x"}, {}], {name: value})))
    for odd in ({"timelimit": "x"}, {"id": []}, {"eta": ""}, {"retries": []}, {"group": 5.5}, {"id": None}):
        yield Case(f"of ours: {odd!r}", dumped(message(OUR_TASK, [[], {"prompt": "x"}, {}], odd)))
    for inner in ([5, {}, {}], [[], 5, {}], [[], {"prompt": "x"}, 5]):
        yield Case(f"of ours: {inner!r}", dumped(message(OUR_TASK, inner)))
    refused = [[[5], {}, {}], [["x"], {"prompt": 5}, {}], [[], {"prompt": "x", "idempotency_key": {}}, {}],
               [[], {"prompt": "x", "tenant": []}, {}], [[], {}, {}]]  # fmt: skip
    for inner in refused:
        yield Case(f"a bad request: {inner!r}", dumped(message(OUR_TASK, inner)), is_unreadable=False)
