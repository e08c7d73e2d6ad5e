"""Bodies with one or two random values: the twin refuses or answers them; it never fails."""

import base64
import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

VERTEX = "/google/v1/projects/p/locations/us-central1/publishers/google/models"
SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "array", "items": {"type": "string", "minLength": 3, "pattern": "a"}, "maxItems": 3},
        "b": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 1, "multipleOf": 1}]},
        "c": {"enum": ["x"]},
        "d": {"$ref": "#/$defs/z"},
    },
    "required": ["a", "b"],
    "additionalProperties": False,
    "$defs": {"z": {"type": "number"}},
}
ODD = [
    None,
    True,
    0,
    -1,
    3.7,
    10**30,
    1e308,
    "",
    "x",
    "\x00",
    [],
    {},
    [None],
    {"type": "x"},
    "http://[::1",
    "gs://",
    "(",
]


def bodies(data: str) -> dict[str, Any]:
    """Return one valid body for each verb."""
    inline = {"inlineData": {"data": data, "mimeType": "image/png"}}
    media = {"image": {"bytesBase64Encoded": data, "mimeType": "image/png"}}
    user = [
        {"role": "user", "parts": [inline, {"fileData": {"fileUri": "gs://a", "mimeType": "image/png"}}, {"text": "x"}]}
    ]
    picture = {"aspectRatio": "1:1", "imageSize": "1K", "imageOutputOptions": {"mimeType": "image/jpeg"}}
    harm = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}]
    as_json = {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA, "maxOutputTokens": 500}
    shown = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    by_url = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    return {
        f"{VERTEX}/gemini-3-pro-image:generateContent": {
            "contents": user,
            "safetySettings": harm,
            "generationConfig": {"seed": 1, "responseModalities": ["IMAGE"], "imageConfig": picture},
        },
        f"{VERTEX}/gemini-3.8-flash:generateContent": {"contents": user, "generationConfig": as_json},
        f"{VERTEX}/virtual-try-on-001:predict": {
            "instances": [{"personImage": media, "productImages": [media]}],
            "parameters": {"sampleCount": 1, "seed": 2, "addWatermark": False},
        },
        f"{VERTEX}/veo-3.1-lite-generate-001:predictLongRunning": {
            "instances": [{"prompt": "x", **media}],
            "parameters": {"durationSeconds": 4, "storageUri": "gs://x"},
        },
        f"{VERTEX}/veo-3.1-lite-generate-001:fetchPredictOperation": {"operationName": "x"},
        "/anthropic/v1/messages": {
            "model": "claude-haiku-5-5",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": [shown, {"type": "text", "text": "x"}, by_url]}],
            "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
            "tools": [{"name": "emit", "input_schema": SCHEMA, "strict": True}],
        },
    }


def paths(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Return the path of every value in a body."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, entry in entries:
        yield (*path, name)
        yield from paths(entry, *path, name)


def with_odd_values(body: Any, dice: random.Random) -> Any:
    body = copy.deepcopy(body)
    for _ in range(dice.choice([1, 1, 2])):
        found = [*paths(body)]
        if found:
            *way, last = dice.choice(found)
            node = body
            for name in way:
                node = node[name]
            node[last] = dice.choice(ODD)
    return body


@pytest.mark.parametrize("seed", range(4))
def test_a_hostile_body_does_not_break_the_twin(twin: Any, png: Callable[..., bytes], seed: int) -> None:
    dice = random.Random(seed)
    good = bodies(base64.b64encode(png("red", (20, 20))).decode())
    headers = {"Authorization": "Bearer local", "anthropic-version": "1"}
    twin.pace(seconds=0)
    for path in dice.choices([*good], k=200):
        body = with_odd_values(good[path], dice)
        answer = twin.http.post(path, json=body, headers=headers)
        assert answer.status_code in (200, 400, 404), (path, body)
    assert all(record["state"] == "COMPLETED" for record in twin.requests())
