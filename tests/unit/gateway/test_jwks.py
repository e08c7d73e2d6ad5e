"""fal's public keys: parsed leniently, cached for a day, fetched again after a rotation, not for every forged webhook."""

import asyncio
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from config.settings import FalSettings
from tests.unit.gateway.webhook_endpoint import KEYS, SECRET, WebhookEndpoint, jwk
from worker.gateway.jwks import KEEP_S, REFETCH_S, RETRY_S, jwks_url

FIRST, SECOND = KEYS["first"], KEYS["second"]
ODD: list[Any] = [
    None, 7, "text", [], {}, jwk(None), jwk(7), jwk(""), jwk("!!!"), jwk(FIRST[:-3]), jwk(FIRST + "AAAA"), jwk("ä" * 43),
    jwk(SECOND, kty="RSA"), jwk(SECOND, crv="X25519"), {"kty": "OKP", "crv": "Ed25519"}, {"x": SECOND},
]  # fmt: skip


async def kind_of(endpoint: WebhookEndpoint, name: str = "ok") -> str:
    answer = await endpoint.post(name)
    body = answer.json()
    return str(body["heard"] if "heard" in body else body["error"]["code"])


@pytest.mark.parametrize(
    "x",
    [FIRST, FIRST + "=", FIRST.replace("-", "+").replace("_", "/"), FIRST.replace("-", "+").replace("_", "/") + "="],
)
async def test_a_key_is_read_with_and_without_padding_in_either_alphabet(endpoint: WebhookEndpoint, x: str) -> None:
    assert {"-", "_"} <= set(FIRST)
    await endpoint.add()
    endpoint.key_server.keys = [jwk(x, kid="1", use="sig")]
    assert await kind_of(endpoint) == "accepted"


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_a_key_that_cannot_be_read_is_skipped(endpoint: WebhookEndpoint, odd: Any) -> None:
    await endpoint.add()
    endpoint.key_server.keys = [odd, jwk(FIRST)]
    assert await kind_of(endpoint) == "accepted"


async def test_every_published_key_is_tried(endpoint: WebhookEndpoint) -> None:
    await endpoint.add()
    endpoint.key_server.keys = [jwk(FIRST), jwk(SECOND)]
    assert await kind_of(endpoint, "second_key") == "accepted"
    assert endpoint.key_server.fetches == 1


async def test_a_rotated_key_is_fetched_once(endpoint: WebhookEndpoint) -> None:
    await endpoint.add()
    assert await kind_of(endpoint) == "accepted"
    await endpoint.add("job-8")
    endpoint.key_server.keys = [jwk(SECOND)]
    endpoint.advance(REFETCH_S)
    assert (await endpoint.post("second_key", url=endpoint.url("job-8"))).json() == {"heard": "accepted"}
    assert endpoint.key_server.fetches == 2
    assert await kind_of(endpoint) == "forged", "the old key is not accepted any more"


async def test_forged_webhooks_fetch_the_keys_at_most_once_a_minute(endpoint: WebhookEndpoint) -> None:
    await endpoint.add()
    for _ in range(50):
        assert await kind_of(endpoint, "strange_key") == "forged"
        endpoint.advance(1)
    assert endpoint.key_server.fetches == 1
    for _ in range(100):
        assert await kind_of(endpoint, "strange_key") == "forged"
        endpoint.advance(1)
    assert endpoint.key_server.fetches == 3
    assert await kind_of(endpoint) == "accepted"


async def test_many_webhooks_at_once_fetch_once(endpoint: WebhookEndpoint) -> None:
    await endpoint.add()
    kinds = await asyncio.gather(
        *(kind_of(endpoint) for _ in range(20)), *(kind_of(endpoint, "strange_key") for _ in range(20))
    )
    assert set(kinds) <= {"accepted", "duplicate", "forged"} and kinds.count("forged") == 20
    assert endpoint.key_server.fetches == 1


async def test_keys_are_kept_for_a_day_and_not_longer(endpoint: WebhookEndpoint) -> None:
    await endpoint.add()
    await kind_of(endpoint)
    endpoint.key_server.answer = httpx.ConnectError("away")
    assert KEEP_S == 86_400, "as long as fal allows"
    endpoint.advance(KEEP_S - 1)
    assert await kind_of(endpoint) == "duplicate"
    assert endpoint.key_server.fetches == 1, "no fetch while the cached keys work"
    endpoint.advance(1)
    assert (await endpoint.post()).status_code == 503
    endpoint.key_server.answer = None
    assert await kind_of(endpoint) == "failed", "not tried again at once"
    endpoint.advance(RETRY_S)
    assert await kind_of(endpoint) == "duplicate"


async def test_old_keys_stay_when_new_ones_cannot_be_fetched(endpoint: WebhookEndpoint) -> None:
    await endpoint.add()
    await endpoint.add("job-8")
    await kind_of(endpoint)
    endpoint.key_server.answer = httpx.ConnectError("away")
    endpoint.advance(REFETCH_S)
    assert await kind_of(endpoint, "strange_key") == "forged"
    assert endpoint.key_server.fetches == 2
    assert (await endpoint.post(url=endpoint.url("job-8"))).json() == {"heard": "accepted"}


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ConnectError("away"),
        httpx.ReadTimeout("slow"),
        httpx.Response(500),
        httpx.Response(404, json={"keys": [jwk(FIRST)]}),
        httpx.Response(302, headers={"location": "https://keys.example.com/jwks.json"}),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b"\xff\xfe"),
        httpx.Response(200, content=b"[" * 60_000),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"keys": None}),
        httpx.Response(200, json={"keys": {"x": 1}}),
        httpx.Response(200, json={"keys": []}),
        httpx.Response(200, json={"keys": ODD}),
        httpx.Response(200, json={"keys": [jwk(FIRST)], "more": "x" * 70_000}),
    ],
    ids=str,
)
async def test_without_keys_the_answer_makes_fal_retry(endpoint: WebhookEndpoint, answer: Any) -> None:
    await endpoint.add()
    before = await endpoint.row()
    endpoint.key_server.answer = answer
    with capture_logs() as logs:
        response = await endpoint.post()
    assert (response.status_code, await endpoint.counts()) == (503, {"failed": 1})
    assert [each["event"] for each in logs] == ["jwks_failed", "webhook_refused"]
    assert logs[1]["error"] == "JwksUnavailableError" and SECRET not in str(logs)
    assert await endpoint.row() == before
    endpoint.key_server.answer = None
    endpoint.advance(RETRY_S)
    assert await kind_of(endpoint) == "accepted"


@pytest.mark.parametrize(
    ("base", "url"),
    [
        (None, "https://rest.fal.ai/.well-known/jwks.json"),
        ("http://127.0.0.1:9000/", "http://127.0.0.1:9000/rest/.well-known/jwks.json"),
    ],
)
def test_the_keys_come_from_fal_or_from_the_twin(base: str | None, url: str) -> None:
    assert jwks_url(FalSettings(_env_file=None, fal_base_url=base)) == url
